"""Which quantizers each scheme uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.absmean import AbsmeanQuantizer
from mpsearch.quant.binary_connect import BinaryConnectQuantizer
from mpsearch.quant.bwn import BwnQuantizer
from mpsearch.quant.dorefa import DorefaQuantizer
from mpsearch.quant.dorefa_activation import DorefaActivation
from mpsearch.quant.elastic_binary import ElasticBinaryQuantizer
from mpsearch.quant.int8_activation import LsqActivation, MinmaxActivation
from mpsearch.quant.ir_net import IrNetQuantizer
from mpsearch.quant.lsq import LsqQuantizer
from mpsearch.quant.lsq_plus_activation import LsqPlusActivation
from mpsearch.quant.minmax import MinMaxQuantizer
from mpsearch.quant.pact_activation import PactActivation
from mpsearch.quant.per_token_activation import PerTokenActivation
from mpsearch.quant.quantizer import ActivationQuantizer, WeightQuantizer
from mpsearch.quant.quantizer_choice import QuantizerChoice, SignGradient
from mpsearch.quant.scaled_threshold import ScaledThresholdQuantizer
from mpsearch.quant.seq import SeqQuantizer
from mpsearch.quant.sign_activation import FixedSignActivation, RSignActivation
from mpsearch.quant.ternary_activation import TernaryActivation, ThresholdTernaryActivation
from mpsearch.quant.ttq import TtqQuantizer
from mpsearch.quant.twn import LearntTwnQuantizer, TwnQuantizer
from mpsearch.quant.xnor_activation import XnorActivation
from mpsearch.quant.xnor_plus_plus import XnorPlusPlusQuantizer

# From the weights that the layer starts with.
MakeWeight = Callable[[Tensor], WeightQuantizer]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInputs:
    """What an activation quantizer may want to know: the channels, how many dimensions follow them, and a
    convolution's windows over these.
    """

    channels: int
    spatial_dims: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeQuantizers:
    """How to make a layer's quantizers."""

    weight: MakeWeight
    activation: Callable[[LayerInputs], ActivationQuantizer]


BINARY: Mapping[str, Callable[[Tensor, SignGradient], WeightQuantizer]] = {
    "bwn": lambda _weight, gradient: BwnQuantizer(gradient=gradient),
    "bwn_through_scale": lambda _weight, gradient: BwnQuantizer(through_scale=True, gradient=gradient),
    "binary_connect": lambda _weight, gradient: BinaryConnectQuantizer(gradient),
    "elastic": lambda weight, gradient: ElasticBinaryQuantizer(weight, gradient=gradient),
    "xnor_plus_plus": lambda weight, _gradient: XnorPlusPlusQuantizer(weight),
    "ir_net": lambda _weight, _gradient: IrNetQuantizer(),
}
TERNARY: Mapping[str, MakeWeight] = {
    "twn": lambda _weight: TwnQuantizer(),
    "twn_learnt": LearntTwnQuantizer,
    "absmean": lambda _weight: AbsmeanQuantizer(),
    "threshold": ScaledThresholdQuantizer,
    "seq": SeqQuantizer,
    "ttq": TtqQuantizer,
}
UNIFORM: Mapping[str, Callable[[Tensor, int], WeightQuantizer]] = {
    "lsq": lambda weight, bits: LsqQuantizer(weight, bits=bits),
    "minmax": lambda _weight, bits: MinMaxQuantizer(bits=bits),
    "dorefa": lambda _weight, bits: DorefaQuantizer(bits=bits),
}
BINARY_ACTIVATIONS: Mapping[str, Callable[[LayerInputs, QuantizerChoice], ActivationQuantizer]] = {
    "rsign": lambda inputs, choice: RSignActivation(
        inputs.channels, spatial_dims=inputs.spatial_dims, gradient=choice.sign_gradient
    ),
    "sign": lambda inputs, choice: FixedSignActivation(
        inputs.channels, spatial_dims=inputs.spatial_dims, gradient=choice.sign_gradient
    ),
    "xnor": lambda inputs, choice: XnorActivation(
        inputs.channels,
        kernel=inputs.kernel,
        stride=inputs.stride,
        padding=inputs.padding,
        dilation=inputs.dilation,
        gradient=choice.sign_gradient,
    ),
}
ACTIVATIONS: Mapping[str, Callable[[LayerInputs], ActivationQuantizer]] = {
    "lsq": lambda _inputs: LsqActivation(),
    "lsq_plus": lambda _inputs: LsqPlusActivation(),
    "pact": lambda _inputs: PactActivation(),
    "minmax": lambda _inputs: MinmaxActivation(),
    "dorefa": lambda _inputs: DorefaActivation(),
    # The windows of a convolution mix pixels: those keep one learnt scale.
    "per_token": lambda inputs: LsqActivation() if inputs.spatial_dims else PerTokenActivation(),
    "ternary": lambda _inputs: TernaryActivation(),
    "ternary_threshold": lambda _inputs: ThresholdTernaryActivation(),
}


def scheme_quantizers(scheme: Scheme, choice: QuantizerChoice) -> SchemeQuantizers:
    """The quantizers of a scheme below 32 bits.

    Raises: ConfigError if the scheme has none.
    """
    if scheme.is_full_precision:
        raise ConfigError(f"Only schemes below 32 bits are quantized; got {scheme}.")

    def activation(inputs: LayerInputs) -> ActivationQuantizer:
        if scheme.activation_bits == 1:
            return BINARY_ACTIVATIONS[choice.binary_activation](inputs, choice)
        return ACTIVATIONS[choice.activation](inputs)

    return SchemeQuantizers(weight=_weight_quantizer(scheme.weight_bits, choice), activation=activation)


def _weight_quantizer(bits: float, choice: QuantizerChoice) -> MakeWeight:
    if bits == 1:
        binary = BINARY[choice.binary]
        return lambda weight: binary(weight, choice.binary_gradient)
    if bits < 2:
        return TERNARY[choice.ternary]
    uniform = UNIFORM[choice.uniform]
    return lambda weight: uniform(weight, int(bits))
