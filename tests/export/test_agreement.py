"""How far the outputs of a packed model and of its trial are apart."""

import pytest
import torch

from mpsearch.errors import ExportError
from mpsearch.export.agreement import agreement


def test_of_several_outputs_the_largest_must_be_the_same():
    expected = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [1.0, 0.0, 0.5]])
    found = agreement(expected + torch.tensor([0.0, 0.0, 1.5]), expected)
    assert found.samples == 4
    assert found.share == 0.5
    assert found.max_abs_error == 1.5


def test_each_position_of_a_sequence_counts():
    expected = torch.eye(4).reshape(2, 2, 4)
    assert agreement(expected.flip(0), expected).share == 0
    assert agreement(expected, expected).share == 1


@pytest.mark.parametrize("shape", [(200,), (200, 1)])
def test_one_output_must_lie_within_a_hundredth_of_the_spread(shape):
    expected = 1000 + torch.linspace(-1, 1, 200).reshape(shape)
    spread = float(expected.std(correction=0))
    assert agreement(expected + 0.009 * spread, expected).share == 1
    moved = expected.clone()
    moved[:50] += 0.011 * spread
    assert agreement(moved, expected).share == 0.75


def test_other_shapes_are_another_model():
    with pytest.raises(ExportError, match=r"must return \(4, 3\).*got \(4, 2\)"):
        agreement(torch.zeros(4, 2), torch.zeros(4, 3))
