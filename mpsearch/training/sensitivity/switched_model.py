"""A model whose layers hold all their schemes at once and compute by the one that is chosen: a supernet."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpsearch.models.fused_inference import disable_fused_inference
from mpsearch.models.layer_lookup import find_layers
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.layers import QuantLayer, quantize_layer
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.training.layout import prepare_model


class SwitchedLayer(nn.Module):
    """One layer at several schemes: they share weight and bias, and have quantizers of their own.

    `runs_all` lets every scheme see the inputs, for calibration.
    """

    def __init__(self, layer: nn.Module, schemes: Sequence[Scheme], choice: QuantizerChoice) -> None:
        super().__init__()
        self.schemes = tuple(schemes)
        self.branches = nn.ModuleList(
            layer if scheme.is_full_precision else quantize_layer(layer, scheme, choice) for scheme in schemes
        )
        if len(schemes) > 1:
            for branch in self.branches:
                if isinstance(branch, QuantLayer):
                    branch.weight_quantizer.share_weights()
        self.place = len(schemes) - 1
        self.runs_all = False

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.runs_all:
            with torch.no_grad():
                for branch in self.branches:
                    branch(*args, **kwargs)
        output: Tensor = self.branches[self.place](*args, **kwargs)
        return output

    @property
    def weight(self) -> Tensor:
        """For models that tie it to another layer's."""
        return self.branches[0].get_parameter("weight")


def switched_model(
    model: nn.Module, schemes: Mapping[str, Sequence[Scheme]], choice: QuantizerChoice
) -> nn.Module:
    """A copy of the model with each named layer switched; `choose` a policy before it is run.

    Raises: ConfigError if a layer cannot be quantized.
    """
    copies: dict[int, Any] = {}
    for name, module in find_layers(model, schemes).items():
        if id(module) not in copies:
            copies[id(module)] = SwitchedLayer(copy.deepcopy(module, copies), schemes[name], choice)
    switched: nn.Module = copy.deepcopy(model, copies)
    disable_fused_inference(switched)
    return prepare_model(switched)


def choose(switched: nn.Module, policy: PrecisionPolicy) -> None:
    """Let each layer compute by its scheme in the policy."""
    for name, layer in switched.named_modules():
        if isinstance(layer, SwitchedLayer):
            layer.place = layer.schemes.index(policy[name])


def run_all(switched: nn.Module, *, runs_all: bool) -> None:
    for layer in switched.modules():
        if isinstance(layer, SwitchedLayer):
            layer.runs_all = runs_all
