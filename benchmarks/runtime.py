"""Time whole networks, compiled and in torch, interleaved in one run; print ratios and where the time goes.

    python benchmarks/runtime.py [--threads N] [--only TEXT] [--seconds S] [--steps] [--json OUT]

Batch 1. For each network: torch eager in float32, contiguous and channels_last; torch's static int8 (FX
graph mode of torch.ao.quantization: BatchNorm and ReLU folded into the convolutions, additions fused with
their ReLU), packed by each engine that this torch has; and the compiled model under several policies. Ratios
are against the fastest float32 and the fastest int8. Weights are random, for time does not depend on them;
the compiled model's answers are compared with its fake-quantized twin's before it is timed.

`inner` leaves the first and the last layer at w8a8; `all` quantizes them too. `--steps` prints the time of
each step of the plans that have a bar.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.ao.quantization as ao
from torch import Tensor, nn
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from mpsearch.kernels.native import build_info
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.resnet import ResNet18, resnet20
from mpsearch.models.trace import trace_model
from mpsearch.models.vgg import VggSmall
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.profiling.timer import TimerSettings, Timing, time_calls
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.compiled_model import CompiledModel

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet-18": (ResNet18, (3, 32, 32)),
    "ResNet-20": (resnet20, (3, 32, 32)),
    "VGG-small": (VggSmall, (3, 32, 32)),
    "DS-CNN": (DsCnn, (1, 49, 10)),
    "MLP": (lambda: Mlp(784, (512, 512)), (784,)),
}
POLICIES = {
    "inner w1a1": ("w1a1", "w8a8"),
    "all w1.58a8": ("w1.58a8", "w1.58a8"),
    "all w4a8": ("w4a8", "w4a8"),
    "all w8a8": ("w8a8", "w8a8"),
}
# Network, policy, against -> how many times faster at least.
BARS: dict[tuple[str, str, str], float] = {
    ("ResNet-18", "inner w1a1", "fp32"): 8.0,
    ("ResNet-18", "inner w1a1", "int8"): 2.5,
    ("ResNet-20", "inner w1a1", "fp32"): 4.0,
    ("ResNet-20", "inner w1a1", "int8"): 2.0,
    ("ResNet-18", "all w1.58a8", "fp32"): 2.5,
    ("ResNet-20", "all w1.58a8", "fp32"): 2.5,
}
CALIBRATION_SAMPLES = 8
OVERHEAD_BAR = ("ResNet-20", "inner w1a1", 3e-6)  # at most, per layer
OVERHEAD_ROUNDS = 21
OVERHEAD_CALLS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One network in one runtime, one sample at a time."""

    network: str
    runtime: str  # fp32, int8 or mpsearch
    variant: str
    threads: int
    latency_s: float
    quartiles_s: tuple[float, float]
    repetitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    network: str
    variant: str
    step: str
    latency_s: float
    quartiles_s: tuple[float, float]


def with_random_statistics(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def torch_int8(model: nn.Module, samples: Tensor, engine: str) -> nn.Module:
    torch.backends.quantized.engine = engine
    with warnings.catch_warnings():  # torch.ao says that it moves to torchao
        warnings.simplefilter("ignore")
        prepared = prepare_fx(copy.deepcopy(model), ao.get_default_qconfig_mapping(engine), (samples,))
        prepared(samples)
        converted: nn.Module = convert_fx(prepared)
    return converted


def int8_engines() -> list[str]:
    """Those made for this kind of machine."""
    known = ("x86", "onednn", "fbgemm", "qnnpack")
    engines = [name for name in known if name in torch.backends.quantized.supported_engines]
    return [name for name in engines if name != "qnnpack"] or engines


def compiled_models(model: nn.Module, samples: Tensor, threads: int) -> dict[str, CompiledModel]:
    trace = trace_model(model, (samples[:1],))
    if trace.graph is None:
        raise SystemExit(f"{type(model).__name__} is not compiled: {'; '.join(trace.eager_reasons)}")
    names = [layer.name for layer in trace.layers]
    made = {}
    for label, (inner, ends) in POLICIES.items():
        policy = {**dict.fromkeys(names, inner), names[0]: ends, names[-1]: ends}
        fake = quantize_model(model, PrecisionPolicy(policy))
        calibrate(fake, [samples])
        made[label] = CompiledModel(model, freeze_model(fake), trace.graph, threads=threads)
        expected, got = fake.eval()(samples), made[label](samples)
        if not torch.equal(got.argmax(1), expected.argmax(1)):
            raise SystemExit(f"{type(model).__name__}, {label}: the compiled model answers otherwise.")
    return made


def measure(
    network: str, threads: int, settings: TimerSettings
) -> tuple[list[Record], dict[str, CompiledModel], Tensor]:
    torch.manual_seed(0)
    build, size = NETWORKS[network]
    model = with_random_statistics(build())
    samples = torch.randn(CALIBRATION_SAMPLES, *size)
    x = samples[:1].clone()
    calls: dict[tuple[str, str], Callable[[], object]] = {("fp32", "contiguous"): lambda: model(x)}
    images = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    if x.ndim == 4:
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        calls["fp32", "channels_last"] = lambda: last(images)
    for engine in int8_engines():
        int8 = torch_int8(model, samples, engine)
        calls["int8", f"static, FX graph mode, {engine}"] = lambda int8=int8: int8(images)
    compiled = compiled_models(model, samples, threads)
    for label, packed in compiled.items():
        calls["mpsearch", label] = lambda packed=packed: packed(x)
    timings = time_calls(list(calls.values()), settings)
    records = [
        record(network, runtime, variant, threads, timing)
        for (runtime, variant), timing in zip(calls, timings, strict=True)
    ]
    return records, compiled, x


def record(network: str, runtime: str, variant: str, threads: int, timing: Timing) -> Record:
    return Record(
        network=network,
        runtime=runtime,
        variant=variant,
        threads=threads,
        latency_s=timing.median_s,
        quartiles_s=timing.quartiles_s,
        repetitions=timing.repetitions,
    )


def fastest(records: list[Record], network: str, runtime: str) -> Record | None:
    found = [r for r in records if r.network == network and r.runtime == runtime]
    return min(found, key=lambda r: r.latency_s, default=None)


def print_network(network: str, records: list[Record]) -> None:
    fp32, int8 = (fastest(records, network, runtime) for runtime in ("fp32", "int8"))
    assert fp32 is not None
    assert int8 is not None
    print(f"\n{network}")
    for r in (r for r in records if r.network == network):
        low, high = (1e6 * seconds for seconds in r.quartiles_s)
        print(
            f"  {r.runtime:9}{r.variant:33}{1e6 * r.latency_s:9.1f} us ({low:.1f} to {high:.1f})"
            f"{fp32.latency_s / r.latency_s:8.2f}x fp32{int8.latency_s / r.latency_s:8.2f}x int8"
        )


def bars(records: list[Record]) -> list[dict[str, Any]]:
    rows = []
    for (network, policy, against), wanted in BARS.items():
        ours = next((r for r in records if (r.network, r.variant) == (network, policy)), None)
        other = fastest(records, network, against)
        if ours is None or other is None:
            continue
        reached = other.latency_s / ours.latency_s
        rows.append(
            {
                "network": network,
                "policy": policy,
                "against": f"{against} {other.variant}",
                "wanted": wanted,
                "reached": float(f"{reached:.4g}"),
                "met": reached >= wanted,
            }
        )
    return rows


def step_times(network: str, label: str, model: CompiledModel, x: Tensor) -> list[StepTime]:
    rows = []
    model.time_steps(x, repetitions=50)
    for shape, seconds in model.time_steps(x, repetitions=500):
        low, median, high = (float(f"{s:.4g}") for s in np.quantile(seconds, (0.25, 0.5, 0.75)))
        rows.append(
            StepTime(
                network=network, variant=label, step=str(shape), latency_s=median, quartiles_s=(low, high)
            )
        )
    return rows


def call_overhead_s(model: CompiledModel, x: Tensor) -> float:
    """Seconds per layer that a call takes beyond its steps: the median of alternating rounds."""
    rounds = []
    for _ in range(OVERHEAD_ROUNDS):
        steps = model.time_steps(x, repetitions=OVERHEAD_CALLS)
        layers = sum(shape.kind == "layer" for shape, _ in steps)
        within = float(np.median(np.sum([seconds for _, seconds in steps], axis=0)))
        calls = []
        for _ in range(OVERHEAD_CALLS):
            begin = time.perf_counter()
            model(x)
            calls.append(time.perf_counter() - begin)
        rounds.append((float(np.median(calls)) - within) / layers)
    return float(np.median(rounds))


def print_steps(rows: list[StepTime], whole: Record) -> None:
    total = sum(row.latency_s for row in rows)
    print(f"\n{whole.network}, {whole.variant}: {1e6 * total:.1f} us in {len(rows)} steps")
    for row in rows:
        print(f"  {1e6 * row.latency_s:8.2f} us {row.latency_s / total:6.1%}  {row.step}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing for each runtime of a network")
    parser.add_argument("--steps", action="store_true", help="print where the time goes")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    settings = TimerSettings(sample_s=1e-3, rounds=301, least_rounds=21, budget_s=arguments.seconds)
    print(f"{build_info()}; torch {torch.__version__}; {arguments.threads} thread(s), batch 1")
    records: list[Record] = []
    steps: list[StepTime] = []
    overhead_s: float | None = None
    with torch_threads(arguments.threads), torch.inference_mode():
        for network in (name for name in NETWORKS if arguments.only.lower() in name.lower()):
            measured, compiled, x = measure(network, arguments.threads, settings)
            records += measured
            print_network(network, records)
            for label in (policy for net, policy, against in BARS if net == network and against == "fp32"):
                steps += step_times(network, label, compiled[label], x)
            if network == OVERHEAD_BAR[0]:
                overhead_s = call_overhead_s(compiled[OVERHEAD_BAR[1]], x)
    if arguments.steps:
        for network, label in dict.fromkeys((step.network, step.variant) for step in steps):
            whole = next(r for r in records if (r.network, r.variant) == (network, label))
            print_steps([s for s in steps if (s.network, s.variant) == (network, label)], whole)
    rows = bars(records)
    print("\nBars, against the fastest of torch on this machine:")
    for row in rows:
        verdict = "met" if row["met"] else "MISSED"
        print(
            f"  {row['network']}, {row['policy']}: {row['reached']:.2f}x {row['against']}, "
            f"wanted {row['wanted']:.1f}x: {verdict}"
        )
    if overhead_s is not None:
        network, label, most = OVERHEAD_BAR
        print(
            f"  {network}, {label}: a call takes {1e6 * overhead_s:.2f} us a layer beyond its steps, "
            f"at most {1e6 * most:.0f} us: {'met' if overhead_s <= most else 'MISSED'}"
        )
    if arguments.json is not None:
        document = {
            "torch": torch.__version__,
            "build": build_info(),
            "records": [asdict(r) for r in records],
            "bars": rows,
            "call_overhead_s_per_layer": overhead_s,
            "steps": [asdict(s) for s in steps],
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
