"""The loss of a constant answer is that of the mean output, whatever the model sees."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import TaskError
from mpsearch.training.constant_loss import constant_loss
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct


def task_of(loss=F.cross_entropy):
    targets = torch.arange(40) % 4
    split = Split(F.one_hot(targets, 4).float(), targets)
    return Task(
        name="one hot",
        build_model=lambda: nn.Linear(4, 4),
        train=split,
        validation=split,
        test=None,
        example_inputs=(torch.zeros(1, 4),),
        loss=loss,
        metric=top1_correct,
    )


def test_a_perfect_model_of_four_equal_classes_has_log_four():
    model = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        model.weight.copy_(50 * torch.eye(4))
    assert constant_loss(model, task_of()) == pytest.approx(math.log(4), rel=1e-6)


def test_of_a_squared_error_it_is_the_variance_of_the_targets():
    task = task_of(lambda output, targets: F.mse_loss(output[:, 0], targets.float()))
    model = nn.Linear(4, 4)
    with torch.no_grad():
        model.weight.copy_(torch.arange(4.0).repeat(4, 1))
        model.bias.zero_()
    assert constant_loss(model, task) == pytest.approx(float(torch.arange(4.0).var(correction=0)), rel=1e-5)


def test_the_mode_of_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
    constant_loss(model.train(), task_of())
    assert model.training


def test_a_model_that_returns_no_tensor_and_a_loss_of_zero_are_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(TaskError, match="returns a tuple"):
        constant_loss(Pair(), task_of())
    with pytest.raises(TaskError, match="gives 0"):
        constant_loss(nn.Linear(4, 4), task_of(lambda output, _: 0 * output.sum()))
