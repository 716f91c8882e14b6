import pytest
import torch
from torch import nn

from mpsearch.models.rprelu import RPReLU
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.packed_model import build_packed_model


def shifted(channels, *, seed=0):
    """With numbers as a training leaves them."""
    module = RPReLU(channels)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(channels, generator=generator))
    return module


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (2, 3, 4, 5)])
def test_it_is_the_papers_equation_per_channel(shape):
    module, x = shifted(3), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for channel in range(3):
        gamma, beta, zeta = (p[channel].item() for p in (module.shift_in, module.slope, module.shift_out))
        u = x[:, channel]
        expected = torch.where(u > gamma, u - gamma + zeta, beta * (u - gamma) + zeta)
        torch.testing.assert_close(module(x)[:, channel], expected)


def test_it_starts_as_a_prelu():
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(RPReLU(3)(x), nn.PReLU(3)(x))


@pytest.mark.parametrize("scheme", ["w1a1", "w4a8"])
def test_a_network_with_it_is_traced_and_runs_packed_to_the_bit(scheme):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        shifted(8),
        nn.Conv2d(8, 6, 3, padding=1),
        shifted(6),
    ).eval()
    x = torch.randn(2, 3, 9, 9)
    trace = trace_model(model, (x,))
    assert [layer.name for layer in trace.layers] == ["0", "3"]
    quantized = quantize_model(model, PrecisionPolicy({"0": "w8a8", "3": scheme}))
    calibrate(quantized, [x])
    with torch.no_grad():
        expected = quantized(x)
    assert torch.equal(build_packed_model(model, freeze_model(quantized))(x), expected)
