"""`gradient`: what the loss gains along its gradients when a layer's output changes (Fisher)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe
from mpsearch.training.sensitivity.watched_layers import WatchedLayer, WatchedModel, watched_model


def output_gradients(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    """added[c][s] = 1/2 sum over the layers of c of E (g . (y_s - y))^2, less that of the highest scheme.

    The second order of the loss with the empirical Fisher matrix E g g^T in place of the Hessian: g is the
    gradient of one sample's loss to the layer's output y in the 32-bit model, y_s the output of the layer
    alone at scheme s for the same input; see `WatchedLayer.changes` for BatchNorm.

    Source: Theis et al. 2018, arXiv:1801.05787 (Fisher in place of the Hessian); Li et al. 2021 (BRECQ),
        arXiv:2102.05426 (to the outputs of layers).
    Raises: as `watched_model`.
    """
    with watched_model(probe, on_progress) as watched:
        sums = {layer.name: np.zeros(len(layer.quantized)) for layer in watched.layers}
        samples = 0
        for inputs, targets in watched.batches(on_progress, "gradients of each layer's output"):
            samples += len(inputs)
            gradients = _gradients(watched, inputs, targets)
            with watched.calls(partial(_weigh, gradients, sums)), torch.no_grad():
                watched.model(inputs)
        return watched.added({name: of_layer / samples for name, of_layer in sums.items()})


def _weigh(
    gradients: dict[str, list[Tensor]],
    sums: dict[str, NDArray[np.float64]],
    layer: WatchedLayer,
    taken: Tensor,
    output: Tensor,
) -> None:
    if not gradients[layer.name]:  # the loss does not depend on it
        return
    gradient = gradients[layer.name].pop(0)
    for code, change in enumerate(layer.changes(taken, output)):
        if change is not None:
            of_samples = (gradient * change).flatten(1).sum(dim=1)
            sums[layer.name][code] += 0.5 * float(of_samples.square().sum())


def _gradients(watched: WatchedModel, inputs: Tensor, targets: Tensor) -> dict[str, list[Tensor]]:
    """Layer -> the gradient of each sample's loss to its output, call by call.

    Hooks, not `autograd.grad`: what follows may write over the output in place.
    """
    found: dict[str, list[Tensor]] = {layer.name: [] for layer in watched.layers}

    def on_call(layer: WatchedLayer, _taken: Tensor, output: Tensor) -> None:
        # The loss is a mean over the batch: times its size, a gradient is that of one sample's.
        output.register_hook(lambda gradient: found[layer.name].insert(0, len(inputs) * gradient))

    with watched.calls(on_call), torch.enable_grad():
        watched.probe.task.loss(watched.model(inputs), targets).backward()
    watched.model.zero_grad()
    return found
