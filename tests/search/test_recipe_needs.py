from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import ConfigError, TaskError
from mpsearch.search.preparation import traced_task
from mpsearch.training.recipe_needs import are_classes
from mpsearch.training.split import Split

TRIAL = "{steps: 2, high_bit_steps: 1, batch_size: 32, calibration_samples: 32, bn_samples: 32, %s: true}"


def traced(space_of, task, setting):
    return traced_task(space_of(trial=TRIAL % setting), task, lambda _event: None)


def test_inputs_that_cannot_vary_are_refused_before_anything_is_trained(space_of, tiny_task):
    assert tiny_task.augment is None
    with pytest.raises(ConfigError, match=r"`augment` needs a task that says how.*Write `augment: false`"):
        traced(space_of, tiny_task, "augment")


@pytest.mark.parametrize(
    ("targets", "are"),
    [
        (torch.tensor([2, 0]), True),
        (torch.tensor([[0.25, 0.75], [1.0, 0.0]]), True),
        (torch.tensor([0.3, -1.0]), False),
        (torch.tensor([[0.3], [0.7]]), False),
        (torch.tensor([[1.0, 1.0], [0.0, 1.0]]), False),  # several labels each
        (torch.tensor([[1.5, -0.5]]), False),
    ],
)
def test_targets_are_classes_or_not(targets, are):
    assert are_classes(targets) is are


def test_distillation_of_a_regression_is_refused_before_anything_is_trained(space_of, tiny_task):
    def numbers(split):
        return Split(split.inputs, split.targets.float())

    task = replace(
        tiny_task,
        train=numbers(tiny_task.train),
        validation=numbers(tiny_task.validation),
        loss=lambda output, targets: F.mse_loss(output[:, 0], targets),
        metric=lambda output, targets: (output[:, 0] - targets).abs() < 0.5,
    )
    given = "{steps: 2, high_bit_steps: 1, batch_size: 32, distillation_weight: %s}"
    with pytest.raises(ConfigError, match=r"torch.float32 of shape \(96,\). Write `distillation_weight: 0`"):
        traced_task(space_of(trial=given % 0.5), task, lambda _event: None)
    assert traced_task(space_of(trial=given % 0), task, lambda _event: None).resolved.layers


def test_folding_without_a_graph_is_refused_before_anything_is_trained(space_of, tiny_task):
    class Unexported(nn.Sequential):
        def forward(self, x):
            return super().forward((x.tanh() / 2).erfinv())

    assert traced(space_of, tiny_task, "fold_batch_norm").resolved.layers
    task = replace(tiny_task, build_model=lambda: Unexported(tiny_task.build_model()))
    with pytest.raises(ConfigError, match=r"`fold_batch_norm` needs the model's graph.*erfinv"):
        traced(space_of, task, "fold_batch_norm")


@pytest.mark.parametrize("outputs", [1, 0])
def test_distillation_of_a_single_logit_is_refused(space_of, tiny_task, outputs):
    class OneLogit(nn.Sequential):
        def forward(self, x):
            logit = super().forward(x)[:, :1]
            return logit if outputs else logit[:, 0]

    task = replace(
        tiny_task,
        build_model=lambda: OneLogit(tiny_task.build_model()),
        loss=lambda output, targets: F.softplus(-output.flatten() * (2 * targets - 1)).mean(),
        metric=lambda output, targets: (output.flatten() > 0) == (targets > 0),
    )
    space = space_of(trial="{steps: 2, high_bit_steps: 1, batch_size: 32}")
    with pytest.raises(ConfigError, match=r"logits of two or more classes.* have shape \(2(, 1)?,?\)"):
        traced_task(space, task, lambda _event: None)


def test_a_model_that_does_not_run_on_the_training_inputs_is_the_tasks_error(space_of, tiny_task):
    task = replace(tiny_task, train=Split(tiny_task.train.inputs[:, :3], tiny_task.train.targets))
    space = space_of(trial="{steps: 2, high_bit_steps: 1, batch_size: 32}")
    with pytest.raises(TaskError, match=r"task 'tiny' must run on inputs \(2, 3.*raised RuntimeError"):
        traced_task(space, task, lambda _event: None)
