"""Weights of one layer in several models, quantized together."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mpsearch.quant.layers import QuantLayer
from mpsearch.quant.quantizer import WeightQuantizer
from mpsearch.training.joined_parameters import JoinedParameter


class JoinedWeights:
    """The layers' latent weights under one quantizer, as further output channels.

    Quantizers work channel by channel, with parameters per channel, so one call serves all layers of a kind.

    Shape: weights (N, *) of K layers -> (K * N, *).
    """

    def __init__(self, layers: Sequence[QuantLayer]) -> None:
        self._count = len(layers)
        self._weight = JoinedParameter([layer.get_parameter("weight") for layer in layers])
        self._quantizer, self._joined = _joined_quantizer([layer.weight_quantizer for layer in layers])

    @property
    def parameters(self) -> list[JoinedParameter]:
        return [self._weight, *self._joined]

    def quantized(self) -> Sequence[Tensor]:
        """Of each layer, as the weights are now, with gradients."""
        value: Tensor = self._quantizer(self._weight.whole)
        return value.chunk(self._count)


def _joined_quantizer(
    quantizers: Sequence[WeightQuantizer],
) -> tuple[WeightQuantizer, list[JoinedParameter]]:
    joined = copy.deepcopy(quantizers[0])
    parameters = []
    for name, _ in quantizers[0].named_parameters():
        parameter = JoinedParameter([quantizer.get_parameter(name) for quantizer in quantizers])
        parameters.append(parameter)
        place, _, last = name.rpartition(".")
        joined.get_submodule(place).register_parameter(last, parameter.whole)
    return joined, parameters


def groups_to_join(layers: Sequence[nn.Module]) -> list[list[QuantLayer]]:
    """Those layers whose weights may be quantized together: two or more of a kind, of one shape.

    A quantizer may hold numbers of the whole layer (a mean over all weights): whether joining changes what it
    computes, or its gradients, is found out by trying, with weights that differ from layer to layer.
    """
    alike: dict[tuple[object, ...], list[QuantLayer]] = {}
    for layer in layers:
        if isinstance(layer, QuantLayer) and (kind := _kind(layer)) is not None:
            alike.setdefault(kind, []).append(layer)
    return [group for group in alike.values() if len(group) > 1 and _is_same_together(group)]


def _kind(layer: QuantLayer) -> tuple[object, ...] | None:
    """What layers that are joined have in common; None for one that holds more or anneals."""
    quantizer = layer.weight_quantizer
    channels = len(layer.weight)
    if any(True for _ in quantizer.buffers()) or quantizer.is_annealed:
        return None
    if any(parameter.ndim == 0 or len(parameter) != channels for parameter in quantizer.parameters()):
        return None
    settings = []
    for module in quantizer.modules():
        for name, value in vars(module).items():
            if name.startswith("_") or name == "training":
                continue
            if not isinstance(value, (int, float, str, bool, type(None))):
                return None
            settings.append((name, value))
    return (type(quantizer), tuple(layer.weight.shape), layer.weight.requires_grad, tuple(settings))


@torch.enable_grad()
def _is_same_together(layers: Sequence[QuantLayer]) -> bool:
    copies = [copy.deepcopy(layer.weight_quantizer) for layer in layers]
    # Before training all are copies of one layer, and a mean over all of them is that of each.
    weights = [(layer.weight.detach() * (1 + place)).requires_grad_() for place, layer in enumerate(layers)]
    generator = torch.Generator().manual_seed(0)
    slopes = [torch.randn(weight.shape, generator=generator).to(weight.device) for weight in weights]
    alone = [quantizer(weight) for quantizer, weight in zip(copies, weights, strict=True)]
    alone_leaves = [*weights, *(p for quantizer in copies for p in quantizer.parameters())]
    alone_grads = torch.autograd.grad(alone, alone_leaves, slopes, allow_unused=True)
    together, joined = _joined_quantizer(copies)
    weight = torch.cat([weight.detach() for weight in weights]).requires_grad_()
    value = together(weight)
    leaves = [weight, *(parameter.whole for parameter in joined)]
    grads = torch.autograd.grad(value, leaves, torch.cat(slopes), allow_unused=True)
    per_layer = len(alone_leaves) // len(layers) - 1
    own = [alone_grads[: len(layers)]]
    own += [alone_grads[len(layers) + place :: per_layer] for place in range(per_layer)]
    return torch.equal(value, torch.cat([part.detach() for part in alone])) and all(
        _are_close(grad, parts) for grad, parts in zip(grads, own, strict=True)
    )


def _are_close(grad: Tensor | None, parts: Sequence[Tensor | None]) -> bool:
    given = [part for part in parts if part is not None]
    if grad is None or len(given) != len(parts):
        return grad is None and not given
    return torch.allclose(grad, torch.cat(given), rtol=1e-4, atol=1e-6)
