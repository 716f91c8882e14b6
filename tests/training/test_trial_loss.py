import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.training.distillation import TeacherMemory, distillation_loss
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.trial_loss import TrialLoss


def seeded(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("loss", [F.cross_entropy, nn.CrossEntropyLoss()])
def test_a_model_that_labels_pixels_is_taught_their_classes(tiny_task, loss):
    recipe = TrialRecipe(distillation_weight=0.75, temperature=2.0)
    task = dataclasses.replace(tiny_task, loss=loss)
    inputs, student = seeded(2, 3, 5, 4, seed=0), seeded(2, 3, 5, 4, seed=1)
    targets = torch.randint(3, (2, 5, 4), generator=torch.Generator().manual_seed(2))
    trial_loss = TrialLoss(task=task, recipe=recipe, teacher=nn.Identity(), memory=TeacherMemory(), seed=0)
    by_pixel = (logits.movedim(1, -1).reshape(-1, 3) for logits in (student, inputs))
    expected = 0.75 * distillation_loss(*by_pixel, temperature=2.0) + 0.25 * loss(student, targets)
    torch.testing.assert_close(trial_loss(0, student, inputs, targets), expected)


def test_a_loss_of_the_tasks_own_is_taught_the_last_axis(tiny_task):
    def nats(output, targets):
        return F.cross_entropy(output.flatten(0, 1), targets.flatten())

    recipe = TrialRecipe(distillation_weight=1.0, temperature=1.0)
    task = dataclasses.replace(tiny_task, loss=nats)
    inputs, student = seeded(2, 5, 7, seed=0), seeded(2, 5, 7, seed=1)
    trial_loss = TrialLoss(task=task, recipe=recipe, teacher=nn.Identity(), memory=TeacherMemory(), seed=0)
    expected = distillation_loss(student.view(10, 7), inputs.view(10, 7), temperature=1.0)
    torch.testing.assert_close(trial_loss(0, student, inputs, torch.zeros(2, 5).long()), expected)
