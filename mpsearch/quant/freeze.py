"""From a fake-quantized layer to the integers that its kernel takes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpsearch.errors import ConfigError, ExportError
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.quant.layers import QuantLayer


@torch.no_grad()
def freeze_layer(layer: nn.Module) -> QuantizedLayer:
    """The layer as integers. weight * weight_scale equals the fake-quantized weight to the bit (below 0
    negative_scale's, where there is one).

    Raises: ConfigError if the layer is not fake-quantized or not calibrated; ExportError if its weights
        or scales are not finite.
    """
    if not isinstance(layer, QuantLayer):
        raise ConfigError(
            f"Only a fake-quantized layer can be frozen; got a {type(layer).__name__}. "
            "Use `quantize_model` first."
        )
    activation = layer.activation_quantizer.format()
    for name, parameter in layer.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ExportError(
                f"A layer must be finite to be frozen; `{name}` of a {type(layer).__name__} ({layer.scheme}) "
                "holds NaN or infinity. Train it with a lower learning rate."
            )
    bias = layer.get_parameter("bias") if layer.bias is not None else None
    integers, scale = layer.weight_quantizer.quantize(layer.weight)
    negative_scale = layer.weight_quantizer.negative_scale()
    count, depth, *kernel = integers.shape
    height, width = (1, 1) if not kernel else (1, *kernel) if len(kernel) == 1 else kernel
    return QuantizedLayer(
        operator=layer.operator,
        scheme=layer.scheme,
        weight=integers.to(torch.int8).reshape(count, depth, height, width).cpu().numpy(),
        weight_scale=_as_array(scale),
        negative_scale=None if negative_scale is None else _as_array(negative_scale),
        bias=None if bias is None else bias.detach().cpu().numpy().copy(),
        activation=activation,
        groups=getattr(layer, "groups", 1),
        **layer.geometry,
    )


def _as_array(scale: Tensor) -> NDArray[np.float32]:
    return scale.reshape(-1).contiguous().cpu().numpy().astype(np.float32)


def freeze_model(model: nn.Module) -> dict[str, QuantizedLayer]:
    """Name -> frozen layer, for every fake-quantized layer; a shared one under its first name.

    Raises: as `freeze_layer`.
    """
    return {
        name: freeze_layer(module) for name, module in model.named_modules() if isinstance(module, QuantLayer)
    }
