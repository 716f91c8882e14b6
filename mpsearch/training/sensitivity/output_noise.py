"""`sqnr`: the share of each layer's output that is noise of its own quantization."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe
from mpsearch.training.sensitivity.watched_layers import WatchedLayer, watched_model


def output_noises(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    """added[c][s] = sum over the layers of c of E|y_s - y|^2 / E|y|^2, less that of the highest scheme.

    One over the signal to quantization noise ratio. y is the layer's output in the 32-bit model, y_s that of
    the layer alone at scheme s for the same input; see `WatchedLayer.changes` for BatchNorm.

    Raises: as `watched_model`.
    """
    with watched_model(probe, on_progress) as watched:
        noise = {layer.name: np.zeros(len(layer.quantized)) for layer in watched.layers}
        signal = dict.fromkeys(noise, 0.0)

        def compare(layer: WatchedLayer, taken: Tensor, output: Tensor) -> None:
            changes = layer.changes(taken, output)
            noise[layer.name] += [
                0.0 if change is None else float(change.square().sum()) for change in changes
            ]
            signal[layer.name] += float(output.square().sum())

        with watched.calls(compare), torch.no_grad():
            for inputs, _ in watched.batches(on_progress, "noise of each layer alone"):
                watched.model(inputs)
        return watched.added({name: noise[name] / max(signal[name], 1e-30) for name in noise})
