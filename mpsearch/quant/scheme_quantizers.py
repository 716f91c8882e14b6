"""Which quantizers each scheme uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.activation import Int8Activation
from mpsearch.quant.binary import BwnQuantizer, SignActivation
from mpsearch.quant.lsq import LsqQuantizer
from mpsearch.quant.quantizer import ActivationQuantizer, WeightQuantizer
from mpsearch.quant.ternary import AbsmeanQuantizer, TwnQuantizer

Ternary = Literal["twn", "absmean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeQuantizers:
    """How to make a layer's quantizers: `weight` from the weights it starts with, `activation` from the
    input channels and the number of dimensions that follow them.
    """

    weight: Callable[[Tensor], WeightQuantizer]
    activation: Callable[[int, int], ActivationQuantizer]


def _sign(channels: int, spatial_dims: int) -> ActivationQuantizer:
    return SignActivation(channels, spatial_dims=spatial_dims)


def _int8(channels: int, spatial_dims: int) -> ActivationQuantizer:  # noqa: ARG001 - one step per tensor
    return Int8Activation()


TERNARY_QUANTIZERS: dict[str, Callable[[Tensor], WeightQuantizer]] = {
    "twn": lambda weight: TwnQuantizer(),  # noqa: ARG005
    "absmean": lambda weight: AbsmeanQuantizer(),  # noqa: ARG005
}

QUANTIZERS: dict[str, SchemeQuantizers] = {
    "w1a1": SchemeQuantizers(weight=lambda weight: BwnQuantizer(), activation=_sign),  # noqa: ARG005
    "w1a8": SchemeQuantizers(weight=lambda weight: BwnQuantizer(), activation=_int8),  # noqa: ARG005
    "w1.58a8": SchemeQuantizers(weight=TERNARY_QUANTIZERS["twn"], activation=_int8),
    "w4a8": SchemeQuantizers(weight=lambda weight: LsqQuantizer(weight, bits=4), activation=_int8),
    "w8a8": SchemeQuantizers(weight=lambda weight: LsqQuantizer(weight, bits=8), activation=_int8),
}


def scheme_quantizers(scheme: Scheme, *, ternary: Ternary = "twn") -> SchemeQuantizers:
    """The quantizers of a scheme below 32 bits.

    Raises: ConfigError if the scheme has none or the ternary quantizer is unknown.
    """
    if ternary not in TERNARY_QUANTIZERS:
        raise ConfigError(f"`ternary` must be one of {', '.join(get_args(Ternary))}; got {ternary!r}.")
    if scheme.name not in QUANTIZERS:
        raise ConfigError(
            f"Only schemes below 32 bits are quantized ({', '.join(QUANTIZERS)}); got {scheme}."
        )
    found = QUANTIZERS[scheme.name]
    if scheme.weight_bits == 1.58:
        return SchemeQuantizers(weight=TERNARY_QUANTIZERS[ternary], activation=found.activation)
    return found
