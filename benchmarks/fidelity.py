"""Is a predicted latency true? Run: python benchmarks/fidelity.py --json OUT

For each number of threads, one hardware profile of the reference networks; after each network's part of it,
random policies of that network, compiled and run end to end, measured beside predicted. Weights are random:
time does not depend on them. Written is a list with a record for each network and number of threads:

    model, threads, n_policies
    within_5pct, within_10pct, mape, kendall_tau    of the predicted medians against the measured ones
    worst                                           the largest error: measured / predicted - 1
    median_error                                    of measured / predicted - 1
    within_15pct_interpolated, n_interpolated       steps of layers whose shape was taken out of the profile
    n_outside                                       such steps that the rest of the profile does not enclose
    p95_mape, p99_mape                              of the predicted percentiles
    reference_drift                                 time of a fixed kernel now / while profiling
    drift_corrected                                 the same figures with predictions times reference_drift
    profile_s                                       seconds that the network's part of the profile took
    isa, notes
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
from numpy.typing import NDArray
from torch import nn

from mpsearch.cost.cost_model import CostModel
from mpsearch.errors import UnmeasuredError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.resnet import resnet20
from mpsearch.models.trace import trace_model
from mpsearch.models.vgg import VggSmall
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling.plan_timing import reference_call
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.random_plan import RandomPlans
from mpsearch.profiling.timer import PASS_SETTINGS, Call, Timing, time_singly
from mpsearch.profiling.torch_threads import torch_threads

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet-20": (resnet20, (1, 3, 32, 32)),
    "VGG-small": (VggSmall, (1, 3, 32, 32)),
    "DS-CNN": (DsCnn, (1, 1, 49, 10)),
    "MLP": (lambda: Mlp(784, (512, 256, 128)), (1, 784)),
}
POLICIES_AT_A_TIME = 25


def profiled(name: str) -> ProfiledModel:
    torch.manual_seed(0)
    make, size = NETWORKS[name]
    model, inputs = make().eval(), (torch.randn(size),)
    trace = trace_model(model, inputs)
    schemes = {layer.name: tuple(SCHEMES.values()) for layer in trace.layers}
    return ProfiledModel(model=model, example_inputs=inputs, trace=trace, schemes=schemes, label=name)


def measured(
    model: ProfiledModel, costs: CostModel, codes: NDArray[np.int64], threads: int
) -> tuple[list[Timing], float]:
    """Timings of the policies end to end, and the median of the reference alongside."""
    graph = model.trace.graph
    assert graph is not None
    shapes = {layer.name: layer.calls[0] for layer in model.trace.layers}
    plans = RandomPlans(model.model, graph, shapes, threads=threads)
    x = model.example_inputs[0]
    timings, references = [], []
    with torch_threads(threads), torch.inference_mode():
        reference = reference_call(threads)
        for first in range(0, len(codes), POLICIES_AT_A_TIME):
            compiled = [plans.build(costs.policy(row)) for row in codes[first : first + POLICIES_AT_A_TIME]]
            calls: list[Call] = [lambda packed=packed: packed(x) for packed in compiled]  # type: ignore[misc]
            *timed, again = time_singly([*calls, reference], PASS_SETTINGS)
            timings += timed
            references.append(again.median_s)
    return timings, float(np.median(references))


def accuracy(predicted_s: NDArray[np.float64], measured_s: NDArray[np.float64]) -> dict[str, float]:
    error = measured_s / predicted_s - 1
    return {
        "within_5pct": float((np.abs(error) <= 0.05).mean()),
        "within_10pct": float((np.abs(error) <= 0.1).mean()),
        "mape": float(np.abs(predicted_s / measured_s - 1).mean()),
        "worst": float(error[np.abs(error).argmax()]),
        "median_error": float(np.median(error)),
    }


def kendall_tau(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Concordant minus discordant pairs, over all pairs."""
    i, j = np.triu_indices(len(a), 1)
    return float(np.mean(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])))


def interpolated(model: ProfiledModel, profile: HardwareProfile) -> dict[str, Any]:
    """Predictions of a layer's steps by what is left when its shape was never measured."""
    steps = [step for step in model.steps() if step.kind in ("layer", "float_layer")]
    ratios, outside = [], 0
    for layer in dict.fromkeys(step.layer for step in steps):
        blind = profile.without({m.shape for m in profile.measurements if m.shape.layer == layer})
        for step in steps:
            if step.layer == layer:
                try:
                    guess_s = blind.estimate(step).latency_s
                except UnmeasuredError:
                    outside += 1
                else:
                    ratios.append(profile.estimate(step).latency_s / guess_s)
    error = np.abs(np.array(ratios) - 1)
    return {
        "within_15pct_interpolated": float((error <= 0.15).mean()) if ratios else None,
        "mape_interpolated": float(error.mean()) if ratios else None,
        "n_interpolated": len(ratios),
        "n_outside": outside,
    }


def record(
    model: ProfiledModel, profile: HardwareProfile, *, threads: int, policies: int, seed: int
) -> dict[str, Any]:
    costs = CostModel.build(model.trace, schemes_per_layer=model.schemes, profile=profile)
    codes = np.random.default_rng(seed).integers(0, len(SCHEMES), (policies, len(costs.layers)))
    predicted = costs.evaluate_batch(codes)
    timings, reference_s = measured(model, costs, codes, threads)
    measured_s = np.array([timing.median_s for timing in timings])
    drift = reference_s / profile.whole_passes(model.trace.fingerprint).reference_s
    percentiles = {
        f"{name}_mape": float(
            np.abs(
                getattr(predicted, f"latency_{name}_s") / [getattr(t, f"{name}_s") for t in timings] - 1
            ).mean()
        )
        for name in ("p95", "p99")
    }
    return {
        "model": model.name,
        "threads": threads,
        "n_policies": policies,
        **accuracy(predicted.latency_s, measured_s),
        "kendall_tau": kendall_tau(predicted.latency_s, measured_s),
        **percentiles,
        "reference_drift": drift,
        "drift_corrected": accuracy(predicted.latency_s * drift, measured_s),
        "isa": profile.fingerprint.kernels[0],
        "predicted_latency_s": predicted.latency_s.tolist(),
        "measured_latency_s": measured_s.tolist(),
    }


def add_model(
    model: ProfiledModel, threads: int, profile: HardwareProfile | None
) -> tuple[HardwareProfile, float]:
    """The profile with the model's steps, and the seconds that they took."""
    start = time.perf_counter()
    profile = profile_machine(name="fidelity", threads=threads, models=[model], existing=profile)
    return profile, time.perf_counter() - start


def line(found: dict[str, Any]) -> str:
    corrected = found["drift_corrected"]
    return (
        f"{found['model']}, {found['threads']} thread(s), profiled in {found['profile_s']:.1f} s: "
        f"within 5% {found['within_5pct']:.1%}, within 10% {found['within_10pct']:.1%}, "
        f"mape {found['mape']:.2%}, tau {found['kendall_tau']:.3f}, median {found['median_error']:+.2%}, "
        f"worst {found['worst']:+.1%}; drift {found['reference_drift']:.3f}, corrected "
        f"{corrected['within_5pct']:.1%} and {corrected['within_10pct']:.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measured latencies beside predicted ones.")
    parser.add_argument("--json", type=Path, help="the file to write")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-grid", dest="grid", action="store_false", help="interpolate among the networks")
    given = parser.parse_args()
    models = [profiled(name) for name in given.models]
    records = []
    for threads in given.threads:
        profile: HardwareProfile | None = None
        of_threads = []
        for model in models:  # policies right after their profile: the machine drifts
            profile, seconds = add_model(model, threads, profile)
            found = record(model, profile, threads=threads, policies=given.policies, seed=given.seed)
            of_threads.append(found | {"profile_s": seconds, "notes": list(profile.notes)})
            print(line(of_threads[-1]), flush=True)
            _write(given.json, records + of_threads)
        if given.grid:
            profile = profile_machine(name="fidelity", threads=threads, grid=True, existing=profile)
        assert profile is not None
        for model, found in zip(models, of_threads, strict=True):
            found.update(interpolated(model, profile))
            share = found["within_15pct_interpolated"]
            print(
                f"{model.name}, {threads} thread(s): interpolated within 15%: "
                f"{'none' if share is None else f'{share:.1%}'} of {found['n_interpolated']}",
                flush=True,
            )
        records += of_threads
        _write(given.json, records)
        for note in profile.notes:
            print(note)


def _write(path: Path | None, records: list[dict[str, Any]]) -> None:
    if path is not None:
        path.write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
