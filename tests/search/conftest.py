"""A tiny search space, its profile made up, and a stand-in for training that takes no time."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mpsearch.cost.layer_terms import needed_steps
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.hardware.profile import HardwareProfile, Measurement, PassMeasurement
from mpsearch.models.trace import trace_model
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.costs import Costs
from mpsearch.search.preparation import traced_task
from mpsearch.search.resolve import resolve
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import parse_space
from mpsearch.search.study import BegunTrial
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.trial import TrialResult

TASK_FILE = Path(__file__).with_name("tiny_task.py")
SPACE = f"""
schema: 1
name: tiny
task: {{name: "{TASK_FILE}:tiny_task"}}
layers: [{{match: "*", schemes: [w1a1, w1.58a8, w4a8, w8a8, w32a32]}}]
objectives: [accuracy, latency, memory]
trial: {{steps: 2, high_bit_steps: 1, batch_size: 32, calibration_samples: 32, bn_samples: 32}}
search: {{trials: 12, workers: 0, repeats: off}}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MPSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny_module():
    spec = importlib.util.spec_from_file_location("tiny_task_of_tests", TASK_FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny_task(tiny_module):
    return tiny_module.tiny_task()


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return parse_space(SPACE)


@pytest.fixture
def space_of():
    """A function: YAML lines that replace those of the tiny space."""

    def build(**replaced: str) -> SearchSpace:
        lines = [line for line in SPACE.splitlines() if line.split(":")[0] not in replaced]
        return parse_space("\n".join([*lines, *(f"{key}: {value}" for key, value in replaced.items())]))

    return build


@pytest.fixture
def trace(tiny_task):
    return trace_model(tiny_task.build_model(), tiny_task.example_inputs)


@pytest.fixture
def profile(trace) -> HardwareProfile:
    return made_up_profile([trace])


@pytest.fixture
def wide_space(space_of) -> SearchSpace:
    """The tiny space, with the width of its model a choice."""
    return space_of(
        widths="[0.5, 1, 2]", layers='[{match: "*", schemes: [w1a1, w4a8, w32a32]}]', search="{workers: 0}"
    )


@pytest.fixture
def wide_traced(wide_space):
    return traced_task(wide_space, None, lambda _: None)


@pytest.fixture
def wide_profile(wide_traced) -> HardwareProfile:
    return made_up_profile(list(wide_traced.traces.values()))


def made_up_profile(traces) -> HardwareProfile:
    """Fewer bits, less time; the machine is this one, so that nothing is said about it."""
    cost = {scheme: place + 1 for place, scheme in enumerate(SCHEMES.values())}
    steps = {
        step: None
        for trace in traces
        for step in needed_steps(trace, {layer.name: tuple(SCHEMES.values()) for layer in trace.layers})
    }

    def latency_s(step: StepShape) -> float:
        return 1e-9 if step.layer is None else step.layer.macs * cost[step.scheme] * 1e-8

    measurements = [
        Measurement(
            shape=step,
            latency_s=latency_s(step),
            quartiles_s=(latency_s(step),) * 2,
            p95_s=2 * latency_s(step),
            p99_s=3 * latency_s(step),
            repetitions=9,
        )
        for step in steps
    ]
    return HardwareProfile(
        name="made up",
        fingerprint=probe_machine(),
        threads=1,
        created="2026-01-01T00:00:00+00:00",
        measurements=tuple(measurements),
        passes=tuple(
            PassMeasurement(
                model_fingerprint=trace.fingerprint,
                pass_s=1e-6,
                break_s=0.0,
                tail_p95=0.5,
                tail_p99=0.5,
                passes=9,
                reference_s=1e-5,
            )
            for trace in traces
        ),
        memory_bandwidth_bytes_per_s=1e10,
    )


@pytest.fixture
def resolved(space, trace):
    return resolve(space, trace)


@pytest.fixture
def begun(resolved):
    """A function: a trial of that number that has begun; keyword arguments replace its fields."""

    def build(number, **changes):
        codes = [number % 5, number // 5 % 5, number // 25 % 5]
        trial = BegunTrial(
            number=number, policy=resolved.policy(codes), origin="sampler", attributes={"generation": number}
        )
        return replace(trial, **changes)

    return build


@pytest.fixture
def record_of():
    """A function: the record of a trial that has ended well; keyword arguments replace its fields."""

    def build(trial, score=0.75, **changes):
        costs = Costs(
            latency_s=1e-3,
            latency_p95_s=2e-3,
            latency_p99_s=3e-3,
            memory_bytes=10 + trial.number,
            energy_j=1e-6,
        )
        record = TrialRecord(
            number=trial.number,
            policy=trial.policy,
            state="complete",
            score=score,
            loss=0.1,
            costs=costs,
            feasible=True,
            seconds=1.5,
            steps=7,
            seed=0,
            origin=trial.origin,
            started="2026-01-01T00:00:00.000+00:00",
            ended="2026-01-01T00:00:02.000+00:00",
        )
        return replace(record, **changes)

    return build


class FakeTraining:
    """Scores a policy by arithmetic; `answers` maps policies to functions that answer for it."""

    def __init__(self) -> None:
        self.trained = []
        self.baselines = 0
        self.answer = None

    def run_trial(self, task, baseline, policy, recipe, *, share=1.0, seed=0, on_progress=None):
        self.trained.append(policy)
        if on_progress is not None:
            on_progress(1, 1, 0.5)
        if self.answer is not None:
            answered = self.answer(len(self.trained) - 1, policy)
            if answered is not None:
                return answered
        return scored(sum(min(scheme.weight_bits, 8) for scheme in policy.values()) / (8 * len(policy)))


def scored(score, loss=0.1):
    return TrialResult(
        score=score,
        loss=loss,
        calibrated_score=score,
        seconds=0.01,
        steps=1,
        curve=(),
        state_dict={"w": torch.zeros(1)},
    )


@pytest.fixture
def training(monkeypatch) -> FakeTraining:
    """Trials are scored by arithmetic; nothing reads the test split, whose scores need true weights."""
    fake = FakeTraining()
    monkeypatch.setattr("mpsearch.search.training_work.run_trial", fake.run_trial)
    monkeypatch.setattr("mpsearch.search.engine.score_front_on_test", lambda facts, *rest, **more: facts)
    return fake


@pytest.fixture
def answer_with():
    return scored
