import pytest
import torch

from mpsearch.errors import ShapeError
from mpsearch.quant.int8_activation import LsqActivation
from mpsearch.quant.sign_activation import RSignActivation
from mpsearch.training.joined_activations import JoinedActivations

CHANNELS = 6
INPUTS = {
    "vectors": ((40, 3 * CHANNELS), torch.contiguous_format),
    "sequences": ((5, 3 * CHANNELS, 9), torch.contiguous_format),
    "images": ((5, 3 * CHANNELS, 7, 5), torch.contiguous_format),
    "images with channels last": ((5, 3 * CHANNELS, 7, 5), torch.channels_last),
}


def seeded(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quantizers(x, gradient):
    """Inputs of one bit, of eight and of one again, each calibrated on its own part of the channels."""
    signs = [RSignActivation(CHANNELS, spatial_dims=x.ndim - 2, gradient=gradient) for _ in range(2)]
    made = [signs[0], LsqActivation(), signs[1]]
    for quantizer, part in zip(made, x.chunk(3, dim=1), strict=True):
        quantizer.start_calibration()
        quantizer.observe(part)
        quantizer.end_calibration()
        quantizer.anneal(0.5)
    return made


def learnt(members):
    return [parameter.grad for quantizer in members for parameter in quantizer.parameters()]


@pytest.mark.parametrize("gradient", ["identity", "clipped", "approx_sign", "tanh", "swish"])
@pytest.mark.parametrize(("shape", "order"), INPUTS.values(), ids=INPUTS)
def test_joined_quantizers_compute_and_learn_what_each_does_alone(shape, order, gradient):
    x, upstream = seeded(shape).contiguous(memory_format=order), seeded(shape, seed=1)
    alone, together = quantizers(x, gradient), quantizers(x, gradient)

    given = x.clone().requires_grad_()
    parts = zip(alone, given.chunk(3, dim=1), strict=True)
    expected = torch.cat([quantizer(part) for quantizer, part in parts], dim=1)
    expected.backward(upstream)
    expected_gradients = [given.grad, *learnt(alone)]

    joined = JoinedActivations(together)
    given = x.clone().requires_grad_()
    y = joined(given)
    y.backward(upstream)
    for parameter in joined.joined:
        parameter.hand_out()
    found = [given.grad, *learnt(together)]

    assert torch.equal(y, expected)
    for left, right in zip(found, expected_gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_channels_of_a_model_without_a_quantizer_stay_as_they_are():
    shape, _ = INPUTS["images"]
    x, upstream = seeded(shape), seeded(shape, seed=1)
    first, _, last = quantizers(x, "clipped")
    given = x.clone().requires_grad_()
    y = JoinedActivations([first, None, last])(given)
    y.backward(upstream)
    own = slice(CHANNELS, 2 * CHANNELS)
    assert torch.equal(y[:, own], x[:, own])
    assert torch.equal(given.grad[:, own], upstream[:, own])
    assert len(y[:, :CHANNELS].unique()) == 2


def test_inputs_whose_channels_lie_elsewhere_are_refused():
    x = seeded((5, 3 * CHANNELS))
    joined = JoinedActivations(quantizers(x, "clipped"))
    with pytest.raises(ShapeError, match=r"6 channels of each of 3 policies in dimension 1; got"):
        joined(seeded((5, 60, CHANNELS)))  # sequences of 20: thresholds would be read beyond their end
