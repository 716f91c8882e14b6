import numpy as np
import pytest
import torch

from mpsearch.kernels.reference import quantize_activations
from mpsearch.quant.ternary_activation import TernaryActivation, ThresholdTernaryActivation

MEMBERS = [TernaryActivation, ThresholdTernaryActivation]


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibrated(member, x):
    quantizer = member()
    quantizer.start_calibration()
    quantizer.observe(x)
    quantizer.end_calibration()
    return quantizer


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("change", [torch.relu, torch.neg, lambda x: x * 1e-5, torch.zeros_like])
def test_output_is_the_scale_times_the_integers_of_the_format_to_the_bit(member, change):
    x = change(seeded(8, 6, 5, 5))
    quantizer = calibrated(member, x)
    wide = torch.cat([x, 3 * x, -x])
    integers, scale = quantizer.quantize(wide)
    assert set(integers.unique().tolist()) <= {-1, 0, 1}
    assert np.array_equal(integers.numpy(), quantize_activations(wide.numpy(), quantizer.format()))
    assert scale.item() == quantizer.format().scale > 0
    assert torch.equal(quantizer(wide).detach(), integers * scale)


def test_calibration_picks_a_scale_of_nearly_the_least_error():
    x = seeded(64, 40)
    quantizer = calibrated(TernaryActivation, x)

    def error(scale):
        return float(((x / scale).round().clamp(-1, 1) * scale - x).square().mean())

    least = min(error(scale) for scale in torch.linspace(0.2, 4, 200).tolist())
    assert error(float(quantizer.scale.detach())) < 1.02 * least


def test_the_threshold_is_twns():
    x = seeded(64, 40)
    quantizer = calibrated(ThresholdTernaryActivation, x)
    delta = 0.7 * float(x.abs().mean())
    kept = x.abs() > delta
    assert torch.equal(quantizer.quantize(x)[0] != 0, kept)
    assert float(quantizer.scale.detach()) == pytest.approx(float(x[kept].abs().mean()))


@pytest.mark.parametrize(("input_in_steps", "of_scale"), [(0.4, -0.4), (0.9, 0.1), (1.4, 1.0), (-1.4, -1.0)])
def test_inputs_beyond_the_last_level_are_clipped_as_by_lsq(input_in_steps, of_scale):
    quantizer = calibrated(TernaryActivation, seeded(64, 40))
    scale = float(quantizer.scale.detach())
    x = torch.tensor([[input_in_steps * scale]], requires_grad=True)
    quantizer(x).sum().backward()
    assert float(quantizer.log_scale.grad) == pytest.approx(of_scale * scale, rel=1e-4)
    assert float(x.grad) == (abs(input_in_steps) < 1)


@pytest.mark.parametrize("member", MEMBERS)
def test_gradients_follow_the_documented_equation(member):
    x = seeded(4, 50).mul_(2).requires_grad_()
    quantizer = calibrated(member, x.detach())
    upstream = seeded(4, 50, seed=1)
    quantizer(x).backward(upstream)
    scale, given = float(quantizer.scale.detach()), x.detach()
    q = quantizer.quantize(given)[0]
    if member is TernaryActivation:
        inside = given.abs() < scale
        of_scale = torch.where(inside, q - given / scale, q)
    else:
        inside = given.abs() < scale + 0.7 * given.abs().mean()
        of_scale = q
    torch.testing.assert_close(x.grad, upstream * inside)
    expected = (upstream * of_scale).sum() / 50**0.5 * scale
    torch.testing.assert_close(quantizer.log_scale.grad, expected, rtol=1e-4, atol=1e-4)
