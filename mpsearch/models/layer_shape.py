"""What one layer costs: operator, sizes, work."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme

Operator = Literal["linear", "conv1d", "conv2d"]
OPERATORS: tuple[str, ...] = get_args(Operator)
# What a packed layer computes beside its scheme:
#   two_scales     ternary weights below 0 have a scale of their own
#   token_scale    8-bit inputs of a linear layer: a scale for each row
#   pixel_scale    1-bit inputs: each output is multiplied with the mean magnitude of its window
#   ternary_input  8-bit inputs are clipped to -1, 0 and 1
Extra = Literal["two_scales", "token_scale", "pixel_scale", "ternary_input"]
EXTRAS: tuple[str, ...] = get_args(Extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """Sizes of one call of a layer; equal shapes cost the same.

    `spatial` is (H, W) of the input: (1, L) for conv1d, (1, 1) for linear, whose leading
    dimensions are folded into `batch`. conv1d is a conv2d of height 1. `extras`: what the layer would compute
    beside a scheme that the extra applies to; `at` leaves those of one scheme.

    Shape: weight (out_channels, in_channels / groups, *kernel).
    Raises: ConfigError if a size is not a positive whole number or the sizes do not fit.
    """

    operator: Operator
    batch: int
    in_channels: int
    out_channels: int
    spatial: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    has_bias: bool = True
    extras: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        if type(self.extras) is not tuple or not set(self.extras) <= set(EXTRAS):
            raise ConfigError(f"`extras` must be some of {', '.join(EXTRAS)}; got {self.extras!r:.100}.")
        if self.operator not in OPERATORS:
            raise ConfigError(f"`operator` must be one of {', '.join(OPERATORS)}; got {self.operator!r}.")
        positive = (
            self.batch,
            self.in_channels,
            self.out_channels,
            self.groups,
            *self.spatial,
            *self.kernel,
            *self.stride,
            *self.dilation,
        )
        whole = all(type(size) is int for size in (*positive, *self.padding))
        if not whole or min(positive) < 1 or min(self.padding) < 0:
            raise ConfigError(
                f"Sizes of a layer must be positive whole numbers (padding: 0 or more); got {asdict(self)}."
            )
        if type(self.has_bias) is not bool:
            raise ConfigError(f"`has_bias` must be true or false; got {self.has_bias!r}.")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ConfigError(
                f"`groups` must divide the channels; got {self.groups} groups for "
                f"{self.in_channels} -> {self.out_channels} channels."
            )
        if min(self.out_spatial) < 1:
            raise ConfigError(f"The kernel must fit the padded input; got {asdict(self)}.")

    def at(self, scheme: Scheme) -> LayerShape:
        """The shape with the extras that the layer computes at that scheme, and no other."""
        if not self.extras:
            return self
        applies = {
            "two_scales": scheme.weight_bits == 1.58,
            "token_scale": scheme.activation_bits == 8 and self.operator == "linear",
            "pixel_scale": scheme.activation_bits == 1,
            "ternary_input": scheme.activation_bits == 8,
        }
        return replace(self, extras=tuple(extra for extra in self.extras if applies[extra]))

    @property
    def out_spatial(self) -> tuple[int, int]:
        sizes = zip(self.spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        height, width = ((i + 2 * p - d * (k - 1) - 1) // s + 1 for i, k, s, p, d in sizes)
        return height, width

    @property
    def is_depthwise(self) -> bool:
        return self.groups > 1 and self.groups == self.in_channels

    @property
    def kind(self) -> str:
        """Operator as users name it: linear, conv1d, conv2d, and depthwise_ or grouped_ before a conv."""
        if self.is_depthwise:
            return f"depthwise_{self.operator}"
        return f"grouped_{self.operator}" if self.groups > 1 else self.operator

    @property
    def reduction(self) -> int:
        """Products summed per output: K = in_channels / groups * kernel height * kernel width."""
        return self.in_channels // self.groups * math.prod(self.kernel)

    @property
    def weight_count(self) -> int:
        return self.out_channels * self.reduction

    @property
    def input_count(self) -> int:
        return self.batch * self.in_channels * math.prod(self.spatial)

    @property
    def output_count(self) -> int:
        return self.batch * self.out_channels * math.prod(self.out_spatial)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padded taps included."""
        return self.output_count * self.reduction

    def to_dict(self) -> dict[str, Any]:
        """A JSON object, without `extras` where there are none; `from_dict` is its inverse."""
        fields = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return fields if self.extras else {k: v for k, v in fields.items() if k != "extras"}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> LayerShape:
        """Raises: ConfigError if a field is unknown, missing or of the wrong type."""
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"Not a layer shape: {fields!r:.200} ({error!r:.200}).") from error

    def __str__(self) -> str:
        text = f"{self.kind} {self.in_channels}->{self.out_channels}"
        if self.operator != "linear":
            height, width = self.spatial
            text += f" {self.kernel[0]}x{self.kernel[1]} on {height}x{width}"
            if self.stride != (1, 1):
                text += f" stride {self.stride[0]}x{self.stride[1]}"
        text += f" batch {self.batch}" if self.batch > 1 else ""
        return text + "".join(f" {extra.replace('_', ' ')}" for extra in self.extras)
