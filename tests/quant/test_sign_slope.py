import pytest
import torch

from mpsearch.errors import ConfigError
from mpsearch.quant.sign_slope import SIGN_SLOPES, sign_slope

POINTS = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5])
SLOPES = {
    "identity": torch.ones(8),
    "clipped": torch.tensor([0.0, 1, 1, 1, 1, 1, 1, 0]),
    "approx_sign": torch.tensor([0.0, 0, 1, 2, 2, 1.5, 0, 0]),
}


def tanh(u, t):
    return torch.tanh(10**t * u)


def swish(u, t):
    b = 10**t * u
    return 2 * torch.sigmoid(b) * (1 + b * (1 - torch.sigmoid(b))) - 1


def ede(u, t):
    sharpness = 0.1 * 100**t
    return max(1 / sharpness, 1) * torch.tanh(sharpness * u)


SMOOTH = {"tanh": tanh, "swish": swish, "ede": ede}


def test_every_slope_is_tested_here():
    assert set(SLOPES) | set(SMOOTH) == set(SIGN_SLOPES)


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("name", SLOPES)
def test_a_slope_of_pieces_is_the_named_one_whatever_the_progress(name, t):
    assert torch.equal(sign_slope(name)(POINTS.clone(), t), SLOPES[name])


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_slope_is_the_derivative_of_its_papers_function(name, t):
    u = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(SMOOTH[name](u, t).sum(), u)
    torch.testing.assert_close(sign_slope(name)(u.detach().clone(), t), expected)


@pytest.mark.parametrize("name", SIGN_SLOPES)
def test_far_inputs_give_finite_slopes(name):
    assert sign_slope(name)(torch.tensor([-1e30, 1e30]), 1.0).isfinite().all()


def test_an_unknown_sign_gradient_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"identity, clipped, approx_sign.*; got 'cubic'"):
        sign_slope("cubic")
