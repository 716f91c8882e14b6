"""The average of a model's parameters over the steps of its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """a <- d a + (1 - d) p after every step, with d = min(decay, (1 + k) / (10 + k)) at step k = 1, 2, ...

    So a short training forgets where it began. Integers are not averaged: the latent weights and the logs of
    the scales are, and the average is quantized like any other.

    Source: Polyak and Juditsky 1992, 10.1137/0330046; the rising decay is that of TensorFlow's
        ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._parameters: list[Tensor] = list(model.parameters())
        self._averages = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._averages, self._parameters, 1 - decay)

    @torch.no_grad()
    def load(self) -> None:
        """Put the averages in the place of the parameters."""
        torch._foreach_copy_(self._parameters, self._averages)
