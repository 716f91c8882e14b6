"""BatchNorm statistics of a model whose weights have just changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpsearch.errors import ConfigError
from mpsearch.models.trace import evaluating

# What a model is called with: one tensor, or the tuple of its positional arguments.
ModelInputs = Tensor | tuple[Tensor, ...]


def run_model(model: nn.Module, inputs: ModelInputs) -> None:
    """Call the model for its side effects."""
    if isinstance(inputs, tuple):
        model(*inputs)
    else:
        model(inputs)


def _tracking_layers(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Eval mode, but BatchNorm normalizes by the batch at hand; its running statistics stay untouched."""
    layers = _tracking_layers(model)
    with evaluating(model):
        tracked = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
        for layer in layers:
            layer.train()
            # Momentum 0 keeps the running statistics, None the count.
            layer.momentum, layer.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for layer, (momentum, count) in zip(layers, tracked, strict=True):
                layer.momentum, layer.num_batches_tracked = momentum, count


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, batches: Iterable[ModelInputs]) -> None:
    """Replace the running statistics by the plain average over these batches.

    Everything but BatchNorm runs in eval mode; modes and momenta are restored. Without BatchNorm layers
    nothing runs. Equal batch sizes make the average exact.

    Raises: ConfigError if there are no batches.
    """
    layers = _tracking_layers(model)
    if not layers:
        return
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        raise ConfigError("Re-estimating BatchNorm takes at least one batch; got none.")
    momenta = [layer.momentum for layer in layers]
    with evaluating(model):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # PyTorch's cumulative average
            layer.train()
        try:
            run_model(model, first)
            for inputs in remaining:
                run_model(model, inputs)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
