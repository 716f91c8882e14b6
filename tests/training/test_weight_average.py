import pytest
import torch
from torch import nn

from mpsearch.training.weight_average import WeightAverage


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.999])
def test_the_average_follows_the_equation(decay):
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay)
    expected = model.weight.detach().clone()
    for step in range(1, 6):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 2))
        average.update()
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * model.weight.detach()
    average.load()
    torch.testing.assert_close(model.weight.detach(), expected)


def test_without_decay_it_is_the_last_step_to_the_bit():
    model = nn.Linear(3, 3)
    average = WeightAverage(model, 0.0)
    with torch.no_grad():
        model.weight.mul_(1.1)
    last = model.weight.detach().clone()
    average.update()
    average.load()
    assert torch.equal(model.weight.detach(), last)
