from dataclasses import replace

import pytest
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.search.preparation import traced_task

TRIAL = "{steps: 2, high_bit_steps: 1, batch_size: 32, calibration_samples: 32, bn_samples: 32, %s: true}"


def traced(space_of, task, setting):
    return traced_task(space_of(trial=TRIAL % setting), task, lambda _event: None)


def test_inputs_that_cannot_vary_are_refused_before_anything_is_trained(space_of, tiny_task):
    assert tiny_task.augment is None
    with pytest.raises(ConfigError, match=r"`augment` needs a task that says how.*Write `augment: false`"):
        traced(space_of, tiny_task, "augment")


def test_folding_without_a_graph_is_refused_before_anything_is_trained(space_of, tiny_task):
    class Unexported(nn.Sequential):
        def forward(self, x):
            return super().forward((x.tanh() / 2).erfinv())

    assert traced(space_of, tiny_task, "fold_batch_norm").resolved.layers
    task = replace(tiny_task, build_model=lambda: Unexported(tiny_task.build_model()))
    with pytest.raises(ConfigError, match=r"`fold_batch_norm` needs the model's graph.*erfinv"):
        traced(space_of, task, "fold_batch_norm")
