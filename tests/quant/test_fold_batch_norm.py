import copy

import pytest
import torch
from torch import nn

from mpsearch.models.trace import trace_model
from mpsearch.quant.fold_batch_norm import FoldedBatchNorm, fold_batch_norm

IMAGES = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """`first` and `head` are followed by a BatchNorm alone; the output of `second` is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 1)
        self.second_norm = nn.BatchNorm2d(3, affine=False)
        self.head = nn.Linear(3, 5)
        self.head_norm = nn.BatchNorm1d(5, eps=1e-3)

    def forward(self, x):
        x = self.first_norm(self.first(x)).relu()
        inner = self.second(x)
        x = self.second_norm(inner) + inner
        return self.head_norm(self.head(x.mean((2, 3))))


@pytest.fixture
def model():
    torch.manual_seed(1)
    made = Residual()
    for norm in (made.first_norm, made.second_norm, made.head_norm):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.2, 3.0)
        if norm.affine:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return made.eval()


def fold(model, layers):
    graph = trace_model(model, (IMAGES[:1],)).graph
    assert graph is not None
    return fold_batch_norm(model, graph, layers)


def test_the_folded_model_computes_the_same(model):
    result = fold(model, ["first", "second", "head"])
    assert isinstance(result.first_norm, FoldedBatchNorm)
    assert isinstance(result.head_norm, FoldedBatchNorm)
    torch.testing.assert_close(result(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-5)


def test_weight_and_bias_follow_the_equation(model):
    norm, result = model.head_norm, fold(model, ["head"])
    factor = norm.weight / torch.sqrt(norm.running_var + 1e-3)
    torch.testing.assert_close(result.head.weight, model.head.weight * factor[:, None])
    torch.testing.assert_close(result.head.bias, (model.head.bias - norm.running_mean) * factor + norm.bias)


def test_a_layer_whose_output_is_read_twice_keeps_its_batch_norm(model):
    result = fold(model, ["first", "second", "head"])
    assert isinstance(result.second_norm, nn.BatchNorm2d)
    assert torch.equal(result.second.weight, model.second.weight)


def test_only_the_named_layers_are_folded_and_the_model_stays_as_it_was(model):
    before = copy.deepcopy(model.state_dict())
    result = fold(model, ["head"])
    assert isinstance(result.first_norm, nn.BatchNorm2d)
    assert result.first.bias is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_folded_norm_computes_nothing_when_training(model):
    result = fold(model, ["first"]).train()
    x = torch.randn(4, 3, 2, 2)
    assert result.first_norm(x) is x


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 1e-1, 1e-7])
def test_its_state_makes_a_batch_norm_change_no_bit(eps):
    norm = nn.BatchNorm2d(3, eps=eps).eval()
    norm.load_state_dict(FoldedBatchNorm(norm).state_dict())
    x = 10 * torch.randn(5, 3, 4, 4)
    assert torch.equal(norm(x), x)
