"""Where a model's classes lie is told by the shape of its targets."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.training.class_axis import class_axis

WEIGHTED = nn.CrossEntropyLoss(weight=torch.ones(3))
OWN = partial(F.cross_entropy, ignore_index=255)


@pytest.mark.parametrize(
    ("output", "targets", "loss", "axis"),
    [
        ((4, 3), (4,), F.cross_entropy, 1),
        ((4, 3), (4,), OWN, 1),
        ((4, 3, 5, 6), (4, 5, 6), F.cross_entropy, 1),
        ((4, 3, 5, 6), (4, 5, 6), OWN, 1),
        ((4, 7, 3), (4, 7), OWN, 2),
        ((4, 5, 5), (4, 5), WEIGHTED, 1),  # both fit
        ((4, 5, 5), (4, 5), OWN, 2),
        ((4, 7, 3), (28,), OWN, 2),  # flattened by the loss
        ((4,), (4,), OWN, None),
        ((4, 1), (4,), OWN, None),
        ((4, 1), (4, 1), OWN, None),
    ],
)
def test_numbers_of_classes(output, targets, loss, axis):
    assert class_axis(torch.zeros(output), torch.zeros(targets, dtype=torch.int64), loss) == axis


@pytest.mark.parametrize(("shape", "axis"), [((4, 3), 1), ((4, 3, 5), 1), ((4,), None)])
def test_probabilities_of_classes(shape, axis):
    assert class_axis(torch.zeros(shape), torch.zeros(shape), F.cross_entropy) == axis
