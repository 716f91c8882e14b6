"""Time each kernel beside its limit and beside torch, interleaved in one run.

    python benchmarks/kernels.py [--bars] [--threads N] [--seconds S] [--only TEXT] [--json OUT]

For every shape and scheme: the product alone (activations quantized already), the whole layer from float32
to float32, the peak of the product's instruction sequence out of registers (for one to eight rows also the
bandwidth at which this machine reads as many bytes as the packed weights), torch in float32, and the fastest
int8 engine of torch: its operator alone beside the product, with quantization beside the layer. All of a
shape's calls take turns, so that a machine that slows down slows all of them; medians are compared.

--bars also says which of the project's bars are met. MPSEARCH_FORCE_ISA times another instruction set.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kernel_bars
import numpy as np
import torch
from kernel_cases import CASES, random_layer
from kernel_threads import compare_threads
from torch_rivals import float_call, int8_calls

from mpsearch.kernels.native import NativeLayer, available_isas, selected_isa
from mpsearch.kernels.peak import peak_macs_per_s, read_bytes_per_s, sequence_of
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.models.layer_shape import LayerShape

SAMPLE_S = 400e-6  # short calls are timed in batches of this: their data are in the cache that holds them
WARM_S = 2e-3  # untimed calls before each sample: one pass does not bring 16 MB back into a shared L3 cache
# One row of activations: these weights cost as much to decode as to multiply, and that is part of the limit.
ROW_SEQUENCES = {"w1.58a8": "ternary_decode", "w1a8": "binary_decode"}
FEW_ROWS = 8  # up to here a linear layer reads each weight about once


def time_interleaved(
    calls: dict[str, Callable[[], object]], seconds: float, clock: Callable[[], float] = time.thread_time
) -> dict[str, list[float]]:
    """Seconds per call, each name's calls spread over the whole time; short calls are timed in batches.

    The default clock counts this thread's time on a core: other processes then cost it their traces in the
    caches alone.
    """
    repeats, untimed = {}, {}
    for name, call in calls.items():
        call()
        begin = clock()
        call()
        call_s = max(clock() - begin, 1e-9)
        repeats[name] = max(1, int(SAMPLE_S / call_s))
        untimed[name] = max(1, min(10, int(WARM_S / call_s)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or len(samples[name]) < 9:
        for name, call in calls.items():
            for _ in range(untimed[name]):  # bring back what the others drove out of the caches
                call()
            begin = clock()
            for _ in range(repeats[name]):
                call()
            samples[name].append((clock() - begin) / repeats[name])
    return samples


class Rate:
    """A peak, sampled at each call; `macs_per_s` is the median."""

    def __init__(self, sample: Callable[[], float]) -> None:
        self._sample = sample
        self._rates: list[float] = []

    def __call__(self) -> None:
        self._rates.append(self._sample())

    @property
    def macs_per_s(self) -> float:
        return float(np.median(self._rates))


def peaks_of(shape: LayerShape, scheme: str, packed_bytes: int, threads: int) -> list[Rate]:
    """Limits of a product; it cannot be faster than the least of them."""
    isa = selected_isa(scheme)
    sequence = sequence_of(isa, scheme)
    if sequence is None or shape.is_depthwise or threads > 1:
        return []
    peaks = [Rate(lambda: peak_macs_per_s(isa, sequence))]
    if shape.operator == "linear" and shape.batch <= FEW_ROWS:
        if isa == "avx512" and scheme in ROW_SEQUENCES and shape.batch == 1:
            peaks.append(Rate(lambda: peak_macs_per_s(isa, ROW_SEQUENCES[scheme])))
        weights = np.ones(packed_bytes, np.uint8)
        peaks.append(Rate(lambda: read_bytes_per_s(weights) * shape.macs / packed_bytes))
    return peaks


def measure(name: str, shape: LayerShape, threads: int, seconds: float) -> list[dict[str, Any]]:
    """Two records per scheme: the product and the layer."""
    rng = np.random.default_rng(0)
    x = torch.randn(shape.batch, shape.in_channels, *shape.spatial)
    x = x.contiguous(memory_format=torch.channels_last)
    nhwc = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
    out = np.empty((shape.batch, *shape.out_spatial, shape.out_channels), np.float32)
    calls: dict[str, Callable[[], object]] = {"fp32": float_call(shape, x)}
    calls["product int8"], calls["layer int8"] = int8_calls(shape, x)
    peaks: dict[str, list[Rate]] = {}
    for scheme in WEIGHT_RANGES:
        native = NativeLayer(random_layer(shape, scheme, rng), threads=threads)
        native.run(nhwc, out)
        calls[f"product {scheme}"] = lambda native=native: native.run_product(out)
        calls[f"layer {scheme}"] = lambda native=native: native.run(nhwc, out)
        peaks[scheme] = peaks_of(shape, scheme, native.packed_bytes, threads)
        calls |= {f"peak {i} {scheme}": peak for i, peak in enumerate(peaks[scheme])}
    samples = time_interleaved(calls, seconds, time.thread_time if threads == 1 else time.perf_counter)
    records = []
    for scheme in WEIGHT_RANGES:
        peak = min((rate.macs_per_s for rate in peaks[scheme]), default=None)
        for kernel in ("product", "layer"):
            low, median, high = (
                float(v) for v in np.quantile(samples[f"{kernel} {scheme}"], (0.25, 0.5, 0.75))
            )
            records.append(
                {
                    "kernel": kernel,
                    "scheme": scheme,
                    "shape": name,
                    "isa": selected_isa(scheme),
                    "threads": threads,
                    "latency_s": median,
                    "quartiles_s": [low, high],
                    "macs_per_s": shape.macs / median,
                    "peak_macs_per_s": peak,
                    "fraction_of_peak": None if peak is None else shape.macs / median / peak,
                    "torch_fp32_latency_s": float(np.median(samples["fp32"])),
                    "torch_int8_latency_s": float(np.median(samples[f"{kernel} int8"])),
                }
            )
    return records


def print_records(name: str, shape: LayerShape, records: list[dict[str, Any]]) -> None:
    print(f"\n{name}: {shape.macs / 1e6:.4g} M multiply-accumulates, {records[0]['isa']}")
    print(
        f"  {'scheme':8} {'product':>10} {'GMAC/s':>8} {'of peak':>8} {'layer':>10}"
        f" {'x torch fp32':>13} {'x torch int8: product':>22} {'layer':>6}"
    )
    for product, layer in zip(records[::2], records[1::2], strict=True):
        fraction = product["fraction_of_peak"]
        print(
            f"  {product['scheme']:8} {product['latency_s'] * 1e6:7.1f} us {product['macs_per_s'] / 1e9:8.0f}"
            f" {'' if fraction is None else format(fraction, '8.1%'):>8} {layer['latency_s'] * 1e6:7.1f} us"
            f" {layer['torch_fp32_latency_s'] / layer['latency_s']:13.1f}"
            f" {product['torch_int8_latency_s'] / product['latency_s']:22.2f}"
            f" {layer['torch_int8_latency_s'] / layer['latency_s']:6.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bars", action="store_true", help="print every bar, what was reached, met or missed"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of ours and of torch (default: 1)")
    parser.add_argument("--seconds", type=float, default=0.1, help="time per shape and call (default: 0.1)")
    parser.add_argument("--only", default="", help="only shapes whose name contains this text")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    missing = {"avx512", "avx2"} - set(available_isas())
    if missing:
        print(f"This machine has no {' or '.join(sorted(missing))}: measuring {available_isas()[0]}.")
    records: list[dict[str, Any]] = []
    with torch.inference_mode():
        for name, shape in CASES.items():
            if arguments.only in name:
                measured = measure(name, shape, arguments.threads, arguments.seconds)
                print_records(name, shape, measured)
                records += measured
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1) + "\n")
    if arguments.bars:
        print()
        kernel_bars.print_bars(records, compare_threads(arguments.only))


if __name__ == "__main__":
    main()
