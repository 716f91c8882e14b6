from typing import ClassVar

import pytest
import torch

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.quant.absmean import AbsmeanQuantizer
from mpsearch.quant.bwn import BwnQuantizer
from mpsearch.quant.lsq import LsqQuantizer, least_error_step
from mpsearch.quant.twn import TwnQuantizer

SHAPES = [(5, 7), (4, 3, 5), (6, 3, 3, 3), (8, 1, 3, 3), (1, 1), (3, 1, 1, 1)]


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=SHAPES, ids=str)
def weight(request):
    return seeded(*request.param)


class WeightQuantizerSuite:
    """What every weight quantizer must do; a subclass gives the quantizer and its scheme."""

    scheme: ClassVar[str]
    levels: ClassVar[int]

    def quantizer(self, weight):
        raise NotImplementedError

    def test_output_has_at_most_the_levels_of_the_scheme_per_channel(self, weight):
        y = self.quantizer(weight)(weight)
        assert max(len(channel.unique()) for channel in y) <= self.levels

    def test_shape_and_type_are_kept(self, weight):
        y = self.quantizer(weight)(weight)
        assert y.shape == weight.shape
        assert y.dtype == torch.float32

    def test_forward_is_the_integers_times_the_scale_to_the_bit(self, weight):
        quantizer = self.quantizer(weight)
        integers, scale = quantizer.quantize(weight)
        assert scale.shape == (len(weight), *[1] * (weight.ndim - 1))
        assert torch.equal(quantizer(weight), integers * scale)

    def test_integers_fit_the_kernels_range(self, weight):
        low, high = WEIGHT_RANGES[self.scheme]
        integers, _ = self.quantizer(weight).quantize(weight * 3)
        assert torch.equal(integers, integers.round())
        assert integers.min() >= low
        assert integers.max() <= high

    def test_quantizing_twice_changes_nothing(self, weight):
        quantizer = self.quantizer(weight)
        once = quantizer(weight).detach()
        integers = quantizer.quantize(weight)[0]
        again = quantizer.quantize(once)[0]
        assert torch.equal(integers, again)

    @pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -2.0])
    def test_channels_of_one_value_keep_finite_output_and_positive_scales(self, value):
        weight = seeded(4, 3, 3, 3)
        weight[1] = value
        for w in (weight, torch.full((4, 3, 3, 3), value)):
            quantizer = self.quantizer(w)
            assert quantizer(w).isfinite().all()
            assert (quantizer.quantize(w)[1] > 0).all()
            torch.testing.assert_close(quantizer(w)[1], w[1], rtol=0.35, atol=1e-6)

    def test_scaling_the_weights_scales_the_output(self, weight):
        torch.testing.assert_close(
            self.quantizer(weight * 1000)(weight * 1000), 1000 * self.quantizer(weight)(weight)
        )

    def test_quantized_weights_are_nearer_to_the_weights_than_zeros_are(self, weight):
        y = self.quantizer(weight)(weight)
        assert (y - weight).square().sum() < weight.square().sum()

    def test_gradients_reach_every_parameter_and_are_finite(self, weight):
        quantizer = self.quantizer(weight)
        latent = weight.clone().requires_grad_()
        quantizer(latent).backward(seeded(*weight.shape, seed=1))
        for tensor in (latent, *quantizer.parameters()):
            assert tensor.grad.isfinite().all()

    def test_layouts_give_the_same_numbers(self):
        weight = seeded(6, 4, 3, 3)
        other = weight.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(self.quantizer(weight)(weight), self.quantizer(weight)(other))


class StraightThroughSuite(WeightQuantizerSuite):
    def test_the_gradient_reaches_the_latent_weights_unchanged(self, weight):
        upstream = seeded(*weight.shape, seed=1)
        latent = weight.clone().requires_grad_()
        self.quantizer(weight)(latent).backward(upstream)
        assert torch.equal(latent.grad, upstream)


class TestBwn(StraightThroughSuite):
    scheme, levels = "w1a8", 2

    def quantizer(self, weight):
        return BwnQuantizer()

    def test_zero_counts_as_plus_one(self):
        integers, _ = BwnQuantizer().quantize(torch.tensor([[0.0, -0.0, -1.0]]))
        assert integers.tolist() == [[1, 1, -1]]

    def test_scale_is_the_mean_magnitude_of_the_channel(self, weight):
        _, scale = BwnQuantizer().quantize(weight)
        torch.testing.assert_close(scale.flatten(), weight.abs().flatten(1).mean(1))

    def test_a_learnt_scale_adds_the_gradient_through_the_mean(self):
        weight, upstream = seeded(3, 8), seeded(3, 8, seed=1)
        latent = weight.clone().requires_grad_()
        BwnQuantizer(through_scale=True)(latent).backward(upstream)
        through = weight.sign() * (upstream * weight.sign()).mean(1, keepdim=True)
        torch.testing.assert_close(latent.grad, upstream + through)


class TestTwn(StraightThroughSuite):
    scheme, levels = "w1.58a8", 3

    def quantizer(self, weight):
        return TwnQuantizer()

    def test_a_worked_example(self):
        # mean |w| = 1, delta = 0.7: 1.0 and -2.4 stay, alpha is their mean magnitude.
        y = TwnQuantizer()(torch.tensor([[1.0, -2.4, 0.5, 0.1]]))
        torch.testing.assert_close(y, torch.tensor([[1.7, -1.7, 0.0, 0.0]]))


class TestAbsmean(StraightThroughSuite):
    scheme, levels = "w1.58a8", 3

    def quantizer(self, weight):
        return AbsmeanQuantizer()

    def test_a_worked_example(self):
        y = AbsmeanQuantizer()(torch.tensor([[1.0, -2.4], [0.5, 0.1]]))
        # mean |w| = 1, 0.5 rounds half to even
        torch.testing.assert_close(y, torch.tensor([[1.0, -1.0], [0.0, 0.0]]))

    def test_quantizing_twice_changes_nothing(self, weight):
        quantizer = AbsmeanQuantizer()
        once = quantizer(weight)
        # gamma shrinks when weights become 0, and a non-zero weight of gamma stays non-zero
        assert torch.equal(quantizer.quantize(once)[0], quantizer.quantize(weight)[0])

    @pytest.mark.parametrize("value", [0.0, 0.5, -2.0])
    def test_channels_of_one_value_keep_finite_output_and_positive_scales(self, value):
        weight = torch.full((4, 3, 3, 3), value)
        assert AbsmeanQuantizer()(weight).isfinite().all()
        assert (AbsmeanQuantizer().quantize(weight)[1] > 0).all()
        torch.testing.assert_close(AbsmeanQuantizer()(weight), weight, rtol=1e-5, atol=1e-6)


class LsqSuite(WeightQuantizerSuite):
    bits: ClassVar[int]

    def quantizer(self, weight):
        return LsqQuantizer(weight, bits=self.bits)

    def test_gradients_follow_the_documented_equation(self, weight):
        quantizer = self.quantizer(weight)
        with torch.no_grad():
            quantizer.log_step -= 0.5  # so that some weights are clipped
        upstream = seeded(*weight.shape, seed=1)
        latent = weight.clone().requires_grad_()
        quantizer(latent).backward(upstream)

        step = quantizer.step.detach()
        v = weight / step
        q = v.clamp(quantizer.q_min, quantizer.q_max).round()
        inside = (v >= quantizer.q_min) & (v <= quantizer.q_max)
        torch.testing.assert_close(latent.grad, upstream * inside)
        dims = tuple(range(1, weight.ndim))
        by_step = (upstream * torch.where(inside, q - v, q)).sum(dims, keepdim=True)
        by_step = by_step / (weight[0].numel() * quantizer.q_max) ** 0.5
        torch.testing.assert_close(quantizer.log_step.grad, by_step * step, rtol=1e-3, atol=1e-6)

    def test_no_step_of_a_fine_row_has_a_much_smaller_error_than_the_initial_one(self):
        weight = seeded(6, 64)
        quantizer = self.quantizer(weight)
        fine = least_error_step(weight, quantizer.q_min, quantizer.q_max, candidates=400)

        def error(step):
            q = (weight / step).round().clamp(quantizer.q_min, quantizer.q_max)
            return (q * step - weight).square().sum(1)

        assert (error(quantizer.step) <= 1.35 * error(fine)).all()

    def test_weights_of_other_channels_are_refused(self):
        with pytest.raises(ShapeError, match=r"6 output channels and 2 dimensions; got \(5, 4\)"):
            self.quantizer(seeded(6, 4))(seeded(5, 4))


class TestLsq4(LsqSuite):
    scheme, levels, bits = "w4a8", 16, 4


class TestLsq8(LsqSuite):
    scheme, levels, bits = "w8a8", 256, 8


@pytest.mark.parametrize("bits", [1, 0, 9, 32])
def test_lsq_refuses_bits_outside_two_to_eight_and_names_the_alternative(bits):
    with pytest.raises(ConfigError, match=rf"`bits` must be in 2..8; got {bits}. Take a binary quantizer"):
        LsqQuantizer(seeded(2, 2), bits=bits)


@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_output_has_at_most_two_to_the_bits_levels_per_channel(bits):
    weight = seeded(4, 2000)
    y = LsqQuantizer(weight, bits=bits)(weight)
    assert max(len(channel.unique()) for channel in y) <= 2**bits
