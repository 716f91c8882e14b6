"""What a packed model would take with compressed weights: the truth beside the estimate of a search."""

from __future__ import annotations

import numpy as np

from mpsearch.export.packed_file import PackedFile
from mpsearch.kernels.compression import compressed_size_bytes
from mpsearch.kernels.packing import pack_weights


def compressed_model_bytes(packed: PackedFile) -> int:
    """Bytes of weights.bin with each layer's weights compressed, those of 32 bits too; all else as it lies.

    `packed` as `read_packed` returns it.
    """
    parts = [pack_weights(layer.weight, layer.scheme).tobytes() for layer in packed.layers.values()]
    for name, scheme in packed.manifest.policy.items():
        weight = packed.floats.get(f"{name}.weight") if scheme.is_full_precision else None
        if weight is not None:
            parts.append(np.ascontiguousarray(weight.numpy(), "<f4").tobytes())
    saved = sum(len(part) - compressed_size_bytes(part) for part in parts)
    return packed.manifest.weights_bytes - saved
