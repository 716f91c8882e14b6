"""A model whose quantized layers run in the native kernels, called by torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.models.fused_inference import disable_fused_inference
from mpsearch.models.graph import ModelGraph
from mpsearch.models.layer_lookup import find_layers
from mpsearch.models.quantizable import is_candidate, smallest_call
from mpsearch.runtime.compiled_model import CompiledModel
from mpsearch.runtime.packed_layer import PackedLayer


class PackedModel(nn.Module):
    """Runs a model in torch with packed layers inside, in eval mode and without gradients.

    Images travel channels last, as the kernels want them. A model that flattens them with `.view` cannot
    take that: its first call fails, is repeated in the order (N, C, H, W), and all later calls use that.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.channels_last = True
        self._has_convolution = any(
            isinstance(m, nn.Conv2d) or (isinstance(m, PackedLayer) and m.operator == "conv2d")
            for m in model.modules()
        )
        self._use_layout(channels_last=True)
        self.eval()

    def train(self, mode: bool = True) -> PackedModel:  # noqa: FBT001 - nn.Module's signature
        """Raises: ConfigError if training is asked for."""
        if mode:
            raise ConfigError("A packed model cannot be trained; train the fake-quantized model instead.")
        super().train(mode=False)
        return self

    @torch.inference_mode()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self.channels_last:
            return self.model(*args, **kwargs)
        try:
            return self.model(*map(self._laid_out, args), **kwargs)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            self._use_layout(channels_last=False)
            return self.model(*args, **kwargs)

    def _laid_out(self, value: Any) -> Any:
        if self._has_convolution and isinstance(value, Tensor) and value.ndim == 4:
            return value.contiguous(memory_format=torch.channels_last)
        return value

    def _use_layout(self, *, channels_last: bool) -> None:
        self.channels_last = channels_last
        for module in self.model.modules():
            if isinstance(module, PackedLayer):
                module.channels_last = channels_last
            elif isinstance(module, nn.Conv2d):
                layout = torch.channels_last if channels_last else torch.contiguous_format
                module.weight.data = module.weight.data.contiguous(memory_format=layout)


@overload
def build_packed_model(
    model: nn.Module, layers: Mapping[str, QuantizedLayer], *, threads: int = 1, graph: None = None
) -> PackedModel: ...
@overload
def build_packed_model(
    model: nn.Module, layers: Mapping[str, QuantizedLayer], *, threads: int = 1, graph: ModelGraph | None
) -> CompiledModel | PackedModel: ...
def build_packed_model(
    model: nn.Module,
    layers: Mapping[str, QuantizedLayer],
    *,
    threads: int = 1,
    graph: ModelGraph | None = None,
) -> CompiledModel | PackedModel:
    """A copy of the model that computes the named layers in the native kernels.

    With its `graph` (of `trace_model`) it is one compiled plan; without, a copy of the model in torch with
    packed layers inside. `model` brings the architecture and, loaded already, all weights but those of
    `layers`, which are not copied. Layers that are not named stay 32-bit PyTorch layers.

    Raises: ConfigError if a name is unknown or no Linear, Conv1d or Conv2d; ShapeError if a packed layer
        has another shape than the layer it replaces.
    """
    for name, module in find_layers(model, layers).items():
        _check_fits(name, module, layers[name])
    if graph is not None:
        return CompiledModel(model, layers, graph, threads=threads)
    return _with_packed_layers(model, layers, threads)


def _with_packed_layers(model: nn.Module, layers: Mapping[str, QuantizedLayer], threads: int) -> PackedModel:
    copies: dict[int, Any] = {}
    for name, module in find_layers(model, layers).items():
        # Names of one shared module share one packed layer.
        if id(module) not in copies:
            copies[id(module)] = PackedLayer(layers[name], threads=threads)
    packed: nn.Module = copy.deepcopy(model, copies)
    disable_fused_inference(packed)
    return PackedModel(packed)


def _check_fits(name: str, module: nn.Module, layer: QuantizedLayer) -> None:
    if not is_candidate(module):
        raise ConfigError(
            f"A packed layer must replace a Linear, Conv1d or Conv2d; {name!r} is a {type(module).__name__}."
        )
    count, depth, height, width = layer.weight.shape
    kernel = {"linear": (), "conv1d": (width,), "conv2d": (height, width)}[layer.operator]
    shape = tuple(module.get_parameter("weight").shape)
    if shape != (count, depth, *kernel):
        raise ShapeError(
            f"The weight of {name!r} must be {shape} as in the model; the packed {layer.operator} has "
            f"{(count, depth, *kernel)}. Use the model that the policy was searched for."
        )
    call = smallest_call(module)
    for field in ("stride", "padding", "dilation", "groups"):
        if getattr(layer, field) != getattr(call, field):
            raise ShapeError(
                f"`{field}` of {name!r} must be {getattr(call, field)} as in the model; the packed "
                f"{layer.operator} has {getattr(layer, field)}. Use the model that the policy was made for."
            )
