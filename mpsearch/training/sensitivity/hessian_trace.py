"""`hessian`: the curvature of the loss along each layer's weights and inputs, times how far these move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mpsearch.errors import ConfigError
from mpsearch.quant.layers import QuantLayer
from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe
from mpsearch.training.sensitivity.watched_layers import WatchedLayer, WatchedModel, watched_model

DRAWS = 2  # of each batch


def hessian_traces(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    """added[c][s] = 1/2 sum over the layers of c of
    Tr(H_w) / n_w |Q_s(w) - w|^2 + Tr(H_x) / n_x E|Q_s(x) - x|^2, less that of the highest scheme.

    H_w is the Hessian of the loss of the 32-bit model to the layer's weights w, H_x that of one sample's loss
    to what the layer takes in, n their sizes. Traces by Hutchinson, Tr(H) = E v^T H v with v of random signs,
    `DRAWS` for each batch and layer (one product for all layers would be cheaper and far noisier). A trace
    below 0 counts as 0.

    Source: Dong et al. 2020 (HAWQ-v2), arXiv:1911.03852, section 3; activations as in its section 3.4.
    Raises: ConfigError if the model has no second derivatives; as `watched_model`.
    """
    with watched_model(probe, on_progress) as watched:
        curvature = {layer.name: [0.0, 0.0] for layer in watched.layers}  # of an average weight, and input
        moved = {layer.name: np.zeros((2, len(layer.quantized))) for layer in watched.layers}
        samples = len(probe.validation)
        for inputs, targets in watched.batches(on_progress, "curvature of the loss"):
            share = len(inputs) / samples
            with _own_inputs(watched) as taken, sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
                loss = probe.task.loss(watched.model(inputs), targets)
                called = [layer for layer in watched.layers if layer.name in taken]
                of_weights = _traces(loss, [layer.module.get_parameter("weight") for layer in called])
                of_inputs = _traces(loss, [taken[layer.name] for layer in called])
            for layer, of_weight, of_input in zip(called, of_weights, of_inputs, strict=True):
                # The loss is a mean over the batch: v^T H v is the mean over its samples.
                curvature[layer.name][0] += share * of_weight
                curvature[layer.name][1] += share * of_input * len(inputs)
                moved[layer.name][1] += _input_moves(layer, taken[layer.name].detach()) / samples
        for layer in watched.layers:
            moved[layer.name][0] = _weight_moves(layer)
        return watched.added({name: 0.5 * np.maximum(0.0, curvature[name]) @ moved[name] for name in moved})


@contextmanager
def _own_inputs(watched: WatchedModel) -> Iterator[dict[str, Tensor]]:
    """Layer -> what it takes in, as a tensor that feeds nothing else; filled by a pass inside.

    Of a layer that is called several times, the last call counts.
    """
    found: dict[str, Tensor] = {}

    def hook(
        module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        given = args[0] if args else kwargs["input"]
        own = given.clone() if given.requires_grad else given.detach().clone().requires_grad_()
        found[name_of[module]] = own
        return ((own, *args[1:]), kwargs) if args else (args, {**kwargs, "input": own})

    name_of = {layer.module: layer.name for layer in watched.layers}
    handles = [module.register_forward_pre_hook(hook, with_kwargs=True) for module in name_of]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _traces(loss: Tensor, of: Sequence[Tensor]) -> list[float]:
    """Tr(H) / n for each of the tensors, by Hutchinson; what the loss does not depend on has 0."""
    try:
        gradients = torch.autograd.grad(loss, of, create_graph=True, allow_unused=True)
        sums = [0.0] * len(of)
        for place, (gradient, tensor) in enumerate(zip(gradients, of, strict=True)):
            if gradient is None or not gradient.requires_grad:
                continue
            for _ in range(DRAWS):
                signs = torch.randint_like(tensor, 2) * 2 - 1
                (product,) = torch.autograd.grad(
                    gradient, tensor, grad_outputs=signs, retain_graph=True, allow_unused=True
                )
                if product is not None:
                    sums[place] += float((signs * product).sum()) / DRAWS
    except RuntimeError as error:
        raise ConfigError(
            f"`hessian` needs second derivatives of the model and of its loss; got: {error!s:.200} "
            "Choose `gradient` or `loss`."
        ) from error
    return [found / tensor.numel() for found, tensor in zip(sums, of, strict=True)]


@torch.no_grad()
def _weight_moves(layer: WatchedLayer) -> NDArray[np.float64]:
    """|Q_s(w) - w|^2 of each scheme."""
    return np.array(
        [
            0.0 if each is None else float((each.weight_quantizer(each.weight) - each.weight).square().sum())
            for each in layer.quantized
        ]
    )


@torch.no_grad()
def _input_moves(layer: WatchedLayer, taken: Tensor) -> NDArray[np.float64]:
    """The sum over samples of |Q_s(x) - x|^2, of each scheme."""
    return np.array(
        [
            0.0 if each is None else float((_input_values(each, taken) - taken).square().sum())
            for each in layer.quantized
        ]
    )


def _input_values(layer: QuantLayer, taken: Tensor) -> Tensor:
    """Q_s(x). A scale of the output (of rows, of windows) counts as that of the inputs it is found from."""
    values: Tensor = layer.activation_quantizer(taken)
    scale = layer.activation_quantizer.output_scale(taken)
    if scale is None:
        return values
    of_inputs = scale if isinstance(layer, nn.Linear) else taken.abs().mean(1, keepdim=True)
    return values * of_inputs
