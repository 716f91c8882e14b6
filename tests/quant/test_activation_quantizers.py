from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from mpsearch.errors import ConfigError, ShapeError, TrialError
from mpsearch.quant.dorefa_activation import DorefaActivation
from mpsearch.quant.int8_activation import LsqActivation, MinmaxActivation
from mpsearch.quant.lsq_plus_activation import LsqPlusActivation
from mpsearch.quant.pact_activation import PactActivation
from mpsearch.quant.per_token_activation import PerTokenActivation
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sign_activation import FixedSignActivation, RSignActivation
from mpsearch.quant.sign_slope import sign_slope
from mpsearch.quant.ternary_activation import TernaryActivation, ThresholdTernaryActivation
from mpsearch.quant.xnor_activation import XnorActivation


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibrated(quantizer, *inputs: Tensor):
    quantizer.start_calibration()
    for x in inputs:
        quantizer.observe(x)
    quantizer.end_calibration()
    return quantizer


def kernel_integers(format_, x: np.ndarray, channel_axis: int) -> np.ndarray:
    """The equations of ActivationFormat, in numpy."""
    if format_.bits == 1:
        shape = [1] * x.ndim
        shape[channel_axis] = -1
        threshold = np.zeros(1) if format_.threshold is None else format_.threshold
        return np.where(x >= threshold.reshape(shape), 1, -1)
    if format_.scale_of == "token":
        row = np.maximum(
            np.abs(x).max(-1, keepdims=True) * (np.float32(1) / np.float32(127)), np.float32(1e-8)
        )
        return np.clip(np.rint(x * (np.float32(1) / row)), -128, 127)
    rounded = np.rint(x * format_.inverse_scale)
    if format_.ternary:
        return np.clip(rounded, -1, 1)
    return np.clip(rounded, -128 - format_.zero_point, 127 - format_.zero_point)


INPUTS = {
    "after relu": lambda: seeded(8, 6, 5, 5).relu(),
    "signed": lambda: seeded(8, 6, 5, 5),
    "shifted": lambda: seeded(8, 6, 5, 5) * 3 - 7,
    "tiny": lambda: seeded(8, 6, 5, 5) * 1e-6,
    "huge": lambda: seeded(8, 6, 5, 5).abs() * 1e6,
    "zeros": lambda: torch.zeros(8, 6, 5, 5),
    "constant": lambda: torch.full((8, 6, 5, 5), 0.3),
    "dead channel": lambda: seeded(8, 6, 5, 5).relu() * torch.tensor([1.0, 0, 1, 1, 0, 1]).view(6, 1, 1),
    "one outlier": lambda: seeded(8, 6, 5, 5).relu() + 300 * (torch.arange(1200).view(8, 6, 5, 5) == 77),
}


@pytest.fixture(params=INPUTS)
def x(request):
    return INPUTS[request.param]()


class ActivationQuantizerSuite:
    """What every activation quantizer must do; a subclass gives the quantizer and its number of levels."""

    levels: int

    def quantizer(self, channels, spatial_dims):
        raise NotImplementedError

    def test_forward_is_scale_times_the_integers_of_the_format_to_the_bit(self, x):
        quantizer = calibrated(self.quantizer(6, 2), x)
        wide = torch.cat([x, x * 2, -x])
        format_ = quantizer.format()
        integers = kernel_integers(format_, wide.numpy(), 1).astype(np.float32)
        assert np.array_equal(quantizer.quantize(wide)[0].numpy(), integers)
        assert quantizer.quantize(wide)[1].item() == format_.scale
        expected = integers * format_.scale
        assert np.array_equal(quantizer(wide).detach().numpy(), expected)

    def test_output_has_at_most_the_levels_of_its_bits(self, x):
        assert len(calibrated(self.quantizer(6, 2), x)(x).unique()) <= self.levels

    def test_scale_is_positive_and_everything_is_finite(self, x):
        quantizer = calibrated(self.quantizer(6, 2), x)
        y = quantizer(x.requires_grad_())
        y.backward(seeded(*x.shape, seed=1))
        assert quantizer.quantize(x)[1] > 0
        assert y.isfinite().all()
        for tensor in (x, *quantizer.parameters()):
            assert tensor.grad.isfinite().all()

    @pytest.mark.parametrize(("shape", "spatial"), [((4, 6), 0), ((2, 4, 6), 0), ((6,), 0), ((4, 6, 9), 1)])
    def test_linear_and_conv1d_inputs_keep_their_shape(self, shape, spatial):
        quantizer = calibrated(self.quantizer(6, spatial), seeded(*shape))
        assert quantizer(seeded(*shape)).shape == shape

    def test_layouts_give_the_same_numbers_and_gradients(self):
        x, upstream = seeded(4, 6, 5, 5), seeded(4, 6, 5, 5, seed=1)
        quantizer = calibrated(self.quantizer(6, 2), x)
        results = []
        for up in (upstream, upstream.contiguous(memory_format=torch.channels_last)):
            for given in (x, x.contiguous(memory_format=torch.channels_last)):
                given = given.clone().requires_grad_()  # noqa: PLW2901
                quantizer.zero_grad()
                y = quantizer(given)
                y.backward(up)
                results.append([y.detach(), given.grad, *(p.grad for p in quantizer.parameters())])
        for other in results[1:]:
            for left, right in zip(results[0], other, strict=True):
                torch.testing.assert_close(left, right)

    def test_under_autocast_output_is_the_rounded_float32_output_and_gradients_stay_close(self):
        x, upstream = seeded(40, 6, 5, 5).relu().bfloat16(), seeded(40, 6, 5, 5, seed=1).bfloat16()
        quantizer = calibrated(self.quantizer(6, 2), x)
        found = []
        for enabled in (False, True):
            quantizer.zero_grad()
            given = x.clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                y = quantizer(given)
            y.backward(upstream.to(y.dtype))
            found.append((y.detach(), [given.grad, *(p.grad for p in quantizer.parameters())]))
        (wide, exact), (narrow, close) = found
        assert (wide.dtype, narrow.dtype) == (torch.float32, torch.bfloat16)
        assert torch.equal(wide.bfloat16(), narrow)
        for left, right in zip(exact, close, strict=True):
            torch.testing.assert_close(left, right, rtol=0.02, atol=0.02 * float(left.abs().max()))

    def test_low_precision_inputs_are_quantized_in_float32(self):
        x = seeded(4, 6)
        assert calibrated(self.quantizer(6, 0), x)(x.bfloat16()).dtype == torch.float32

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf])
    def test_calibration_inputs_must_be_finite(self, bad):
        x = seeded(4, 6)
        x[1, 2] = bad
        with pytest.raises(TrialError, match="must be finite"):
            calibrated(self.quantizer(6, 0), x)


class CalibratedSuite(ActivationQuantizerSuite):
    """What every quantizer must do, besides, that calibration fits to its inputs."""

    def test_running_before_calibration_is_refused(self):
        quantizer = self.quantizer(6, 0)
        for call in (
            lambda: quantizer(seeded(4, 6)),
            lambda: quantizer.quantize(seeded(4, 6)),
            quantizer.format,
        ):
            with pytest.raises(ConfigError, match=r"must be calibrated before it runs. Call `calibrate`"):
                call()

    def test_a_saved_quantizer_is_calibrated_when_loaded(self):
        x = seeded(4, 6).relu()
        quantizer = calibrated(self.quantizer(6, 0), x)
        loaded = self.quantizer(6, 0)
        loaded.load_state_dict(quantizer.state_dict())
        assert torch.equal(loaded(x), quantizer(x))

    def test_calibrating_again_forgets_the_inputs_of_before(self):
        first, second = seeded(4, 6), seeded(4, 6, seed=1).relu()
        twice = calibrated(calibrated(self.quantizer(6, 0), first), second)
        assert torch.equal(twice(second), calibrated(self.quantizer(6, 0), second)(second))


class Int8Suite(CalibratedSuite):
    """What every 8-bit quantizer must do, besides."""

    levels = 256
    slack = 0.5

    def test_inputs_that_are_never_negative_get_all_256_levels_above_zero(self):
        format_ = calibrated(self.quantizer(50, 0), seeded(50, 50).relu()).format()
        assert format_.zero_point == -128

    def test_quantizing_twice_changes_nothing(self, x):
        quantizer = calibrated(self.quantizer(6, 2), x)
        assert torch.equal(quantizer(quantizer(x)), quantizer(x))

    def test_error_of_a_gaussian_is_below_two_percent(self):
        x = seeded(100, 100)
        error = (calibrated(self.quantizer(100, 0), x)(x) - x).square().mean().sqrt()
        assert error < 0.02

    def clipped(self, *, unsigned):
        """Quantizer, input, upstream gradient, v = x / s, integers and which inputs are not clipped."""
        x, upstream = seeded(16, 40), seeded(16, 40, seed=1)
        quantizer = calibrated(self.quantizer(40, 0), x.relu() if unsigned else x)
        x = (x * 1.5).requires_grad_()  # so that some inputs are clipped
        quantizer(x).backward(upstream)
        zero_point = quantizer.format().zero_point
        low, high = -128 - zero_point, 127 - zero_point
        v = x.detach().double() / quantizer.scale.detach().double()
        inside = (v > low - self.slack) & (v < high + self.slack)
        assert not inside.all()
        return quantizer, x, upstream, v, v.round().clamp(low, high), inside

    @pytest.mark.parametrize("unsigned", [True, False])
    def test_clipped_inputs_get_no_gradient_and_the_others_get_all_of_it(self, unsigned):
        _, x, upstream, _, _, inside = self.clipped(unsigned=unsigned)
        torch.testing.assert_close(x.grad, upstream * inside)


class TestLsq(Int8Suite):
    def quantizer(self, channels, spatial_dims):
        return LsqActivation()

    def test_one_negative_input_in_any_batch_makes_the_grid_signed(self):
        quantizer = calibrated(LsqActivation(), seeded(5, 5).relu(), torch.tensor([[1.0, -0.1]]))
        assert quantizer.format().zero_point == 0

    def test_error_of_a_gaussian_is_below_one_percent(self):
        x = seeded(100, 100)
        error = (calibrated(LsqActivation(), x)(x) - x).square().mean().sqrt()
        assert error < 0.01

    @pytest.mark.parametrize("unsigned", [True, False])
    def test_the_step_learns_from_rounding_errors_and_clipped_inputs(self, unsigned):
        quantizer, _, upstream, v, q, inside = self.clipped(unsigned=unsigned)
        by_scale = (upstream * torch.where(inside, q - v, q)).sum() / (40 * 127) ** 0.5
        expected = (by_scale * quantizer.scale.detach()).float()
        torch.testing.assert_close(quantizer.log_scale.grad, expected, rtol=1e-3, atol=1e-5)


class TestLsqPlus(Int8Suite):
    def quantizer(self, channels, spatial_dims):
        return LsqPlusActivation()

    def test_inputs_like_those_after_silu_use_nearly_all_levels(self):
        x = torch.nn.functional.silu(seeded(200, 200) * 2)
        plain, plus = calibrated(LsqActivation(), x), calibrated(LsqPlusActivation(), x)
        assert -128 < plus.format().zero_point < 0
        assert len(plus(x).unique()) > 1.5 * len(plain(x).unique())
        assert (plus(x) - x).square().mean() < 0.5 * (plain(x) - x).square().mean()

    def test_zero_stays_exact_wherever_the_inputs_lie(self):
        for shift in (-50.0, -1.0, 0.0, 1.0, 50.0):
            quantizer = calibrated(LsqPlusActivation(), seeded(9, 9) + shift)
            assert quantizer(torch.zeros(1, 9)).abs().max() == 0

    def test_step_and_zero_point_learn_as_documented(self):
        quantizer, _, upstream, v, q, inside = self.clipped(unsigned=False)
        scale, share = quantizer.scale.detach(), (40 * 127) ** -0.5
        by_scale = (upstream * torch.where(inside, q - v, q)).sum() * share
        torch.testing.assert_close(quantizer.log_scale.grad, (by_scale * scale).float(), rtol=1e-3, atol=1e-5)
        by_zero_point = -(upstream * ~inside).sum() * scale * share
        torch.testing.assert_close(quantizer.zero_point.grad, 128 * by_zero_point, rtol=1e-3, atol=1e-6)

    def test_the_zero_point_moves_when_clipped_inputs_pull_at_it(self):
        x = seeded(64, 10)
        quantizer = calibrated(LsqPlusActivation(), x)
        before = quantizer.format().zero_point
        optimizer = torch.optim.Adam([quantizer.zero_point], lr=0.02)
        target = x + 2  # beyond the top of the grid
        for _ in range(20):
            optimizer.zero_grad()
            (quantizer(target) - target).square().sum().backward()
            optimizer.step()
        assert quantizer.format().zero_point < before

    @pytest.mark.parametrize("beyond", [0.0, 0.1])
    @pytest.mark.parametrize(("bound", "outward"), [(-1.0, 1.0), (127 / 128, -1.0)])
    def test_the_zero_point_is_not_led_out_of_its_range_but_may_come_back(self, bound, outward, beyond):
        quantizer = calibrated(LsqPlusActivation(), seeded(64, 10))
        with torch.no_grad():
            quantizer.zero_point.fill_(bound - outward * beyond)
        x = torch.cat([seeded(64, 10), torch.full((1, 10), 1e3), torch.full((1, 10), -1e3)])
        gradients = []
        for upstream in (-1.0, 1.0):  # all clipped inputs pull at it one way, then the other
            quantizer.zero_point.grad = None
            quantizer(x).backward(torch.full_like(x, upstream))
            gradients.append(float(quantizer.zero_point.grad))
        assert sorted(abs(gradient) > 0 for gradient in gradients) == [False, True]
        assert sum(gradients) * outward < 0

    def test_a_zero_point_at_its_bound_follows_the_first_pull_inward(self):
        x = seeded(64, 10).relu()
        quantizer = calibrated(LsqPlusActivation(), x)
        assert quantizer.format().zero_point == -128
        optimizer = torch.optim.Adam([quantizer.zero_point], lr=0.02)
        for target, steps in ((x + 2, 50), (-x, 3)):  # beyond the top of the grid, then below 0
            for _ in range(steps):
                optimizer.zero_grad()
                (quantizer(target) - target).square().sum().backward()
                optimizer.step()
        assert quantizer.format().zero_point > -128


class TestPact(Int8Suite):
    slack = 0.0

    def quantizer(self, channels, spatial_dims):
        return PactActivation()

    @pytest.mark.parametrize("unsigned", [True, False])
    def test_alpha_learns_from_clipped_inputs_alone(self, unsigned):
        quantizer, x, upstream, _, _, _ = self.clipped(unsigned=unsigned)
        high, low = (255, 0) if unsigned else (127, -128)
        alpha = quantizer.scale.detach() * high
        at_least, at_most = x.detach() >= alpha, x.detach() <= low / high * alpha
        by_alpha = (upstream * at_least).sum() + (upstream * at_most).sum() * low / high
        expected = by_alpha * alpha / 40**0.5
        torch.testing.assert_close(quantizer.log_scale.grad, expected, rtol=1e-3, atol=1e-5)


class TestMinmax(Int8Suite):
    def quantizer(self, channels, spatial_dims):
        return MinmaxActivation()

    def test_no_calibration_input_is_clipped(self):
        for x in (seeded(9, 9), seeded(9, 9).relu(), -seeded(9, 9).abs()):
            quantizer = calibrated(MinmaxActivation(), x)
            assert (quantizer(x) - x).abs().max() <= 0.5001 * quantizer.scale

    def test_nothing_is_learnt(self):
        assert not list(MinmaxActivation().parameters())


class TestDorefa(Int8Suite):
    slack = 0.0

    def quantizer(self, channels, spatial_dims):
        return DorefaActivation()

    def test_error_of_a_gaussian_is_below_two_percent(self):
        x = seeded(100, 100)
        kept = x.abs() <= 1
        error = calibrated(DorefaActivation(), x)(x) - x
        assert error[kept].abs().max() <= 0.5001 / 127
        assert (error[~kept].abs() >= x[~kept].abs() - 1.01).all()

    def test_it_is_the_papers_equation_between_0_and_1(self):
        x = torch.tensor([0.0, 0.1, 0.5, 0.9999, 1.0, 1.7, 40.0])
        y = calibrated(DorefaActivation(), x)(x)
        torch.testing.assert_close(y, (255 * x.clamp(0, 1)).round() / 255)

    def test_nothing_is_learnt_and_the_size_of_the_inputs_changes_nothing(self):
        small, large = (calibrated(DorefaActivation(), seeded(9, 9) * size) for size in (0.01, 100))
        assert torch.equal(small(seeded(9, 9)), large(seeded(9, 9)))
        assert not list(DorefaActivation().parameters())


class TestRSign(CalibratedSuite):
    levels = 2

    def quantizer(self, channels, spatial_dims):
        return RSignActivation(channels, spatial_dims=spatial_dims)

    def test_calibration_sets_each_threshold_to_the_mean_of_its_channel(self):
        first, second = seeded(4, 6, 5, 5).relu(), seeded(12, 6, 5, 5, seed=1).relu()
        quantizer = calibrated(self.quantizer(6, 2), first, second)
        torch.testing.assert_close(quantizer.threshold.detach(), torch.cat([first, second]).mean((0, 2, 3)))

    def test_inputs_after_relu_take_both_signs_in_every_channel(self):
        x = seeded(4, 6, 5, 5).relu()
        y = calibrated(self.quantizer(6, 2), x)(x)
        assert all(len(y[:, channel].unique()) == 2 for channel in range(6))

    def test_scale_starts_where_the_squared_error_is_least(self):
        x = seeded(400, 6)
        quantizer = calibrated(self.quantizer(6, 0), x)
        centred = x - quantizer.threshold.detach()
        torch.testing.assert_close(quantizer.scale.detach(), centred.abs().mean())

    def test_an_input_at_its_threshold_is_plus_one_and_nan_is_minus_one(self):
        x = torch.tensor([[1.0, -2.0], [1.0, -2.0]])
        quantizer = calibrated(self.quantizer(2, 0), x)
        assert (quantizer(x) > 0).all()
        assert (quantizer(x * torch.nan) < 0).all()

    @pytest.mark.parametrize("gradient", get_args(SignGradient))
    def test_gradients_follow_the_documented_equation(self, gradient):
        x, upstream = seeded(3, 6, 5, 5), seeded(3, 6, 5, 5, seed=1)
        quantizer = calibrated(RSignActivation(6, spatial_dims=2, gradient=gradient), x)
        x.requires_grad_()
        quantizer(x).backward(upstream)

        scale = quantizer.scale.detach()
        u = (x.detach() - quantizer.threshold.detach().view(6, 1, 1)) / scale
        slope = sign_slope(gradient)(u.clone(), 0.0)
        torch.testing.assert_close(x.grad, upstream * slope)
        torch.testing.assert_close(quantizer.threshold.grad, -(upstream * slope).sum((0, 2, 3)))
        by_scale = (upstream * torch.where(u >= 0, 1.0, -1.0)).sum() / (6 * 5 * 5) ** 0.5
        torch.testing.assert_close(quantizer.log_scale.grad, by_scale * scale)

    def test_inputs_of_other_channels_are_refused_not_broadcast(self):
        quantizer = calibrated(self.quantizer(6, 2), seeded(2, 6, 3, 3))
        with pytest.raises(ShapeError, match=r"6 channels in dimension -3; got \(2, 1, 3, 3\)"):
            quantizer(seeded(2, 1, 3, 3))

    def test_an_unknown_gradient_is_refused(self):
        with pytest.raises(ConfigError, match=r"approx_sign.*; got 'cubic'"):
            RSignActivation(6, spatial_dims=0, gradient="cubic")

    def test_annealing_sharpens_the_gradient_and_leaves_the_output(self):
        x = seeded(40, 6)
        quantizer = calibrated(RSignActivation(6, spatial_dims=0, gradient="tanh"), x)
        x.requires_grad_()
        outputs, far = [], []
        for t in (0.0, 0.5, 1.0):
            quantizer.anneal(t)
            y = quantizer(x)
            (gradient,) = torch.autograd.grad(y.sum(), x)
            outputs.append(y.detach())
            u = (x - quantizer.threshold).abs() / quantizer.scale
            far.append(float(gradient[u > 1].sum() / gradient.sum()))
        assert torch.equal(outputs[0], outputs[2])
        assert far[0] > far[1] > far[2]


class TestFixedSign(CalibratedSuite):
    levels = 2

    def quantizer(self, channels, spatial_dims):
        return FixedSignActivation(channels, spatial_dims=spatial_dims)

    def test_output_is_the_sign_times_the_mean_magnitude_of_all_calibration_inputs(self):
        first, second = seeded(4, 6, 5, 5), 3 * seeded(12, 6, 5, 5, seed=1)
        quantizer = calibrated(self.quantizer(6, 2), first, second)
        scale = torch.cat([first, second]).abs().mean()
        torch.testing.assert_close(quantizer(first), torch.where(first >= 0, scale, -scale))

    @pytest.mark.parametrize("gradient", get_args(SignGradient))
    def test_the_gradient_is_the_slope_at_the_input_times_the_scale(self, gradient):
        x, upstream = 3 * seeded(30, 6), seeded(30, 6, seed=1)
        quantizer = calibrated(FixedSignActivation(6, spatial_dims=0, gradient=gradient), x)
        x.requires_grad_()
        quantizer(x).backward(upstream)
        slope = sign_slope(gradient)(x.detach().clone(), 0.0)
        assert quantizer.scale > 2
        torch.testing.assert_close(x.grad, quantizer.scale * upstream * slope)

    def test_nothing_is_learnt(self):
        assert not list(self.quantizer(6, 0).parameters())


class TestXnor(ActivationQuantizerSuite):
    levels = 2

    def quantizer(self, channels, spatial_dims):
        ones, zeros = (1,) * spatial_dims, (0,) * spatial_dims
        return XnorActivation(channels, kernel=ones, stride=ones, padding=zeros, dilation=ones)


class TestPerToken(ActivationQuantizerSuite):
    levels = 255

    def quantizer(self, channels, spatial_dims):
        return PerTokenActivation()


class TestTernary(CalibratedSuite):
    levels = 3

    def quantizer(self, channels, spatial_dims):
        return TernaryActivation()


class TestThresholdTernary(CalibratedSuite):
    levels = 3

    def quantizer(self, channels, spatial_dims):
        return ThresholdTernaryActivation()
