"""One linear layer or convolution of several models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ShapeError
from mpsearch.quant.layers import QuantLayer
from mpsearch.quant.quantizer import ActivationQuantizer
from mpsearch.training.joined_activations import JoinedActivations
from mpsearch.training.joined_parameters import JoinedParameter
from mpsearch.training.joined_weights import JoinedWeights, groups_to_join

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d)


class JoinedLayer(nn.Module):
    """K layers of one shape, each with its own weights and quantizers, as one grouped layer.

    Shape: x (N, K * C, *) -> (N, K * out_channels, *), policy by policy.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self._count = len(layers)
        quantizers = [
            layer.activation_quantizer if isinstance(layer, QuantLayer) else None for layer in layers
        ]
        self._activations = JoinedActivations(quantizers)
        places = {id(layer): place for place, layer in enumerate(layers)}
        self._weights = [
            (JoinedWeights(group), [places[id(layer)] for layer in group]) for group in groups_to_join(layers)
        ]
        together = {place for _, group in self._weights for place in group}
        self._alone = [(place, layer) for place, layer in enumerate(layers) if place not in together]
        biases = [layer.bias for layer in layers if isinstance(layer.bias, nn.Parameter)]
        self._bias = JoinedParameter(biases) if biases else None
        self._product = _product(layers[0], self._count)

    @property
    def joined(self) -> list[JoinedParameter]:
        found = [parameter for weights, _ in self._weights for parameter in weights.parameters]
        found += self._activations.joined
        return found if self._bias is None else [*found, self._bias]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        bias = None if self._bias is None else self._bias.whole
        return self._product(self._activations(input), self._weight(), bias)

    def _weight(self) -> Tensor:
        values: dict[int, Tensor] = {}
        for weights, places in self._weights:
            values.update(zip(places, weights.quantized(), strict=True))
        for place, layer in self._alone:
            weight = layer.get_parameter("weight")
            values[place] = layer.weight_quantizer(weight) if isinstance(layer, QuantLayer) else weight
        return torch.cat([values[place] for place in range(self._count)])


def can_be_joined(layers: Sequence[nn.Module]) -> bool:
    """Whether `JoinedLayer` computes what all of these compute on their own."""
    quantizers: list[ActivationQuantizer | None] = []
    for layer in layers:
        if isinstance(layer, QuantLayer):
            quantizers.append(layer.activation_quantizer)
        elif type(layer) in PLAIN and set(layer._parameters) == {"weight", "bias"}:
            quantizers.append(None)
        else:
            return False
    is_zero_padded = getattr(layers[0], "padding_mode", "zeros") == "zeros"
    return is_zero_padded and JoinedActivations.serves(quantizers)


Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _product(layer: nn.Module, count: int) -> Product:
    if isinstance(layer, nn.Linear):
        return _Linear(count)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    convolution = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv2d

    def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolution(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups * count)

    return product


class _Linear:
    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.ndim != 2:
            raise ShapeError(f"Linear layers are joined over inputs (N, C); got {tuple(x.shape)}.")
        inputs = x.view(len(x), self._count, -1).transpose(0, 1)
        weights = weight.view(self._count, -1, weight.shape[1]).transpose(1, 2)
        if bias is None:
            y = torch.bmm(inputs, weights)
        else:
            y = torch.baddbmm(bias.view(self._count, 1, -1), inputs, weights)
        return y.transpose(0, 1).reshape(len(x), -1)
