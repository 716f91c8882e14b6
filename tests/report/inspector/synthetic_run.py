"""Runs of made-up numbers, the same every time: as large as wanted, in memory or as a folder, no training."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from mpsearch.cost.cost_model import CostModel
from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.profile import HardwareProfile, Measurement, RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.plan.step import call_step
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.search.costs import Costs
from mpsearch.search.measured import MeasuredLatency, measured_line
from mpsearch.search.run import Run
from mpsearch.search.run_facts import BaselineScore, RunFacts
from mpsearch.search.run_folder import RunFolder, record_line
from mpsearch.search.space_file import parse_space
from mpsearch.search.trial_record import TrialRecord

SPACE = """
schema: 1
name: resnet
task: {name: digits}
layers:
  - match: "*"
    schemes: [w1a1, w1a8, w1.58a8, w4a8, w8a8, w32a32]
objectives: [accuracy, latency, memory]
budgets: {}
search: {trials: 40}
"""
_PICOSECONDS_PER_MAC = {"w1a1": 2, "w1a8": 6, "w1.58a8": 7, "w4a8": 8, "w8a8": 10, "w32a32": 33}


def _shapes() -> list[LayerShape]:
    def conv(channels: int, out: int, size: int) -> LayerShape:
        return LayerShape(
            operator="conv2d", batch=1, in_channels=channels, out_channels=out, spatial=(size, size),
            kernel=(3, 3), padding=(1, 1),
        )  # fmt: skip

    return [conv(3, 16, 32), conv(16, 16, 32), conv(16, 32, 16), conv(32, 32, 16), conv(32, 64, 8)]


def _model(layers: int) -> ModelTrace:
    shapes = _shapes()
    head = LayerShape(operator="linear", batch=1, in_channels=64, out_channels=10)
    names = ["conv1", *(f"layer{1 + n // 4}.{n // 2 % 2}.conv{1 + n % 2}" for n in range(layers - 2)), "fc"]
    if len(set(names)) < len(names):
        names = ["conv1", *(f"blocks.{n // 2}.conv{1 + n % 2}" for n in range(layers - 2)), "fc"]
    calls = [shapes[0], *(shapes[1 + n % (len(shapes) - 1)] for n in range(layers - 2)), head]
    traced = tuple(
        TracedLayer(name=name, calls=(shape,), weight_count=shape.weight_count, has_bias=True)
        for name, shape in list(zip(names, calls, strict=True))[-layers:]
    )
    return ModelTrace(
        layers=traced, unquantized=(), other_parameter_bytes=1024, peak_activation_bytes=65536,
        fingerprint=f"{layers:016d}",
    )  # fmt: skip


def _profile(model: ModelTrace) -> HardwareProfile:
    machine = MachineFingerprint(
        cpu_model="Test processor", architecture="x86_64", isa_features=("avx2",), physical_cores=1,
        logical_cores=2, usable_cores=2, caches_bytes=(("L1d", 32768),), kernels=("avx2", "scalar"),
        kernel_version="1", compiler="gcc", torch_version="2.9", operating_system="Linux", python="3.11",
    )  # fmt: skip
    steps = dict.fromkeys(
        (call, s.name) for layer in model.layers for call in layer.calls for s in SCHEMES.values()
    )
    measurements = []
    for shape, scheme in steps:
        median_s = 1e-6 + _PICOSECONDS_PER_MAC[scheme] * 1e-12 * shape.macs
        measurements.append(
            Measurement(
                shape=call_step(shape, SCHEMES[scheme]), latency_s=median_s,
                quartiles_s=(median_s * 0.98, median_s * 1.05), p95_s=median_s * 1.2, p99_s=median_s * 1.5,
                repetitions=100,
            )
        )  # fmt: skip
    return HardwareProfile(
        name="test-machine", fingerprint=machine, threads=1, created="2026-01-01T00:00:00Z",
        measurements=tuple(measurements),
        remainders=(
            RemainderMeasurement(
                model_fingerprint=model.fingerprint, input_shapes=((1, 3, 32, 32),), latency_s=2e-5,
                quartiles_s=(1.9e-5, 2.2e-5), p95_s=3e-5, p99_s=4e-5, repetitions=100,
            ),
        ),
        memory_bandwidth_bytes_per_s=1e10,
    )  # fmt: skip


def synthetic_run(
    path: Path, *, trials: int = 40, failures: int = 2, layers: int = 14, space: str = SPACE
) -> Run:
    """The last `failures` trials failed; accuracy falls with the bits taken away, and a little at random."""
    model = _model(layers)
    parsed = parse_space(space, name="resnet")
    profile = _profile(model)
    names = [layer.name for layer in model.layers]
    costs = CostModel.build(model, schemes_per_layer=dict.fromkeys(names, SCHEMES.values()), profile=profile)
    rng = random.Random(7)
    schemes = list(SCHEMES.values())
    policies = [PrecisionPolicy.uniform(names, scheme) for scheme in schemes]
    while len(policies) < trials:
        # Near-uniform policies lie near the front, as those of a sampler do.
        centre, spread = rng.randrange(len(schemes)), rng.choice([1, 1, 2, 5])
        chosen = {
            name: schemes[min(max(centre + rng.randint(-spread, spread), 0), len(schemes) - 1)]
            for name in names
        }
        policies.append(PrecisionPolicy(chosen))
    records = []
    for number, policy in enumerate(policies[:trials]):
        cost = Costs.of(costs.evaluate(policy))
        lost = (
            sum(0.3 / s.weight_bits / (1 if s.activation_bits > 1 else 0.6) for s in policy.values()) / layers
        )
        noise = 0 if policy.is_full_precision else rng.uniform(0, 0.008)
        score = round(max(0.1, 0.947 - 3.0 * lost**2 - noise), 4)
        failed = number >= trials - failures
        records.append(
            TrialRecord(
                number=number, policy=policy, state="failed" if failed else "complete",
                score=None if failed else score, loss=None if failed else 1 - score, costs=cost,
                feasible=not failed and parsed.budgets.are_met_by(cost, score), seconds=4.5, steps=200,
                seed=0, origin="anchor" if policy.uniform_scheme else "sampler",
                started="2026-01-01T00:00:00Z",
                ended="2026-01-01T00:00:05Z", failure="the loss became NaN at step 3" if failed else None,
            )
        )  # fmt: skip
    base_costs = Costs.of(costs.evaluate(PrecisionPolicy.uniform(names, FULL_PRECISION)))
    run = Run(
        path=path, space=parsed, records=tuple(records),
        baseline=BaselineScore(key="k", score=0.948, loss=0.2, costs=base_costs, test_score=0.944),
        model=model, profile=profile, greatest_costs=base_costs, metric="top-1 accuracy",
        validation_samples=5000, test_samples=10000,
    )  # fmt: skip
    scores = {record.number: round(record.accuracy - 0.006, 4) for record in run.front.records}
    measured = {}
    for record in run.front.records[::2]:
        measured[record.number] = measured_latency(record.number, 1.04 * record.latency_s)
    return replace(run, test_scores=scores, measured=measured)


def measured_latency(number: int, latency_s: float) -> MeasuredLatency:
    return MeasuredLatency(
        number=number, latency_s=latency_s, quartiles_s=(0.98 * latency_s, 1.03 * latency_s),
        p95_s=1.2 * latency_s, p99_s=1.5 * latency_s, torch_fp32_latency_s=1.4e-3,
        torch_fp32_quartiles_s=(1.3e-3, 1.5e-3), repetitions=200, threads=1, machine="Test processor",
        isa="avx2", is_compiled=True, agreement=1.0, created="2026-01-01T00:00:00Z",
    )  # fmt: skip


def write_run(run: Run) -> Run:
    """Make `run.path` the folder of that run, as one shared without its database; returns the run."""
    folder = RunFolder(run.path)
    run.path.mkdir(parents=True, exist_ok=True)
    facts = RunFacts(
        created="2026-01-01T00:00:00Z", version="0", baseline=run.baseline, greatest_costs=run.greatest_costs,
        model=run.model, metric=run.metric, validation_samples=run.validation_samples,
        test_samples=run.test_samples, test_scores=run.test_scores,
    )  # fmt: skip
    run.profile.save(folder.profile_file)
    folder.space_file.write_text(run.space.to_yaml(), encoding="utf-8")
    folder.trials_file.write_text("".join(record_line(r) + "\n" for r in run.records), encoding="utf-8")
    lines = "".join(measured_line(measured) + "\n" for measured in run.measured.values())
    folder.measured_file.write_text(lines, encoding="utf-8")
    folder.facts_file.write_text(json.dumps(facts.to_dict()), encoding="utf-8")
    return run
