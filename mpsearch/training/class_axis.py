"""Which axis of a model's outputs counts the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def class_axis(output: Tensor, targets: Tensor, loss: Callable[..., Any]) -> int | None:
    """The axis of logits, told by the targets' shape; None where there are no two classes anywhere.

    Targets that are numbers of classes lack that axis: it is the last one, or dimension 1 as PyTorch's cross
    entropy has it, which decides where both fit. Targets that are probabilities have it in dimension 1.

    Shape: output (N, classes), (N, *, classes) or (N, classes, *); targets (N, *), or as output.
    """
    takes_first = loss is F.cross_entropy or isinstance(loss, nn.CrossEntropyLoss)
    if output.ndim < 2:
        return None
    if targets.is_floating_point():
        axis: int | None = 1 if targets.shape == output.shape else None
    else:
        fits_first = (*output.shape[:1], *output.shape[2:]) == tuple(targets.shape)
        fits_last = tuple(output.shape[:-1]) == tuple(targets.shape)
        if fits_first and (takes_first or not fits_last):
            axis = 1
        elif fits_last:
            axis = output.ndim - 1
        else:
            axis = 1 if takes_first else output.ndim - 1
    return axis if axis is not None and output.shape[axis] > 1 else None
