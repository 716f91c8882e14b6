from typing import ClassVar, get_args

import pytest
import torch

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.quant.absmean import AbsmeanQuantizer
from mpsearch.quant.binary_connect import BinaryConnectQuantizer
from mpsearch.quant.bwn import BwnQuantizer
from mpsearch.quant.dorefa import DorefaQuantizer
from mpsearch.quant.elastic_binary import ElasticBinaryQuantizer
from mpsearch.quant.ir_net import IrNetQuantizer
from mpsearch.quant.lsq import LsqQuantizer, least_error_step
from mpsearch.quant.minmax import MinMaxQuantizer
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.scaled_threshold import ScaledThresholdQuantizer, least_error_threshold
from mpsearch.quant.seq import SeqQuantizer
from mpsearch.quant.sign_slope import sign_slope
from mpsearch.quant.ttq import TtqQuantizer
from mpsearch.quant.twn import LearntTwnQuantizer, TwnQuantizer
from mpsearch.quant.xnor_plus_plus import XnorPlusPlusQuantizer

SHAPES = [(4, 3, 5), (6, 3, 3, 3), (8, 1, 3, 3), (3, 1)]


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=SHAPES, ids=str)
def weight(request):
    return seeded(*request.param)


def gradients(quantizer, weight, upstream):
    """Of the latent weights and of each parameter, by name."""
    latent = weight.clone().requires_grad_()
    quantizer(latent).backward(upstream)
    return latent.grad, {name: parameter.grad for name, parameter in quantizer.named_parameters()}


def over_channels(tensor):
    return tensor.sum(tuple(range(1, tensor.ndim)), keepdim=True)


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

    def test_a_state_dict_restores_it_whatever_weights_it_was_made_from(self, weight):
        trained, fresh = self.quantizer(weight), self.quantizer(torch.ones_like(weight))
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter.add_(0.1)
        fresh.load_state_dict(trained.state_dict())
        assert torch.equal(fresh(weight.clone()), trained(weight.clone()))

    def test_bfloat16_autocast_leaves_its_numbers_alone(self, weight):
        quantizer = self.quantizer(weight)
        exact = quantizer(weight.clone())
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(quantizer(weight.clone()), exact)

    def test_layouts_give_the_same_numbers(self):
        weight = seeded(6, 4, 3, 3)
        other = weight.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(self.quantizer(weight)(weight), self.quantizer(weight)(other))


class StraightThroughSuite(WeightQuantizerSuite):
    """The gradient is that of the identity."""

    def test_the_gradient_reaches_the_latent_weights_unchanged(self, weight):
        upstream = seeded(*weight.shape, seed=1)
        latent = weight.clone().requires_grad_()
        self.quantizer(weight)(latent).backward(upstream)
        assert torch.equal(latent.grad, upstream)


class LearntScaleSuite(WeightQuantizerSuite):
    """One learnt scale per channel, whose quantizer is linear in it: y = scale * q(w)."""

    def test_the_scale_gets_the_gradient_of_its_equation(self, weight):
        quantizer, upstream = self.quantizer(weight), seeded(*weight.shape, seed=1)
        _, found = gradients(quantizer, weight, upstream)
        integers, scale = quantizer.quantize(weight)
        expected = over_channels(upstream * integers) * scale / weight[0].numel() ** 0.5  # of log scale
        torch.testing.assert_close(found["log_scale"], expected)

    def test_the_learnt_scale_is_the_one_that_is_used(self, weight):
        quantizer = self.quantizer(weight)
        before = quantizer(weight).detach()
        with torch.no_grad():
            quantizer.log_scale += 1
        torch.testing.assert_close(quantizer(weight), before * torch.e)

    def test_weights_of_other_channels_are_refused(self):
        quantizer = self.quantizer(seeded(6, 4))
        for call in (quantizer, quantizer.quantize):
            with pytest.raises(ShapeError, match=r"6 output channels and 2 dimensions; got \(5, 4\)"):
                call(seeded(5, 4))


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


class TestBinaryConnect(StraightThroughSuite):
    scheme, levels = "w1a8", 2

    def quantizer(self, weight):
        return BinaryConnectQuantizer()

    def test_outputs_are_signs_whatever_the_magnitude_of_the_weights(self):
        y = BinaryConnectQuantizer()(torch.tensor([[0.0, -0.0, -1e-3, 700.0]]))
        assert y.tolist() == [[1, 1, -1, 1]]

    def test_a_forward_pass_with_gradients_keeps_the_weights_within_one(self):
        weight = torch.nn.Parameter(torch.tensor([[0.3, -1.7, 2.5]]))
        quantizer = BinaryConnectQuantizer()
        y = quantizer(weight)
        assert torch.equal(weight.data, torch.tensor([[0.3, -1, 1]]))
        y.sum().backward()
        assert torch.equal(weight.grad, torch.ones(1, 3))

    def test_a_forward_pass_without_gradients_leaves_the_weights_alone(self):
        weight = torch.nn.Parameter(torch.tensor([[0.3, -1.7, 2.5]]))
        with torch.no_grad():
            BinaryConnectQuantizer()(weight)
        BinaryConnectQuantizer().quantize(weight)
        assert torch.equal(weight.data, torch.tensor([[0.3, -1.7, 2.5]]))

    # It has no scale: the three laws of scales become these.
    def test_scaling_the_weights_scales_the_output(self, weight):
        assert torch.equal(self.quantizer(weight)(weight * 1000), self.quantizer(weight)(weight.clone()))

    def test_quantized_weights_are_nearer_to_the_weights_than_zeros_are(self, weight):
        given = weight.clamp(-1, 1) / 2 + weight.sign() / 2  # between 1/2 and 1
        assert (self.quantizer(given)(given) - given).square().sum() < given.square().sum()

    @pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -2.0])
    def test_channels_of_one_value_keep_finite_output_and_positive_scales(self, value):
        y = self.quantizer(None)(torch.full((4, 3, 3, 3), value))
        assert torch.equal(y, torch.full((4, 3, 3, 3), -1.0 if value < 0 else 1.0))


class TestElasticBinary(StraightThroughSuite, LearntScaleSuite):
    scheme, levels = "w1a8", 2

    def quantizer(self, weight):
        return ElasticBinaryQuantizer(weight)

    def test_it_starts_as_bwn(self, weight):
        torch.testing.assert_close(self.quantizer(weight)(weight), BwnQuantizer()(weight))

    def test_weights_beyond_the_scale_still_move(self):
        weight = torch.tensor([[0.1, 0.1, 5.0]])
        found, _ = gradients(self.quantizer(weight), weight, torch.ones(1, 3))
        assert torch.equal(found, torch.ones(1, 3))


SILENT_SHAPES = [(4, 3, 3, 3), (4, 7)]


def with_a_silent_channel(shape):
    weight = seeded(*shape)
    weight[1] = 0
    return weight


@pytest.mark.parametrize("shape", SILENT_SHAPES, ids=str)
@pytest.mark.parametrize("make", [LearntTwnQuantizer, TtqQuantizer])
def test_a_ternary_channel_of_zeros_starts_with_the_mean_scale_of_the_others(make, shape):
    weight = with_a_silent_channel(shape)
    quantizer = make(weight)
    assert not quantizer(weight)[1].any()
    for parameter in quantizer.parameters():
        scale = parameter.detach().exp().flatten()
        torch.testing.assert_close(scale[1], scale[[0, 2, 3]].mean())
    weight[1].view(-1)[0] = 1e-3  # a first step away from 0
    assert quantizer(weight)[1].abs().max() > 0.5


@pytest.mark.parametrize("shape", SILENT_SHAPES, ids=str)
@pytest.mark.parametrize("make", [ElasticBinaryQuantizer, XnorPlusPlusQuantizer])
def test_a_binary_channel_of_zeros_adds_nothing_to_the_output(make, shape):
    weight = with_a_silent_channel(shape)
    assert make(weight)(weight)[1].abs().max() < 1e-7


SLOPED = {
    "bwn": lambda _weight, gradient: BwnQuantizer(gradient=gradient),
    "bwn_through_scale": lambda _weight, gradient: BwnQuantizer(through_scale=True, gradient=gradient),
    "binary_connect": lambda _weight, gradient: BinaryConnectQuantizer(gradient),
    "elastic": lambda weight, gradient: ElasticBinaryQuantizer(weight, gradient=gradient),
}


@pytest.mark.parametrize("progress", [0.0, 0.7])
@pytest.mark.parametrize("gradient", get_args(SignGradient))
@pytest.mark.parametrize("name", SLOPED)
class TestSlopesOfSigns:
    def test_gradients_are_multiplied_by_the_slope_at_weight_over_scale(self, name, gradient, progress):
        weight, upstream = seeded(6, 3, 3, 3).clamp(-1, 1), seeded(6, 3, 3, 3, seed=1)
        plain, sloped = (SLOPED[name](weight, chosen) for chosen in ("identity", gradient))
        sloped.anneal(progress)
        before, of_scale = gradients(plain, weight, upstream)
        found, of_sloped_scale = gradients(sloped, weight, upstream)
        slope = sign_slope(gradient)(weight / plain.quantize(weight)[1], progress)
        by_scale = before - upstream  # what reaches the weights through their scale
        torch.testing.assert_close(found, upstream * slope + by_scale)
        torch.testing.assert_close(of_sloped_scale, of_scale)

    def test_outputs_are_those_of_any_other_slope(self, name, gradient, progress):
        weight = seeded(6, 3, 3, 3).clamp(-1, 1)
        sloped = SLOPED[name](weight, gradient)
        sloped.anneal(progress)
        assert torch.equal(sloped(weight), SLOPED[name](weight, "identity")(weight))


class TestXnorPlusPlus(LearntScaleSuite):
    scheme, levels = "w1a8", 2

    def quantizer(self, weight):
        return XnorPlusPlusQuantizer(weight)

    def test_the_gradient_of_the_weights_is_scaled_and_clipped(self, weight):
        weight = weight * 1.3
        quantizer, upstream = self.quantizer(weight), seeded(*weight.shape, seed=1)
        found, _ = gradients(quantizer, weight, upstream)
        torch.testing.assert_close(found, upstream * quantizer.scale.detach() * (weight.abs() <= 1))

    def test_zero_counts_as_plus_one(self):
        integers, _ = self.quantizer(seeded(1, 3)).quantize(torch.tensor([[0.0, -0.0, -1.0]]))
        assert integers.tolist() == [[1, 1, -1]]


class TestIrNet(WeightQuantizerSuite):
    scheme, levels = "w1a8", 2

    def quantizer(self, weight):
        return IrNetQuantizer()

    def test_a_worked_example(self):
        # Centred: -3, 1, 1, 1; mean magnitude 1.5 = 2^0.58, so the scale is 2^1.
        y = IrNetQuantizer()(torch.tensor([[0.0, 4.0, 4.0, 4.0]]))
        assert y.tolist() == [[-2, 2, 2, 2]]

    def test_scales_are_powers_of_two(self, weight):
        _, scale = IrNetQuantizer().quantize(weight)
        assert torch.equal(scale.log2(), scale.log2().round())

    @pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
    def test_gradients_are_those_of_the_annealed_tanh_of_standardized_weights(self, progress):
        weight, upstream = seeded(6, 3, 3, 3) + 0.2, seeded(6, 3, 3, 3, seed=1)
        quantizer = IrNetQuantizer()
        quantizer.anneal(progress)
        found, _ = gradients(quantizer, weight, upstream)

        latent = weight.clone().requires_grad_()
        dims = (1, 2, 3)
        u = latent - latent.mean(dims, keepdim=True)
        u = u / u.std(dims, keepdim=True, correction=0)
        t = {0.0: 0.1, 0.4: 10**-0.2, 1.0: 10.0}[progress]
        (quantizer.quantize(weight)[1] * max(1 / t, 1) * torch.tanh(t * u)).backward(upstream)
        torch.testing.assert_close(found, latent.grad, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("progress", [0.0, 0.5])
    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_channels_of_few_weights_learn_too(self, count, progress):
        weight = torch.tensor([[0.3, -0.2, 0.25], [0.4, 0.1, -0.5]])[:, :count]
        quantizer = IrNetQuantizer()
        quantizer.anneal(progress)
        found, _ = gradients(quantizer, weight, torch.tensor([[1.0, 0.5, -0.7]] * 2)[:, :count])
        assert (found.abs().sum(1) > 0.01).all()

    @pytest.mark.parametrize("count", [1, 2])
    def test_channels_too_small_to_standardize_are_divided_by_a_constant(self, count):
        weight, upstream = seeded(5, count), seeded(5, count, seed=1)
        quantizer = IrNetQuantizer()
        found, _ = gradients(quantizer, weight, upstream)
        integers, scale = quantizer.quantize(weight)
        deviation = weight.square().mean(1, keepdim=True).sqrt()
        assert torch.equal(integers, weight.sign())
        slope = sign_slope("ede")(weight / deviation, 0.0)
        torch.testing.assert_close(found, upstream * slope * scale / deviation)

    # Powers of two and lost means: its laws of scales are these.
    def test_scaling_the_weights_scales_the_output(self, weight):
        torch.testing.assert_close(
            self.quantizer(weight)(weight * 1024), 1024 * self.quantizer(weight)(weight)
        )

    def test_quantizing_twice_changes_nothing(self, weight):
        once = IrNetQuantizer()(weight)
        assert torch.equal(IrNetQuantizer().quantize(once)[0], IrNetQuantizer().quantize(weight)[0])

    @pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -2.0])
    def test_channels_of_one_value_keep_finite_output_and_positive_scales(self, value):
        weight = seeded(4, 3, 3, 3)
        weight[1] = value
        y, scale = IrNetQuantizer()(weight), IrNetQuantizer().quantize(weight)[1]
        assert y.isfinite().all()
        assert (scale > 0).all()
        assert y[1].abs().max() < 1e-6  # nothing is left of a channel without its mean
        found, _ = gradients(IrNetQuantizer(), weight, torch.ones_like(weight))
        assert found.isfinite().all()


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


class TestLearntTwn(StraightThroughSuite, LearntScaleSuite):
    scheme, levels = "w1.58a8", 3

    def quantizer(self, weight):
        return LearntTwnQuantizer(weight)

    def test_it_starts_as_twn(self, weight):
        torch.testing.assert_close(self.quantizer(weight)(weight), TwnQuantizer()(weight))


class TestScaledThreshold(WeightQuantizerSuite):
    scheme, levels = "w1.58a8", 3

    def quantizer(self, weight):
        return ScaledThresholdQuantizer(weight)

    def test_the_gradient_is_clipped_at_magnitude_one(self, weight):
        upstream = seeded(*weight.shape, seed=1)
        found, _ = gradients(self.quantizer(weight), weight * 1.3, upstream)
        assert torch.equal(found, upstream * ((weight * 1.3).abs() <= 1))

    @pytest.mark.parametrize("seed", range(3))
    def test_no_other_share_of_the_mean_has_a_smaller_error(self, seed):
        weight = seeded(8, 40, seed=seed) ** 3  # heavy tails: far from TWN's 0.7

        def error(share):
            magnitude = weight.abs()
            kept = magnitude > share * magnitude.mean(1, keepdim=True)
            alpha = (magnitude * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
            return float((weight - alpha * kept * weight.sign()).square().sum())

        best = float(least_error_threshold(weight))
        errors = {share / 20: error(share / 20) for share in range(1, 20)}
        assert errors[min(errors, key=lambda share: abs(share - best))] == min(errors.values())
        assert best != pytest.approx(0.7)

    def test_the_threshold_is_kept_when_the_weights_change(self, weight):
        quantizer = self.quantizer(weight)
        before = quantizer.threshold.clone()
        quantizer(weight**3)
        assert torch.equal(quantizer.threshold, before)
        assert "threshold" in quantizer.state_dict()


class TestSeq(WeightQuantizerSuite):
    scheme, levels = "w1.58a8", 3

    def quantizer(self, weight):
        return SeqQuantizer(weight)

    def test_levels_share_the_range_evenly(self):
        quantizer = SeqQuantizer(seeded(1, 8))
        with torch.no_grad():
            quantizer.log_scale.fill_(0)
        y = quantizer(torch.tensor([[0.3, 0.34, 0.99, 1.0, 40.0, -0.3, -0.34, -7.0]]))
        third = 2 / 3
        torch.testing.assert_close(y, torch.tensor([[0, third, third, third, third, 0, -third, -third]]))

    def test_gradients_follow_the_documented_equation(self, weight):
        quantizer, upstream = self.quantizer(weight), seeded(*weight.shape, seed=1)
        with torch.no_grad():
            quantizer.log_scale -= 0.3  # so that many weights are clipped
        found, scales = gradients(quantizer, weight, upstream)
        alpha = quantizer.scale.detach()
        v = weight / alpha
        q = (1.5 * v.clamp(-0.99, 0.99)).round()
        inside = v.abs() <= 0.99
        assert weight.numel() < 10 or (inside.any() and not inside.all())
        torch.testing.assert_close(found, upstream * inside)
        by_alpha = over_channels(upstream * torch.where(inside, q / 1.5 - v, q / 1.5))
        by_alpha = by_alpha / weight[0].numel() ** 0.5
        torch.testing.assert_close(scales["log_scale"], by_alpha * alpha, rtol=1e-3, atol=1e-6)

    def test_it_starts_with_less_error_than_from_the_greatest_magnitude(self):
        weight = seeded(6, 400)
        fitted, greatest = SeqQuantizer(weight), SeqQuantizer(weight)
        with torch.no_grad():
            greatest.log_scale.copy_(weight.abs().amax(1, keepdim=True).log())
        errors = [(q(weight) - weight).square().mean() for q in (fitted, greatest)]
        assert errors[0] < 0.6 * errors[1]
        assert (greatest.quantize(weight)[0] == 0).float().mean() > 0.6  # that is why

    def test_weights_of_other_channels_are_refused(self):
        with pytest.raises(ShapeError, match=r"6 output channels and 2 dimensions; got \(5, 4\)"):
            self.quantizer(seeded(6, 4))(seeded(5, 4))


class TestTtq(WeightQuantizerSuite):
    scheme, levels = "w1.58a8", 3

    def quantizer(self, weight):
        return TtqQuantizer(weight)

    def test_forward_is_the_integers_times_the_scale_to_the_bit(self, weight):
        quantizer = self.quantizer(weight)
        integers, scale = quantizer.quantize(weight)
        assert scale.shape == quantizer.negative_scale().shape == (len(weight), *[1] * (weight.ndim - 1))
        of_sign = torch.where(integers < 0, quantizer.negative_scale(), scale)
        assert torch.equal(quantizer(weight), integers * of_sign)

    def test_it_keeps_what_twn_keeps_and_starts_at_the_mean_of_each_sign(self):
        weight = torch.tensor([[1.0, 3.0, -1.5, 0.1]])
        y = self.quantizer(weight)(weight)
        torch.testing.assert_close(y, torch.tensor([[2.0, 2.0, -1.5, 0.0]]))
        assert torch.equal(y.sign(), TwnQuantizer()(weight).sign())

    def test_gradients_follow_the_documented_equation(self, weight):
        quantizer, upstream = self.quantizer(weight), seeded(*weight.shape, seed=1)
        found, scales = gradients(quantizer, weight, upstream)
        above, below = (quantizer(weight).detach().sign() == sign for sign in (1, -1))
        positive, negative = quantizer.quantize(weight)[1], quantizer.negative_scale()
        slope = torch.where(above, positive, torch.where(below, negative, torch.ones(())))
        torch.testing.assert_close(found, upstream * slope)
        expected = {
            "log_positive": over_channels(upstream * above) * positive,
            "log_negative": -over_channels(upstream * below) * negative,
        }
        torch.testing.assert_close(scales, expected)


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


class MinMaxSuite(StraightThroughSuite):
    bits: ClassVar[int]

    def quantizer(self, weight):
        return MinMaxQuantizer(bits=self.bits)

    def test_the_greatest_magnitude_of_each_channel_is_kept(self, weight):
        y = self.quantizer(weight)(weight).flatten(1)
        torch.testing.assert_close(y.abs().amax(1), weight.flatten(1).abs().amax(1))

    def test_no_weight_moves_by_more_than_half_a_step(self, weight):
        quantizer = self.quantizer(weight)
        step = quantizer.quantize(weight)[1]
        assert ((quantizer(weight) - weight).abs() <= 0.501 * step).all()

    def test_it_has_more_error_than_lsq_where_one_weight_is_far_out(self):
        weight = seeded(4, 400)
        weight[:, 0] = 8
        lsq = (LsqQuantizer(weight, bits=self.bits)(weight) - weight).square().sum()
        assert lsq <= (self.quantizer(weight)(weight) - weight).square().sum()


class TestMinMax4(MinMaxSuite):
    scheme, levels, bits = "w4a8", 16, 4


class TestMinMax8(MinMaxSuite):
    scheme, levels, bits = "w8a8", 256, 8


class DorefaSuite(WeightQuantizerSuite):
    bits: ClassVar[int]

    @pytest.fixture(params=SHAPES, ids=str)
    def weight(self, request):
        return seeded(*request.param) / 20  # as in a trained network: there the tanh is nearly straight

    def quantizer(self, weight):
        return DorefaQuantizer(bits=self.bits)

    def test_the_equation_holds_where_the_tanh_bends(self, weight):
        weight = weight * 40
        limited = weight.tanh() / weight.tanh().abs().max()
        q_max = 2 ** (self.bits - 1) - 1
        expected = weight.abs().max() * (q_max * limited).round() / q_max
        torch.testing.assert_close(self.quantizer(weight)(weight), expected)

    def test_the_gradient_is_that_of_the_tanh(self, weight):
        weight, upstream = weight * 40, seeded(*weight.shape, seed=1)
        found, _ = gradients(self.quantizer(weight), weight, upstream)
        latent = weight.clone().requires_grad_()
        (weight.abs().max() / weight.tanh().abs().max() * latent.tanh()).backward(upstream)
        torch.testing.assert_close(found, latent.grad, rtol=1e-4, atol=1e-5)

    # The tanh bends with the magnitude, and the step is that of the layer.
    def test_scaling_the_weights_scales_the_output(self, weight):
        y, tenth = (self.quantizer(w)(w) for w in (weight, weight / 10))
        assert ((y - 10 * tenth).abs() <= 1.01 * self.quantizer(weight).quantize(weight)[1]).all()

    @pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -2.0])
    def test_channels_of_one_value_keep_finite_output_and_positive_scales(self, value):
        weight = torch.full((4, 3, 3, 3), value)
        y, scale = self.quantizer(weight)(weight), self.quantizer(weight).quantize(weight)[1]
        torch.testing.assert_close(y, weight)
        assert (scale > 0).all()


class TestDorefa4(DorefaSuite):
    scheme, levels, bits = "w4a8", 15, 4


class TestDorefa8(DorefaSuite):
    scheme, levels, bits = "w8a8", 255, 8


@pytest.mark.parametrize("make", [MinMaxQuantizer, DorefaQuantizer])
@pytest.mark.parametrize("bits", [1, 9])
def test_uniform_grids_refuse_bits_outside_two_to_eight_and_name_the_alternative(make, bits):
    with pytest.raises(ConfigError, match=rf"`bits` must be in 2..8; got {bits}. Take a binary quantizer"):
        make(bits=bits)


@pytest.mark.parametrize("bits", [1, 0, 9, 32])
def test_lsq_refuses_bits_outside_two_to_eight_and_names_the_alternative(bits):
    with pytest.raises(ConfigError, match=rf"`bits` must be in 2..8; got {bits}. Take a binary quantizer"):
        LsqQuantizer(seeded(2, 2), bits=bits)


@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_output_has_at_most_two_to_the_bits_levels_per_channel(bits):
    weight = seeded(4, 2000)
    y = LsqQuantizer(weight, bits=bits)(weight)
    assert max(len(channel.unique()) for channel in y) <= 2**bits
