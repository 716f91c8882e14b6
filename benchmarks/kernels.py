"""Time each kernel beside torch in 32 bits, interleaved in one run, and print the ratios.

    python benchmarks/kernels.py [--threads N] [--seconds S] [--only TEXT] [--json OUT]

One row per layer shape and scheme: the median and quartiles of whole calls (quantize, product, scale and
bias), multiply-accumulates per second, and how many times faster than torch float32 it is on this
machine. The calls of all schemes and of torch take turns, so that a machine that slows down slows all of
them. Set MPSEARCH_FORCE_ISA to time another instruction set.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpsearch.kernels.native import NativeLayer, build_info
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import SCHEMES

SHAPES = (
    LayerShape(operator="linear", batch=1, in_channels=512, out_channels=512),
    LayerShape(operator="linear", batch=1, in_channels=4096, out_channels=4096),
    LayerShape(operator="linear", batch=256, in_channels=1024, out_channels=1024),
    *(
        LayerShape(
            operator="conv2d",
            batch=batch,
            in_channels=channels,
            out_channels=channels,
            spatial=(side, side),
            kernel=(3, 3),
            padding=(1, 1),
        )
        for batch, channels, side in (
            (1, 16, 32),
            (1, 32, 16),
            (1, 64, 8),
            (1, 64, 56),
            (1, 256, 14),
            (1, 512, 7),
        )
    ),
    LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=3,
        out_channels=16,
        spatial=(32, 32),
        kernel=(3, 3),
        padding=(1, 1),
    ),
    LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=128,
        out_channels=128,
        spatial=(28, 28),
        kernel=(3, 3),
        padding=(1, 1),
        groups=128,
    ),
)


def random_layer(shape: LayerShape, scheme_name: str, rng: np.random.Generator) -> QuantizedLayer:
    """A layer of that shape with uniformly distributed integers."""
    scheme = SCHEMES[scheme_name]
    low, high = WEIGHT_RANGES[scheme_name]
    weight_shape = (shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)
    weight = rng.integers(low, high + 1, weight_shape).astype(np.int8)
    if scheme.weight_bits == 1:
        weight[weight == 0] = 1
    threshold = np.zeros(shape.in_channels, np.float32) if scheme.activation_bits == 1 else None
    return QuantizedLayer(
        operator=shape.operator,
        scheme=scheme,
        weight=weight,
        weight_scale=rng.random(shape.out_channels, dtype=np.float32),
        bias=rng.random(shape.out_channels, dtype=np.float32),
        activation=ActivationFormat(
            bits=scheme.activation_bits, scale=np.float32(1 / 64), threshold=threshold
        ),
        stride=shape.stride,
        padding=shape.padding,
        dilation=shape.dilation,
        groups=shape.groups,
    )


def torch_call(shape: LayerShape, x: torch.Tensor) -> Callable[[], object]:
    """The same layer in torch float32; x (N, C, H, W) in channels-last memory."""
    weight = torch.randn(shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)
    bias = torch.randn(shape.out_channels)
    if shape.operator == "linear":
        flat, matrix = x.flatten(1).contiguous(), weight.flatten(1).contiguous()
        return lambda: torch.nn.functional.linear(flat, matrix, bias)
    weight = weight.contiguous(memory_format=torch.channels_last)
    return lambda: torch.nn.functional.conv2d(
        x, weight, bias, shape.stride, shape.padding, shape.dilation, shape.groups
    )


def native_call(
    shape: LayerShape, layer: QuantizedLayer, x: torch.Tensor, threads: int
) -> Callable[[], object]:
    native = NativeLayer(layer, threads=threads)
    nhwc = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
    out = np.empty((shape.batch, *shape.out_spatial, shape.out_channels), np.float32)
    return lambda: native.run(nhwc, out)


def time_interleaved(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds per call, each name's calls spread over the whole time; short calls are timed in batches."""
    repeats = {}
    for name, call in calls.items():
        call()
        begin = time.perf_counter()
        call()
        repeats[name] = max(1, int(50e-6 / (time.perf_counter() - begin)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or len(samples[name]) < 5:
        for name, call in calls.items():
            begin = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            samples[name].append((time.perf_counter() - begin) / repeats[name])
    return samples


def measure(shape: LayerShape, threads: int, seconds: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = torch.randn(shape.batch, shape.in_channels, *shape.spatial)
    x = x.contiguous(memory_format=torch.channels_last)
    calls = {"w32a32": torch_call(shape, x)}
    for name in WEIGHT_RANGES:
        calls[name] = native_call(shape, random_layer(shape, name, rng), x, threads)
    samples = time_interleaved(calls, seconds)
    base = float(np.median(samples["w32a32"]))
    rows = []
    for name, values in samples.items():
        low, median, high = (float(v) for v in np.quantile(values, (0.25, 0.5, 0.75)))
        rows.append(
            {
                "shape": shape.to_dict(),
                "scheme": name,
                "latency_s": median,
                "quartiles_s": [low, high],
                "repetitions": len(values),
                "macs_per_second": shape.macs / median,
                "torch_fp32_ratio": base / median,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of ours and of torch (default: 1)")
    parser.add_argument("--seconds", type=float, default=0.3, help="time per shape and scheme (default: 0.3)")
    parser.add_argument("--only", default="", help="only shapes whose description contains this text")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    with torch.inference_mode():
        for shape in (shape for shape in SHAPES if arguments.only in str(shape)):
            print(f"\n{shape}, {shape.macs / 1e6:.3g} M multiply-accumulates")
            print(f"  {'scheme':8} {'median':>10} {'quartiles':>21} {'GMAC/s':>8} {'x torch fp32':>13}")
            for row in measure(shape, arguments.threads, arguments.seconds):
                rows.append(row)
                low_us, high_us = (1e6 * quartile for quartile in row["quartiles_s"])
                print(
                    f"  {row['scheme']:8} {row['latency_s'] * 1e6:7.1f} us {low_us:9.1f} ..{high_us:7.1f} us"
                    f" {row['macs_per_second'] / 1e9:8.1f} {row['torch_fp32_ratio']:13.2f}"
                )
    if arguments.json:
        report = {"build": build_info(), "threads": arguments.threads, "measurements": rows}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
