"""Weights that jump to and fro between two integers are frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpsearch.quant.layers import QuantLayer

MOMENTUM = 0.01
FIRST_FACTOR = 4.0  # the threshold falls from so many times the given one, along a cosine


@dataclass(slots=True, eq=False)
class _Layer:
    """Shape: all tensors as the layer's weight."""

    layer: QuantLayer
    integers: Tensor
    mean: Tensor  # of the integers
    direction: Tensor  # of the last change: -1, 0 (none yet), 1
    frequency: Tensor  # of flips
    frozen: Tensor  # where the integer is held
    held: Tensor


class FreezeOscillating:
    """Call after every step with t = step / steps.

    A weight flips when its integer changes in the direction opposite to that of its last change. With o = 1
    at a flip and else 0, f <- m o + (1 - m) f; a weight whose f exceeds the threshold is held at the rounded
    moving average of its integers: its latent value is put back to one that rounds there (scale * integer, or
    what the quantizer's `latent` says) after every step. m is 0.01; the threshold falls from 4 times
    `threshold` to it along a cosine.

    Source: Nagel et al. 2022, arXiv:2203.11086, algorithm 1.
    """

    def __init__(self, model: nn.Module, threshold: float) -> None:
        self._threshold = threshold
        layers = {
            layer.get_parameter("weight"): layer for layer in model.modules() if isinstance(layer, QuantLayer)
        }
        self._layers = [_started(layer) for layer in layers.values()]

    @property
    def frozen_share(self) -> float:
        """The share of the weights that are frozen."""
        frozen = sum(int(state.frozen.sum()) for state in self._layers)
        return frozen / max(1, sum(state.frozen.numel() for state in self._layers))

    @torch.no_grad()
    def __call__(self, t: float) -> None:
        fall = 0.5 * (1 + math.cos(math.pi * t))
        threshold = self._threshold * (1 + (FIRST_FACTOR - 1) * fall)
        for state in self._layers:
            _update(state, threshold)


def _started(layer: QuantLayer) -> _Layer:
    integers, _ = layer.weight_quantizer.quantize(layer.weight.detach())
    zeros = torch.zeros_like(integers)
    return _Layer(
        layer=layer,
        integers=integers.clone(),
        mean=integers.clone(),
        direction=zeros,
        frequency=zeros.clone(),
        frozen=torch.zeros_like(integers, dtype=torch.bool),
        held=zeros.clone(),
    )


def _update(state: _Layer, threshold: float) -> None:
    weight = state.layer.get_parameter("weight")
    integers, scale = state.layer.weight_quantizer.quantize(weight)
    integers = torch.where(state.frozen, state.held, integers)
    change = (integers - state.integers).sign_()
    flips = (change * state.direction).lt_(0)  # 1.0 where the two point apart
    state.direction = torch.where(change == 0, state.direction, change)
    state.frequency.lerp_(flips, MOMENTUM)
    state.mean.lerp_(integers, MOMENTUM)
    newly = (state.frequency > threshold) & ~state.frozen
    nearest = _nearest(state.mean, is_binary=state.layer.scheme.weight_bits == 1)
    state.held = torch.where(newly, nearest, state.held)
    state.frozen |= newly
    state.integers = torch.where(newly, nearest, integers)
    latent = state.layer.weight_quantizer.latent(state.held, scale, weight)
    weight.copy_(torch.where(state.frozen, latent, weight))


def _nearest(mean: Tensor, *, is_binary: bool) -> Tensor:
    if is_binary:  # whose grid has no 0
        return torch.where(mean >= 0, 1.0, -1.0)
    return mean.round()
