import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.gradient import low_bit_gradients, quantize_gradient
from mpsearch.quant.swap import calibrate, quantize_model


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 5))
    quantized = quantize_model(layers, PrecisionPolicy({"0": "w1a8", "3": "w1.58a8"}))
    calibrate(quantized, [seeded(8, 3, 6, 6)])
    return quantized


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_each_sample_gets_at_most_two_to_the_bits_levels_within_its_own_extremes(bits):
    grad = seeded(5, 7, 9) * torch.tensor([1e-6, 1.0, 1e3, 0.1, 7.0])[:, None, None]
    y = quantize_gradient(grad, bits=bits)
    greatest = grad.abs().amax((1, 2))
    for sample, quantized in zip(greatest, y, strict=True):
        level = (quantized / (2 * sample) + 0.5) * (2**bits - 1)
        assert len(level.round().unique()) <= 2**bits
        torch.testing.assert_close(level, level.round(), rtol=1e-4, atol=1e-4)
        assert quantized.abs().max() <= sample * 1.0001


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bits", [1, 3, 6, 8])
def test_the_mean_over_many_draws_is_the_gradient(bits, dtype):
    torch.manual_seed(0)
    grad = seeded(1, 12).to(dtype)
    draws = torch.stack([quantize_gradient(grad, bits=bits).double() for _ in range(4000)])
    step = 2 * grad.abs().max() / (2**bits - 1)
    # Of the mean of 4,000 roundings by at most a step: 0.5 / 63 steps of deviation.
    # The result itself is rounded to the type of the gradient, by at most 2^-9 of it in bfloat16.
    rounding = 2.0**-9 * grad.abs() if dtype == torch.bfloat16 else 0
    assert ((draws.mean(0) - grad).abs() <= 5 * 0.5 / 63 * step + rounding).all()
    assert (draws.std(0) > 0.1 * step).any()


def test_the_same_seed_draws_the_same_roundings_and_another_one_others():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(quantize_gradient(seeded(4, 50), bits=2))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    "grad", [torch.zeros(3, 4), torch.zeros(0, 4), torch.zeros(3), torch.tensor([2.0, 0.0])]
)
def test_gradients_of_zero_stay_finite_and_small(grad):
    y = quantize_gradient(grad, bits=2)
    assert y.shape == grad.shape
    assert ((y - grad).abs() <= 1e-30).all()


def test_bfloat16_gradients_stay_bfloat16():
    y = quantize_gradient(seeded(3, 8).bfloat16(), bits=4)
    assert y.dtype == torch.bfloat16
    assert y.isfinite().all()


def test_within_it_every_quantized_layer_gets_low_bit_gradients_and_outside_none(model):
    x = seeded(8, 3, 6, 6, seed=1)

    def weight_gradients():
        model.zero_grad()
        model(x).square().sum().backward()
        return [model.get_submodule(name).weight.grad.clone() for name in ("0", "3")]

    exact = weight_gradients()
    torch.manual_seed(0)
    with low_bit_gradients(model, 2):
        low = weight_gradients()
    again = weight_gradients()
    for before, within, after in zip(exact, low, again, strict=True):
        assert torch.equal(before, after)
        assert not torch.equal(before, within)
        cosine = nn.functional.cosine_similarity(before.flatten(), within.flatten(), dim=0)
        assert cosine > 0.5  # rounded, not lost


def test_a_linear_layers_gradients_are_products_of_the_quantized_ones(model):
    layer, x = model[3], seeded(6, 64)
    upstream = seeded(6, 5, seed=2)
    layer.activation_quantizer.start_calibration()
    layer.activation_quantizer.observe(x)
    layer.activation_quantizer.end_calibration()
    x.requires_grad_()
    with low_bit_gradients(layer, 3):
        y = layer(x)
        torch.manual_seed(5)
        y.backward(upstream)
    torch.manual_seed(5)
    low = quantize_gradient(upstream, bits=3)
    torch.testing.assert_close(layer.bias.grad, low.sum(0))
    torch.testing.assert_close(layer.weight.grad, low.T @ layer.activation_quantizer(x).detach())


def test_forward_passes_stay_as_they_are(model):
    x = seeded(8, 3, 6, 6, seed=1)
    before = model(x)
    with low_bit_gradients(model, 1):
        assert torch.equal(model(x), before)


def test_none_changes_nothing(model):
    with low_bit_gradients(model, None):
        assert not any(module._forward_hooks for module in model.modules())


def test_its_hooks_are_gone_after_an_error(model):
    with pytest.raises(ZeroDivisionError), low_bit_gradients(model, 4):
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("bits", [0, 9, 32])
def test_other_numbers_of_bits_are_refused(model, bits):
    with pytest.raises(ConfigError, match=f"1 to 8 bits; got {bits}"):
        quantize_gradient(torch.ones(2), bits=bits)
    with pytest.raises(ConfigError, match=f"1 to 8 bits; got {bits}"), low_bit_gradients(model, bits):
        pass
