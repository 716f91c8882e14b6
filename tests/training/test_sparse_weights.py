import pytest
import torch
from torch import nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.swap import quantize_model
from mpsearch.training.loop import cosine
from mpsearch.training.sparse_weights import (
    DenseSparseDense,
    SparseWeights,
    dense_sparse_dense_rate,
    ternary_weights,
    weights_with_zero,
)


def parameter(values):
    return nn.Parameter(torch.tensor(values))


def test_the_smallest_weights_become_zero_and_stay_the_ones_that_were_chosen():
    weight = parameter([[0.5, -0.125], [0.25, -3.0]])
    sparse = SparseWeights([weight], 0.5)
    assert weight.tolist() == [[0.5, 0.0], [0.0, -3.0]]
    with torch.no_grad():
        weight.add_(1.0)
    sparse.zero()
    assert weight.tolist() == [[1.5, 0.0], [0.0, -2.0]]


@pytest.mark.parametrize(("share", "zeros"), [(0.0, 0), (0.09, 0), (0.34, 3), (0.99, 9)])
def test_the_share_is_rounded_down(share, zeros):
    weight = nn.Parameter(torch.randn(10) + 5)
    SparseWeights([weight], share)
    assert int((weight == 0).sum()) == zeros


def test_equal_weights_are_pruned_up_to_the_share_only():
    weight = nn.Parameter(torch.ones(8))
    SparseWeights([weight], 0.5)
    assert int((weight == 0).sum()) == 4


def test_the_middle_third_is_sparse_and_chooses_its_weights_when_it_begins():
    weight = parameter([1.0, 2.0, 3.0, 4.0])
    rule = DenseSparseDense([weight], 0.5)
    seen = []
    for step in range(6):
        with torch.no_grad():
            weight.copy_(torch.tensor([4.0, 3.0, 2.0, 1.0]))
        rule(step / 6)
        seen.append(weight.tolist())
    dense, sparse = [4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 0.0, 0.0]
    assert seen == [dense, dense, sparse, sparse, dense, dense]


def test_weights_that_are_not_trained_are_never_put_to_zero():
    policy = PrecisionPolicy({"0": "w8a8", "1": "w8a8", "2": "w1a8"})
    model = quantize_model(nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))), policy)
    model[0].weight.requires_grad_(False)
    assert weights_with_zero(model) == [model[1].weight]


def test_the_last_third_trains_at_a_tenth_of_the_rate():
    rate_at = dense_sparse_dense_rate(cosine)
    assert [rate_at(t) / cosine(t) for t in (0.0, 0.5, 0.66, 0.67, 0.9)] == pytest.approx([1, 1, 1, 0.1, 0.1])


def test_which_layers_can_hold_zeros():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    quantized = quantize_model(model, PrecisionPolicy({"0": "w1a8", "1": "w1.58a8", "2": "w8a8"}))
    assert ternary_weights(quantized) == [quantized[1].weight]
    assert weights_with_zero(quantized) == [quantized[1].weight, quantized[2].weight]
