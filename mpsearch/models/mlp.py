"""A multilayer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError


class Mlp(nn.Module):
    """Linear, BatchNorm and ReLU for each hidden width, then the classifier.

    Shape: x (N, *) with `in_features` values a sample -> logits (N, num_classes).
    Raises: ConfigError if a width is below 1.
    """

    def __init__(self, in_features: int, hidden: Sequence[int] = (128, 128), num_classes: int = 10) -> None:
        super().__init__()
        widths = [in_features, *hidden, num_classes]
        if min(widths) < 1:
            raise ConfigError(f"Every width of an Mlp must be at least 1; got {widths}.")
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths[:-1]):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.classifier = nn.Linear(widths[-2], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(torch.flatten(x, 1)))
