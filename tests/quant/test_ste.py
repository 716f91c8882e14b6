import torch

from mpsearch.quant.ste import binarize, scale_grad, straight_through

POINTS = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5])
UPSTREAM = torch.arange(1.0, 9.0)


def gradient_of(function, x=POINTS):
    x = x.clone().requires_grad_()
    function(x).backward(UPSTREAM)
    return x.grad


def test_sign_of_zero_is_plus_one_also_where_zero_is_negative():
    assert binarize(torch.tensor([0.0, -0.0])).tolist() == [1, 1]


def test_sign_of_nan_is_minus_one_as_in_the_kernels():
    assert binarize(torch.tensor([torch.nan])).tolist() == [-1]


def test_straight_through_returns_the_value_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    x, value = torch.randn(2, 1000, generator=generator) * torch.tensor([[1e3], [1e-3]])
    assert torch.equal(straight_through(x, value), value)


def test_straight_through_gives_its_gradient_to_both_inputs():
    value = torch.zeros(8, requires_grad=True)
    assert torch.equal(gradient_of(lambda x: straight_through(x, value)), UPSTREAM)
    assert torch.equal(value.grad, UPSTREAM)


def test_scale_grad_changes_the_gradient_only():
    assert torch.equal(scale_grad(POINTS, 0.3), POINTS)
    assert torch.equal(gradient_of(lambda x: scale_grad(x, 0.25)), UPSTREAM / 4)
