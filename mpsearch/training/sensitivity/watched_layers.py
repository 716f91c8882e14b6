"""The layers of the trained model while it runs: what each takes in and puts out, at 32 bits and lowered."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpsearch.models.layer_lookup import find_layers
from mpsearch.models.trace import evaluating
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.layers import QuantLayer, quantize_layer
from mpsearch.training.device import device_of, seeded, trial_device
from mpsearch.training.layout import as_model_input
from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe
from mpsearch.training.sparse_weights import SparseWeights
from mpsearch.training.student import folded
from mpsearch.training.trial import baseline_model

BATCH = 32
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WatchedLayer:
    """A 32-bit layer, and itself at each scheme of its choice: None at w32a32.

    `quantized` hold parameters of their own, and are calibrated to what the 32-bit model feeds the layer.
    `is_normalized`: its output goes straight into a BatchNorm whose statistics are re-estimated.
    """

    name: str
    module: nn.Module
    place: int
    quantized: tuple[QuantLayer | None, ...]
    is_normalized: bool

    @torch.no_grad()
    def changes(self, taken: Tensor, output: Tensor) -> list[Tensor | None]:
        """What each scheme adds to the output for that input; None at 32 bits, which adds nothing.

        Where a BatchNorm follows, each channel is shifted and stretched to the mean and deviation that it
        had, as re-estimated statistics do.
        """
        return [
            None if layer is None else self._as_normalized(layer(taken), output) - output
            for layer in self.quantized
        ]

    def _as_normalized(self, lowered: Tensor, output: Tensor) -> Tensor:
        if not self.is_normalized:
            return lowered
        over = tuple(axis for axis in range(output.ndim) if axis != 1)
        deviation, mean = torch.std_mean(output, dim=over, keepdim=True, correction=0)
        own_deviation, own_mean = torch.std_mean(lowered, dim=over, keepdim=True, correction=0)
        return (lowered - own_mean) * (deviation / (own_deviation + _LEAST_DEVIATION)) + mean


# A layer, what it takes in, what it puts out.
OnCall = Callable[[WatchedLayer, Tensor, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WatchedModel:
    """The trained model in eval mode, on the recipe's device, and its layers that can be chosen."""

    probe: SensitivityProbe
    model: nn.Module
    layers: tuple[WatchedLayer, ...]

    @contextmanager
    def calls(self, on_call: OnCall) -> Iterator[None]:
        """Inside, each call of a layer is told."""

        def hook_of(layer: WatchedLayer) -> Callable[..., None]:
            def hook(
                _module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor
            ) -> None:
                on_call(layer, args[0] if args else kwargs["input"], output)

            return hook

        handles = [
            layer.module.register_forward_hook(hook_of(layer), with_kwargs=True) for layer in self.layers
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def batches(self, on_progress: OnProgress, what: str) -> Iterator[tuple[Tensor, Tensor]]:
        """The probe's validation samples, with their targets, on the model's device."""
        device, split = trial_device(self.probe.recipe.device), self.probe.validation
        for done, (inputs, targets) in enumerate(split.batches(BATCH)):
            on_progress(done * BATCH, len(split), what)
            yield as_model_input(inputs.to(device)), targets.to(device)
        on_progress(len(split), len(split), what)

    def added(self, sums: dict[str, NDArray[np.float64]]) -> Added:
        """Layer -> a value for each scheme, to what each choice adds over its highest scheme, at least 0."""
        found = tuple(np.zeros(len(choice.schemes)) for choice in self.probe.choices)
        for layer in self.layers:
            found[layer.place][:] += sums[layer.name]
        return tuple(np.maximum(0.0, of_choice - of_choice[-1]) for of_choice in found)


@contextmanager
def watched_model(probe: SensitivityProbe, on_progress: OnProgress) -> Iterator[WatchedModel]:
    """The model of the probe with calibrated layers. Draws inside follow from the probe's seed.

    Raises: ConfigError if a layer cannot be quantized; TrialError if an input of a layer is not finite.
    """
    device = trial_device(probe.recipe.device)
    on_progress(0, len(probe.validation), "calibrating each layer alone")
    with seeded(probe.seed, device):
        model = baseline_model(probe.task, probe.baseline).to(device)
        names = [(place, name) for place, choice in enumerate(probe.choices) for name in choice.layers]
        if probe.recipe.fold_batch_norm:
            trace = probe.baseline.memory.traced(model, probe.task.example_inputs)
            model = folded(model, probe.policy([0] * len(probe.choices)), trace)
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())  # a frozen layer may be lowered too
        modules = find_layers(model, [name for _, name in names])
        normalized = _normalized(model, modules, probe) if probe.recipe.reestimate_batch_norm else set()
        layers = tuple(
            WatchedLayer(
                name=name,
                module=modules[name],
                place=place,
                quantized=tuple(_quantized(modules[name], s, probe) for s in probe.choices[place].schemes),
                is_normalized=name in normalized,
            )
            for place, name in names
        )
        watched = WatchedModel(probe=probe, model=model, layers=layers)
        with evaluating(model):
            _calibrate(watched)
            yield watched


def _quantized(module: nn.Module, scheme: Scheme, probe: SensitivityProbe) -> QuantLayer | None:
    if scheme.is_full_precision:
        return None
    module = copy.deepcopy(module)
    if probe.recipe.prune and scheme.is_ternary:
        SparseWeights([module.get_parameter("weight")], probe.recipe.prune)
    layer = quantize_layer(module, scheme, probe.recipe.quantizers)
    assert isinstance(layer, QuantLayer)
    return layer.eval()


@torch.no_grad()
def _normalized(model: nn.Module, layers: Mapping[str, nn.Module], probe: SensitivityProbe) -> set[str]:
    """Names of the layers whose output is what a BatchNorm takes in."""
    found: set[str] = set()
    last: dict[str, weakref.ref[Tensor]] = {}

    def put_out(name: str, _module: nn.Module, _args: Any, output: Tensor) -> None:
        last[name] = weakref.ref(output)

    def take_in(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found.update(name for name, output in last.items() if output() is args[0])

    handles = [module.register_forward_hook(partial(put_out, name)) for name, module in layers.items()]
    handles += [
        module.register_forward_pre_hook(take_in)
        for module in model.modules()
        if isinstance(module, _BatchNorm)
    ]
    try:
        with evaluating(model):
            model(as_model_input(probe.calibration.inputs[:2].to(device_of(model))))
    finally:
        for handle in handles:
            handle.remove()
    return found


@torch.no_grad()
def _calibrate(watched: WatchedModel) -> None:
    quantizers = [
        layer.activation_quantizer for each in watched.layers for layer in each.quantized if layer is not None
    ]
    for quantizer in quantizers:
        quantizer.start_calibration()

    def observe(layer: WatchedLayer, taken: Tensor, _output: Tensor) -> None:
        for quantized in layer.quantized:
            if quantized is not None:
                quantized.activation_quantizer.observe(taken)

    device = trial_device(watched.probe.recipe.device)
    with watched.calls(observe):
        for inputs, _ in watched.probe.calibration.batches(BATCH):
            watched.model(as_model_input(inputs.to(device)))
    for quantizer in quantizers:
        quantizer.end_calibration()
