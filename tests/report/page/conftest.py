"""Runs of made-up numbers with any number of layers, and any names: for what must scale or escape."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mpsearch.cost.cost_model import CostModel
from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.profile import HardwareProfile, Measurement, RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.plan.step import call_step
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.search.costs import Costs
from mpsearch.search.measured import MeasuredLatency
from mpsearch.search.run import BaselineScore, Run
from mpsearch.search.space_file import parse_space
from mpsearch.search.trial_record import TrialRecord

SPACE = """
schema: 1
name: deep
task: {name: digits}
layers: [{match: "*", schemes: [w1a1, w1a8, w1.58a8, w4a8, w8a8, w32a32]}]
objectives: [accuracy, latency, memory]
"""
_NS_PER_MAC = {"w1a1": 0.03, "w1a8": 0.045, "w1.58a8": 0.05, "w4a8": 0.06, "w8a8": 0.07, "w32a32": 0.4}
_LOSS = {"w1a1": 1.0, "w1a8": 0.5, "w1.58a8": 0.3, "w4a8": 0.05, "w8a8": 0.01, "w32a32": 0.0}
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def make_deep_run(
    path: Path,
    *,
    layers: int | Sequence[str] = 12,
    trials: int = 60,
    failure: str | None = None,
    space: str = SPACE,
    trial_s: float = 30.0,
) -> Run:
    """`layers`: how many, or their names. `failure`: why trial 6 failed, if it did."""
    names = (
        [f"layer{1 + i // 4}.{i}.conv" for i in range(layers)] if isinstance(layers, int) else list(layers)
    )
    model = _model(names)
    profile = _profile(model)
    costs = CostModel.build(
        model, schemes_per_layer={name: SCHEMES.values() for name in names}, profile=profile
    )
    parsed = parse_space(space, name="deep")
    rng = random.Random(1)
    sensitivity = {name: rng.random() ** 3 for name in names}
    policies = [PrecisionPolicy.uniform(names, scheme) for scheme in SCHEMES.values()]
    while len(policies) < trials:
        policies.append(PrecisionPolicy({name: rng.choice(list(SCHEMES.values())) for name in names}))
    records = []
    for number, policy in enumerate(policies[:trials]):
        lost = sum(sensitivity[name] * _LOSS[scheme.name] for name, scheme in policy.items()) / len(names)
        failed = failure is not None and number == 6
        cost = Costs.of(costs.evaluate(policy))
        records.append(
            TrialRecord(
                number=number, policy=policy, state="failed" if failed else "complete",
                score=None if failed else round(0.95 - lost + rng.gauss(0, 0.004), 3),
                loss=None if failed else 0.1, costs=cost, feasible=not failed, seconds=trial_s, steps=200,
                seed=0, origin="anchor" if policy.uniform_scheme else "sampler",
                started=(_BEGIN + timedelta(seconds=trial_s * number)).isoformat(),
                ended=(_BEGIN + timedelta(seconds=trial_s * (number + 1))).isoformat(),
                failure=failure if failed else None,
            )
        )  # fmt: skip
    base = Costs.of(costs.evaluate(PrecisionPolicy.uniform(names, FULL_PRECISION)))
    run = Run(
        path=path, space=parsed, records=tuple(records),
        baseline=BaselineScore(key="k", score=0.95, loss=0.1, costs=base), model=model, profile=profile,
        greatest_costs=base, metric="accuracy", validation_samples=1000, test_samples=1000,
    )  # fmt: skip
    return run.with_budgets(parsed.budgets)


def add_measured(run: Run, machine: str = "Test processor") -> Run:
    """The run with its front measured, each point 5% slower than predicted."""
    measured = {}
    for record in run.front.records:
        latency_s = 1.05 * record.latency_s
        measured[record.number] = MeasuredLatency(
            number=record.number, latency_s=latency_s, quartiles_s=(0.98 * latency_s, 1.02 * latency_s),
            p95_s=1.1 * latency_s, p99_s=1.2 * latency_s, torch_fp32_latency_s=1e-3,
            torch_fp32_quartiles_s=(9e-4, 1.1e-3), repetitions=100, threads=1, machine=machine, isa="avx2",
            is_compiled=True, agreement=1.0, created="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
    return dataclasses.replace(run, measured=measured)


def _model(names: Sequence[str]) -> ModelTrace:
    layers = []
    for place, name in enumerate(names):
        width = 16 * (1 + 4 * place // len(names))
        shape = LayerShape(operator="conv2d", batch=1, in_channels=width, out_channels=width, spatial=(8, 8),
                           kernel=(3, 3), padding=(1, 1)) if place < len(names) - 1 else LayerShape(
                           operator="linear", batch=1, in_channels=width, out_channels=10)  # fmt: skip
        layers.append(TracedLayer(name=name, calls=(shape,), weight_count=shape.weight_count, has_bias=True))
    return ModelTrace(
        layers=tuple(layers), unquantized=(), other_parameter_bytes=4096, peak_activation_bytes=65536,
        fingerprint="0123456789abcdef",
    )  # fmt: skip


def _profile(model: ModelTrace) -> HardwareProfile:
    machine = MachineFingerprint(
        cpu_model="Test processor", architecture="x86_64", isa_features=("avx2",), physical_cores=1,
        logical_cores=2, usable_cores=2, caches_bytes=(("L1d", 32768),), kernels=("avx2", "scalar"),
        kernel_version="1", compiler="gcc", torch_version="2.9", operating_system="Linux", python="3.11",
    )  # fmt: skip
    shapes = dict.fromkeys(call for layer in model.layers for call in layer.calls)
    measurements = []
    for shape in shapes:
        for scheme in SCHEMES.values():
            median_s = 2e-7 + _NS_PER_MAC[scheme.name] * shape.macs * 1e-9
            measurements.append(
                Measurement(
                    shape=call_step(shape, scheme), latency_s=median_s,
                    quartiles_s=(median_s * 0.98, median_s * 1.05), p95_s=median_s * 1.2,
                    p99_s=median_s * 1.5, repetitions=100,
                )
            )  # fmt: skip
    return HardwareProfile(
        name="test-machine", fingerprint=machine, threads=1, created="2026-01-01T00:00:00Z",
        measurements=tuple(measurements),
        remainders=(
            RemainderMeasurement(
                model_fingerprint=model.fingerprint, input_shapes=((1, 16, 8, 8),), latency_s=2e-5,
                quartiles_s=(1.9e-5, 2.2e-5), p95_s=3e-5, p99_s=4e-5, repetitions=100,
            ),
        ),
        memory_bandwidth_bytes_per_s=1e10,
    )  # fmt: skip


@pytest.fixture(scope="session")
def deep_run():
    """The function `make_deep_run`."""
    return make_deep_run


@pytest.fixture(scope="session")
def with_measured():
    """The function `add_measured`."""
    return add_measured
