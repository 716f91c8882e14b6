import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.training.batched_loss import BatchedLoss
from mpsearch.training.distillation import TeacherMemory
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.trial_loss import TrialLoss

CLASSES = 4


def smoothed(output, targets):
    return F.cross_entropy(output, targets, label_smoothing=0.1)


def loss_of(task, distillation_weight):
    return TrialLoss(
        task=task,
        recipe=TrialRecipe(distillation_weight=distillation_weight),
        teacher=nn.Identity(),
        memory=TeacherMemory(),
        seed=0,
    )


@pytest.mark.parametrize("distillation_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("loss", [F.cross_entropy, smoothed])
@pytest.mark.parametrize(
    "targets",
    [torch.tensor([0, 3, 1, 2, 2]), torch.tensor([0, -100, 1, -100, 2]), torch.eye(5, CLASSES)],
    ids=["classes", "samples left out", "shares of classes"],
)
def test_each_student_gets_the_loss_that_it_has_alone(tiny_task, targets, loss, distillation_weight):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, CLASSES, generator=generator)
    outputs = torch.randn(3 * 5, CLASSES, generator=generator)
    one = loss_of(dataclasses.replace(tiny_task, loss=loss), distillation_weight)
    together = BatchedLoss(one=one)(0, outputs, inputs, targets, 3)
    alone = [one(0, output, inputs, targets) for output in outputs.chunk(3)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_a_loss_of_the_task_that_is_infinite_counts_for_nothing_where_all_is_distilled(tiny_task):
    one = loss_of(tiny_task, 1.0)
    outputs = torch.tensor([[2.5e38, -2.5e38]] * 2)  # further apart than a float32 reaches
    inputs, targets = torch.tensor([[4.0, 0.0]]), torch.tensor([1])
    assert F.cross_entropy(outputs[:1], targets).isinf()
    together = BatchedLoss(one=one)(0, outputs, inputs, targets, 2)
    assert together.isfinite().all()
    torch.testing.assert_close(together, torch.stack([one(0, outputs[:1], inputs, targets)] * 2))
