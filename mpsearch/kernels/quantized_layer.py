"""One layer as integers: everything that a kernel needs to compute it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ShapeError
from mpsearch.models.layer_shape import Extra, Operator
from mpsearch.precision.scheme import Scheme

# Least and greatest integer of a weight, by scheme; binary weights are never 0.
WEIGHT_RANGES: dict[str, tuple[int, int]] = {
    "w1a1": (-1, 1),
    "w1a8": (-1, 1),
    "w1.58a8": (-1, 1),
    "w4a8": (-8, 7),
    "w8a8": (-128, 127),
}


MAX_THREADS = 256  # `kMaxThreads` of the kernels
LEAST_TOKEN_SCALE = np.float32(1e-8)
# `x * TOKEN_STEP`, not `x / 127`: training, reference and kernels then round alike.
TOKEN_STEP = np.float32(1) / np.float32(127)

# Where the scale of a layer's input comes from; their places are those of `InputScale` in the kernels.
ScaleOf = Literal["layer", "token", "pixel"]
SCALES: tuple[str, ...] = get_args(ScaleOf)

MAX_EXTENT = 1 << 15  # of stride, padding and dilation: sizes of images then fit 64 bits by far


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActivationFormat:
    """How a layer's input becomes integers.

    8 bit: a = clip(round_half_even(x * inverse_scale), -128 - zero_point, 127 - zero_point) + zero_point,
           stored as int8; x_hat = scale * (a - zero_point). zero_point is 0 (signed input),
           -128 (input >= 0, so that the integers 0..255 fit int8), or whatever was learnt in between and
           above: -128..127.
    1 bit: a = +1 if x >= threshold[c] else -1; x_hat = scale * a. NaN counts as -1.

    `scale_of`: `scale` of the layer; or 1, and each output is multiplied besides by a factor from the input:
    token  8 bit, linear layers: r = max(max |x| * TOKEN_STEP, 1e-8) over the C inputs of a row, and
           a = clip(round_half_even(x * (1 / r)), -128, 127).
    pixel  1 bit: K = sum of |x| over all channels and taps of the window / (C * taps); padding adds 0.
    Ternary, 8 bit with a `ternary_step`: a = clip(round_half_even(x * (1 / ternary_step)), -1, 1); zero_point
           is 0, and x_hat = scale * a as ever.

    Padding is the real number 0 in every scheme: it adds nothing to a sum.

    Shape: threshold (in_channels,), 1 bit only.
    """

    bits: int
    scale: np.float32
    zero_point: int = 0
    threshold: NDArray[np.float32] | None = None
    scale_of: ScaleOf = "layer"
    ternary_step: np.float32 | None = None

    def __post_init__(self) -> None:
        if self.scale_of not in SCALES or (self.scale_of != "layer" and self.scale != 1):
            raise ShapeError(
                f"`scale_of` must be one of {', '.join(SCALES)}, with a scale of 1 for the last two; got "
                f"{self.scale_of!r} and {self.scale}."
            )
        if self.bits == (1 if self.scale_of == "token" else 8 if self.scale_of == "pixel" else 0):
            raise ShapeError(f"{self.bits}-bit activations have no scale for each {self.scale_of}.")
        if self.zero_point and (self.ternary or self.scale_of == "token"):
            raise ShapeError(
                "Ternary activations, and those with a scale for each token, have a zero point of 0; got "
                f"{self.zero_point}."
            )
        if self.ternary and (self.bits != 8 or self.scale_of != "layer"):
            raise ShapeError("Ternary activations have 8 bits and one scale for the layer.")
        with np.errstate(over="ignore", divide="ignore"):
            for number in (self.scale, self.scale if self.ternary_step is None else self.ternary_step):
                if not (np.isfinite(number) and number > 0 and np.isfinite(np.float32(1) / number)):
                    raise ShapeError(
                        f"An activation scale must be > 0, and finite like its inverse; got {number}."
                    )
        if self.bits == 8:
            if not -128 <= self.zero_point <= 127 or self.threshold is not None:
                raise ShapeError(
                    "8-bit activations take a zero point in -128..127 and no threshold; got "
                    f"{self.zero_point}."
                )
        elif self.bits == 1:
            if self.threshold is None or self.threshold.dtype != np.float32 or self.threshold.ndim != 1:
                raise ShapeError("1-bit activations take a float32 threshold per input channel.")
            if self.zero_point != 0:
                raise ShapeError(f"1-bit activations have no zero point; got {self.zero_point}.")
            if np.isnan(self.threshold).any():
                raise ShapeError("Thresholds must be numbers; got NaN.")
        else:
            raise ShapeError(f"Activations of a quantized layer have 1 or 8 bits; got {self.bits}.")

    @property
    def inverse_scale(self) -> np.float32:
        """float32(1) / scale, rounded once: training and kernels multiply by this same number.

        Ternary: of the step.
        """
        return np.float32(1) / np.float32(self.scale if self.ternary_step is None else self.ternary_step)

    @property
    def ternary(self) -> bool:
        return self.ternary_step is not None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedLayer:
    """Integer weights, scales, activation format and geometry of one layer.

    y[n] = (sum over k of (a[k] - zero_point) * weight[n, k]) * (activation.scale * weight_scale[n]) + bias[n]

    With a `negative_scale` the weights below 0 have that scale instead: the sums over each sign are
    multiplied by their own scale, then added. Where activations have a scale for each token or pixel, that
    multiplies the result before the bias is added.

    Shape: weight (N, C / groups, KH, KW) int8 (linear: KH = KW = 1; conv1d: KH = 1);
           weight_scale (N,) float32; negative_scale (N,) float32 or None, ternary weights only;
           bias (N,) float32 or None.
    Raises: ShapeError if shapes, types or the range of the integers do not fit the scheme.
    """

    operator: Operator
    scheme: Scheme
    weight: NDArray[np.int8]
    weight_scale: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: ActivationFormat
    negative_scale: NDArray[np.float32] | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        if self.scheme.name not in WEIGHT_RANGES:
            raise ShapeError(f"A quantized layer takes a scheme below 32 bits; got {self.scheme}.")
        if self.weight.dtype != np.int8 or self.weight.ndim != 4 or self.weight.size == 0:
            raise ShapeError(
                f"`weight` must be int8 (N, C / groups, KH, KW), not empty; "
                f"got {self.weight.dtype} {self.weight.shape}."
            )
        count = self.weight.shape[0]
        for name, array in (
            ("weight_scale", self.weight_scale),
            ("negative_scale", self.negative_scale),
            ("bias", self.bias),
        ):
            if array is not None and (array.dtype != np.float32 or array.shape != (count,)):
                raise ShapeError(f"`{name}` must be float32 ({count},); got {array.dtype} {array.shape}.")
            if array is not None and not np.isfinite(array).all():
                raise ShapeError(f"`{name}` must be finite; got NaN or infinity.")
        with np.errstate(over="ignore"):
            factors = self.scale if self.negative_factor is None else self.negative_factor + self.scale
            if not np.isfinite(factors).all():
                raise ShapeError(
                    f"Activation scale times weight scale must be finite; got {self.activation.scale} times "
                    f"up to {np.abs(self.weight_scale).max()}."
                )
        if self.negative_scale is not None and self.scheme.weight_bits != 1.58:
            raise ShapeError(f"Only ternary weights have a `negative_scale`; got {self.scheme}.")
        if self.activation.scale_of == "token" and (self.operator != "linear" or self.groups != 1):
            raise ShapeError(f"Only a linear layer has a scale for each token; got a {self.operator}.")
        low, high = WEIGHT_RANGES[self.scheme.name]
        if self.weight.min() < low or self.weight.max() > high:
            raise ShapeError(
                f"Weights of {self.scheme} must lie in {low}..{high}; "
                f"got {self.weight.min()}..{self.weight.max()}."
            )
        if self.scheme.weight_bits == 1 and not self.weight.all():
            raise ShapeError(f"Weights of {self.scheme} must be -1 or +1; got 0.")
        if self.activation.bits != self.scheme.activation_bits:
            raise ShapeError(
                f"{self.scheme} takes {self.scheme.activation_bits}-bit activations; "
                f"got {self.activation.bits}."
            )
        if self.groups < 1 or count % self.groups:
            raise ShapeError(
                f"`groups` must be at least 1 and divide {count} output channels; got {self.groups}."
            )
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            sizes = getattr(self, name)
            if len(sizes) != 2 or not all(isinstance(s, int) and least <= s <= MAX_EXTENT for s in sizes):
                raise ShapeError(
                    f"`{name}` must be two whole numbers in {least}..{MAX_EXTENT}; got {sizes!r:.100}."
                )
        threshold = self.activation.threshold
        if threshold is not None and threshold.shape != (self.in_channels,):
            raise ShapeError(f"`threshold` must have {self.in_channels} entries; got {threshold.shape}.")

    @property
    def scale(self) -> NDArray[np.float32]:
        """float32(activation.scale) * weight_scale, rounded once: the factor of integer sums. (N,)."""
        return np.float32(self.activation.scale) * self.weight_scale

    @property
    def negative_factor(self) -> NDArray[np.float32] | None:
        """The same of the weights below 0, where they have a scale of their own. (N,)."""
        if self.negative_scale is None:
            return None
        return np.float32(self.activation.scale) * self.negative_scale

    @property
    def extras(self) -> tuple[Extra, ...]:
        """What it computes beside its scheme; see `mpsearch.models.layer_shape.Extra`."""
        found: dict[Extra, bool] = {
            "two_scales": self.negative_scale is not None,
            "token_scale": self.activation.scale_of == "token",
            "pixel_scale": self.activation.scale_of == "pixel",
            "ternary_input": self.activation.ternary,
        }
        return tuple(extra for extra, is_on in found.items() if is_on)

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[1]) * self.groups
