"""Where leaving out zero blocks of ternary weights pays, against the dense kernel, interleaved in one run.

    python benchmarks/zero_skipping.py [--seconds S] [--json OUT]

Zeros are scattered (each weight for itself) or in blocks of 16 input channels x 64 output channels, which is
what the kernel can leave out. The dense kernel's time does not depend on its weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from kernel_cases import CASES, random_layer
from kernels import time_interleaved
from numpy.typing import NDArray

from mpsearch.kernels.native import NativeLayer, build_info
from mpsearch.kernels.quantized_layer import QuantizedLayer

SHAPES = ("gemv 4096^2", "gemm 128^3", "gemm 1024^3", "conv 3x3 28^2 x 128", "conv 3x3 14^2 x 256")
SPARSITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BLOCK_CHANNELS, BLOCK_COLUMNS = 16, 64


def scattered(weight: NDArray[np.int8], sparsity: float, rng: np.random.Generator) -> NDArray[np.int8]:
    signs = rng.choice(np.array([-1, 1], np.int8), weight.shape)
    return np.where(rng.random(weight.shape) < sparsity, np.int8(0), signs)


def in_blocks(weight: NDArray[np.int8], sparsity: float, rng: np.random.Generator) -> NDArray[np.int8]:
    signs = rng.choice(np.array([-1, 1], np.int8), weight.shape)
    columns, channels, *kernel = weight.shape
    shape = (-(-columns // BLOCK_COLUMNS), -(-channels // BLOCK_CHANNELS), *kernel)
    zero = (rng.random(shape) < sparsity).repeat(BLOCK_COLUMNS, 0).repeat(BLOCK_CHANNELS, 1)
    return np.where(zero[:columns, :channels], np.int8(0), signs)


def with_weight(layer: QuantizedLayer, weight: NDArray[np.int8]) -> QuantizedLayer:
    return QuantizedLayer(
        **{name: getattr(layer, name) for name in QuantizedLayer.__slots__ if name != "weight"}, weight=weight
    )


def measure(name: str, seconds: float) -> list[dict[str, Any]]:
    shape = CASES[name]
    rng = np.random.default_rng(0)
    layer = random_layer(shape, "w1.58a8", rng)
    x = rng.normal(size=(shape.batch, *shape.spatial, shape.in_channels)).astype(np.float32)
    out = np.empty((shape.batch, *shape.out_spatial, shape.out_channels), np.float32)

    def call(weight: NDArray[np.int8]) -> Any:
        native = NativeLayer(with_weight(layer, weight))
        native.run(x, out)
        return lambda: native.run_product(out)

    calls = {"dense": call(scattered(layer.weight, 0.0, rng))}
    for sparsity in SPARSITIES:
        calls[f"scattered {sparsity}"] = call(scattered(layer.weight, sparsity, rng))
        calls[f"blocks {sparsity}"] = call(in_blocks(layer.weight, sparsity, rng))
    samples = time_interleaved(calls, seconds)
    medians = {key: float(np.median(values)) for key, values in samples.items()}
    return [
        {
            "shape": name,
            "zeros": zeros,
            "sparsity": sparsity,
            "latency_s": medians[f"{zeros} {sparsity}"],
            "dense_latency_s": medians["dense"],
        }
        for zeros in ("scattered", "blocks")
        for sparsity in SPARSITIES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=0.1, help="time per shape and sparsity (default: 0.1)"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{'times faster than dense at a sparsity of':42}" + "".join(f"{s:7.0%}" for s in SPARSITIES))
    for name in SHAPES:
        measured = measure(name, arguments.seconds)
        rows += measured
        for zeros in ("scattered", "blocks"):
            ratios = [r["dense_latency_s"] / r["latency_s"] for r in measured if r["zeros"] == zeros]
            print(f"{name + ', ' + zeros:42}" + "".join(f"{ratio:7.2f}" for ratio in ratios), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"build": build_info(), "measurements": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
