"""What a layer's weights would take once they are quantized, packed and compressed: known before training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from mpsearch.kernels.compression import compressed_size_bytes
from mpsearch.kernels.packing import pack_weights
from mpsearch.models.layer_lookup import find_layers
from mpsearch.precision.scheme import FULL_PRECISION, Scheme
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.quantizer_choice import STANDARD, QuantizerChoice


@torch.no_grad()
def compressed_weights(
    model: nn.Module, schemes: Mapping[str, Iterable[Scheme]], choice: QuantizerChoice = STANDARD
) -> dict[str, dict[Scheme, int]]:
    """Layer -> scheme -> bytes of its weights, quantized as they are, packed as in a file, and compressed.

    An estimate of a trained policy's: training moves the weights. w32a32 is told of every layer.

    Raises: ConfigError if a name is unknown or a layer cannot be quantized.
    """
    return {
        name: {
            scheme: compressed_size_bytes(_packed(layer, scheme, choice))
            for scheme in dict.fromkeys((*schemes[name], FULL_PRECISION))
        }
        for name, layer in find_layers(model, schemes).items()
    }


def _packed(layer: nn.Module, scheme: Scheme, choice: QuantizerChoice) -> bytes:
    if scheme.is_full_precision:
        weight = layer.get_parameter("weight").detach().cpu().contiguous().numpy()
        return np.ascontiguousarray(weight, "<f4").tobytes()
    quantized = quantize_layer(copy.deepcopy(layer), scheme, choice)
    integers, _ = quantized.weight_quantizer.quantize(quantized.weight)
    return pack_weights(integers.to(torch.int8).cpu().contiguous().numpy(), scheme).tobytes()
