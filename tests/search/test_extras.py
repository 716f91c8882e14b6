"""The quantizers that a recipe names decide what a search prices."""

from dataclasses import replace

import pytest

from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.search.preparation import profiled_models, traced_task
from mpsearch.search.space_file import load_space
from mpsearch.training.recipe import TrialRecipe


@pytest.mark.parametrize(
    "quantizers",
    [{}, {"ternary": "ttq", "activation": "per_token"}, {"binary_activation": "xnor"}],
)
def test_what_is_priced_and_profiled_is_what_the_recipes_quantizers_compute(quantizers):
    space = replace(load_space("digits"), trial=TrialRecipe(**quantizers))
    traced = traced_task(space, None, lambda _: None)
    extras = QuantizerChoice(**quantizers).extras
    assert all(call.extras == extras for layer in traced.trace.layers for call in layer.calls)
    (profiled,) = profiled_models(traced)
    steps = profiled.steps()
    of_steps = {
        extra for step in steps for extra in (*step.extras, *(step.layer.extras if step.layer else ()))
    }
    assert of_steps == set(extras)
