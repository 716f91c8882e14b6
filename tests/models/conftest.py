"""A model graph computed node by node in torch, as its docstring says: what a compiled plan must equal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.models.graph import ModelGraph, Node


@pytest.fixture
def interpret() -> Callable[[ModelGraph, nn.Module, Tensor], Tensor]:
    return interpreted


@torch.no_grad()
def interpreted(graph: ModelGraph, model: nn.Module, x: Tensor) -> Tensor:
    """x (N, C), (N, C, L) or (N, C, H, W) -> the output; every value is (N, C, H, W) in between."""
    modules = dict(model.named_modules(remove_duplicate=False))
    values = {graph.nodes[0].name: spread(x)}
    for node in graph.nodes[1:]:
        inputs = [values[name] for name in node.inputs]
        y = OPERATORS[node.kind](node, modules, *inputs)
        height, width, channels = node.size
        assert y.shape == (len(x), channels, height, width), node
        values[node.name] = y
    output = values[graph.output]
    return {2: output.flatten(1), 3: output[:, :, 0], 4: output}[graph.output_rank]


def spread(x: Tensor) -> Tensor:
    return x[:, :, None, None] if x.ndim == 2 else x[:, :, None] if x.ndim == 3 else x


def layer(node: Node, modules: dict[str, nn.Module], x: Tensor) -> Tensor:
    shape, module = node.shape, modules[node.layer]
    weight = module.weight.reshape(shape.out_channels, -1, *shape.kernel)
    return F.conv2d(x, weight, module.bias, shape.stride, shape.padding, shape.dilation, shape.groups)


def affine(node: Node, modules: dict[str, nn.Module], x: Tensor) -> Tensor:
    bn = modules[node.module]
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, training=False, eps=bn.eps)


def subsample(node: Node, modules: dict[str, nn.Module], x: Tensor) -> Tensor:
    down, across = node.stride
    after = node.size[2] - x.shape[1] - node.channels_before
    return F.pad(x[:, :, ::down, ::across], (0, 0, 0, 0, node.channels_before, after))


OPERATORS = {
    "layer": layer,
    "affine": affine,
    "clamp": lambda node, modules, x: torch.clamp(x, node.low, node.high),
    "add": lambda node, modules, a, b: a + b,
    "max_pool": lambda node, modules, x: F.max_pool2d(x, node.kernel, node.stride, node.padding),
    "avg_pool": lambda node, modules, x: F.avg_pool2d(x, node.kernel, node.stride, node.padding),
    "subsample": subsample,
    "flatten": lambda node, modules, x: x.flatten(1)[:, :, None, None],
}
