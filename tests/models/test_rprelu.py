import pytest
import torch

from mpsearch.models.rprelu import RPReLU


@pytest.fixture
def rprelu():
    module = RPReLU(3)
    with torch.no_grad():
        module.shift_in.copy_(torch.tensor([0.0, 1.0, -1.0]))
        module.slope.copy_(torch.tensor([0.25, 0.5, 0.0]))
        module.shift_out.copy_(torch.tensor([0.0, 2.0, 0.0]))
    return module


def test_each_channel_has_its_own_kink_slope_and_offset(rprelu):
    x = torch.tensor([[-2.0, -2.0, -2.0], [3.0, 3.0, 3.0]])
    assert torch.equal(rprelu(x), torch.tensor([[-0.5, 0.5, 0.0], [3.0, 4.0, 4.0]]))
    assert torch.equal(rprelu(x[:, :, None, None])[:, :, 0, 0], rprelu(x))


def test_gradients_are_those_of_the_equation(rprelu):
    x = torch.tensor([[-2.0, 0.0, 3.0]], requires_grad=True)
    rprelu(x).sum().backward()
    assert torch.equal(x.grad, torch.tensor([[0.25, 0.5, 1.0]]))
    assert torch.equal(rprelu.shift_in.grad, torch.tensor([-0.25, -0.5, -1.0]))
    assert torch.equal(rprelu.slope.grad, torch.tensor([-2.0, -1.0, 0.0]))
    assert torch.equal(rprelu.shift_out.grad, torch.ones(3))
