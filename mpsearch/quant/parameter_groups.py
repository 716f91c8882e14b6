"""Which parameters of a fake-quantized model an optimizer should treat alike."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mpsearch.quant.layers import QuantLayer
from mpsearch.quant.quantizer import ActivationQuantizer, WeightQuantizer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParameterGroups:
    """Every trainable parameter once.

    `scales`: steps, scales and thresholds of quantizers (no weight decay). `latent`: weights of layers
    below 2 bits, whose size hardly matters (no weight decay). `weights`: all others.
    """

    weights: tuple[nn.Parameter, ...]
    latent: tuple[nn.Parameter, ...]
    scales: tuple[nn.Parameter, ...]


def parameter_groups(model: nn.Module) -> ParameterGroups:
    """A parameter that several layers hold counts as latent if one of them is below 2 bits."""
    scales: dict[nn.Parameter, None] = {}
    latent: dict[nn.Parameter, None] = {}
    for module in model.modules():
        if isinstance(module, WeightQuantizer | ActivationQuantizer):
            scales.update(dict.fromkeys(module.parameters()))
        elif isinstance(module, QuantLayer) and module.scheme.weight_bits < 2:
            latent[module.get_parameter("weight")] = None
    weights = [p for p in model.parameters() if p not in scales and p not in latent]
    return ParameterGroups(
        weights=tuple(p for p in weights if p.requires_grad),
        latent=tuple(p for p in latent if p.requires_grad),
        scales=tuple(p for p in scales if p.requires_grad),
    )
