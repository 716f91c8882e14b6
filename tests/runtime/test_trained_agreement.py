"""Trained models answer alike compiled and fake-quantized, on every image of a test split."""

import numpy as np
import pytest
import torch

from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.compiled_model import CompiledModel
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.digits_task import digits_task
from mpsearch.training.layout import as_model_input, prepare_model


@pytest.mark.slow
def test_a_trained_digits_network_answers_alike_on_the_whole_test_split(tmp_path):
    task = digits_task()
    model = prepare_model(task.new_model())
    model.load_state_dict(trained_baseline(task, cache_dir=tmp_path).state_dict)
    trace = trace_model(model.eval(), task.example_inputs)
    rng = np.random.default_rng(0)
    inputs = as_model_input(task.test.inputs)
    for _ in range(6):
        policy = {layer.name: list(SCHEMES)[rng.integers(len(SCHEMES))] for layer in trace.layers}
        fake = quantize_model(model, PrecisionPolicy(policy))
        calibrate(fake, [as_model_input(task.train.inputs[:512])])
        compiled = CompiledModel(model, freeze_model(fake), trace.graph)
        with torch.inference_mode():
            expected = fake.eval()(inputs)
        assert torch.equal(compiled(inputs).argmax(1), expected.argmax(1)), policy
