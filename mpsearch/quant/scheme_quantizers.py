"""Which quantizers each scheme uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.binary_weight import BwnQuantizer
from mpsearch.quant.int8_activation import Int8Activation
from mpsearch.quant.lsq import LsqQuantizer
from mpsearch.quant.quantizer import ActivationQuantizer, WeightQuantizer
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.quant.sign_activation import SignActivation
from mpsearch.quant.ternary_weight import AbsmeanQuantizer, TwnQuantizer

# From the weights that the layer starts with.
MakeWeight = Callable[[Tensor], WeightQuantizer]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInputs:
    """What an activation quantizer may want to know: the channels, and how many dimensions follow them."""

    channels: int
    spatial_dims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeQuantizers:
    """How to make a layer's quantizers."""

    weight: MakeWeight
    activation: Callable[[LayerInputs], ActivationQuantizer]


BINARY: Mapping[str, MakeWeight] = {"bwn": lambda weight: BwnQuantizer()}  # noqa: ARG005
TERNARY: Mapping[str, MakeWeight] = {
    "twn": lambda weight: TwnQuantizer(),  # noqa: ARG005
    "absmean": lambda weight: AbsmeanQuantizer(),  # noqa: ARG005
}
UNIFORM: Mapping[str, Callable[[Tensor, int], WeightQuantizer]] = {
    "lsq": lambda weight, bits: LsqQuantizer(weight, bits=bits)
}
BINARY_ACTIVATIONS: Mapping[str, Callable[[LayerInputs, QuantizerChoice], ActivationQuantizer]] = {
    "rsign": lambda inputs, choice: SignActivation(
        inputs.channels, spatial_dims=inputs.spatial_dims, gradient=choice.sign_gradient
    )
}
ACTIVATIONS: Mapping[str, Callable[[LayerInputs], ActivationQuantizer]] = {
    "lsq": lambda inputs: Int8Activation()  # noqa: ARG005
}


def scheme_quantizers(scheme: Scheme, choice: QuantizerChoice) -> SchemeQuantizers:
    """The quantizers of a scheme below 32 bits.

    Raises: ConfigError if the scheme has none.
    """
    if scheme.is_full_precision:
        raise ConfigError(f"Only schemes below 32 bits are quantized; got {scheme}.")
    bits = scheme.weight_bits
    if bits == 1:
        weight = BINARY[choice.binary]
    elif bits < 2:
        weight = TERNARY[choice.ternary]
    else:
        uniform = UNIFORM[choice.uniform]

        def weight(given: Tensor) -> WeightQuantizer:
            return uniform(given, int(bits))

    def activation(inputs: LayerInputs) -> ActivationQuantizer:
        if scheme.activation_bits == 1:
            return BINARY_ACTIVATIONS[choice.binary_activation](inputs, choice)
        return ACTIVATIONS[choice.activation](inputs)

    return SchemeQuantizers(weight=weight, activation=activation)
