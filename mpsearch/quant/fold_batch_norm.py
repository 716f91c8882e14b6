"""BatchNorm folded into the layer before it, before that layer is quantized."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpsearch.models.graph import ModelGraph


class FoldedBatchNorm(nn.Module):
    """y = x, in the place of a BatchNorm whose work the layer before it does.

    Its buffers are those of a BatchNorm that changes nothing (mean 0, variance 1 - eps, weight 1, bias 0), so
    that they load into the 32-bit model, which then computes the same: sqrt(1 - eps + eps) is 1 to the bit.

    Shape: x (*) -> (*).
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        neutral = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - layer.eps}
        for name, tensor in layer.state_dict(keep_vars=True).items():
            value = torch.full_like(tensor, neutral[name]) if name in neutral else torch.zeros_like(tensor)
            self.register_buffer(name, value.detach())

    def forward(self, x: Tensor) -> Tensor:
        return x


@torch.no_grad()
def fold_batch_norm(model: nn.Module, graph: ModelGraph, layers: Collection[str]) -> nn.Module:
    """A copy of the model in which those of `layers` that a BatchNorm follows do its work too.

    w' = w * f, b' = (b - mean) * f + beta, with f = gamma / sqrt(var + eps) per output channel: in eval mode
    the copy computes what the model does, but for rounding. A pair is folded if the graph holds each of the
    two once, and nothing else reads the layer's output.

    Source: Jacob et al. 2017, arXiv:1712.05877, section 3.2 (there statistics of the batch; here none).
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    replaced: dict[int, Any] = {}
    for layer_name, norm_name in _pairs(graph, layers):
        layer, norm = modules[layer_name], modules[norm_name]
        assert isinstance(norm, _BatchNorm)
        if norm.running_mean is None or norm.running_var is None:
            continue  # it normalizes by the batch in eval mode too
        folded = copy.deepcopy(layer)
        factor = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight
        weight, bias = folded.get_parameter("weight"), folded._parameters["bias"]
        weight.mul_(factor.view(-1, *[1] * (weight.ndim - 1)))
        shift = -norm.running_mean * factor if bias is None else (bias - norm.running_mean) * factor
        folded.register_parameter("bias", nn.Parameter(shift if norm.bias is None else shift + norm.bias))
        replaced[id(layer)], replaced[id(norm)] = folded, FoldedBatchNorm(norm)
    result: nn.Module = copy.deepcopy(model, replaced)
    return result


def _pairs(graph: ModelGraph, layers: Collection[str]) -> list[tuple[str, str]]:
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers[graph.output] += 1
    uses = Counter(node.layer or node.module for node in graph.nodes)
    pairs = []
    for node in graph.nodes:
        if node.kind != "affine":
            continue
        before = graph.node(node.inputs[0])
        is_alone = readers[before.name] == uses[before.layer] == uses[node.module] == 1
        if before.layer in layers and is_alone:
            pairs.append((before.layer, node.module))
    return pairs
