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
    one = TrialLoss(
        task=dataclasses.replace(tiny_task, loss=loss),
        recipe=TrialRecipe(distillation_weight=distillation_weight),
        teacher=nn.Identity(),
        memory=TeacherMemory(),
        seed=0,
    )
    together = BatchedLoss(one=one)(0, outputs, inputs, targets, 3)
    alone = [one(0, output, inputs, targets) for output in outputs.chunk(3)]
    torch.testing.assert_close(together, torch.stack(alone))
