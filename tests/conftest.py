"""Which package child processes import; and a finished run of made-up numbers: quick, and no torch."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

import pytest

import mpsearch
from mpsearch.cost.cost_model import CostModel
from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.profile import HardwareProfile, Measurement, RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer, UnquantizedModule
from mpsearch.plan.step import call_step
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES, Scheme
from mpsearch.search.costs import Costs
from mpsearch.search.run import BaselineScore, Run
from mpsearch.search.space_file import parse_space
from mpsearch.search.trial_record import TrialRecord


@pytest.fixture(autouse=True, scope="session")
def _children_import_the_package_under_test():
    """The installed one where that is tested: source in the working directory has no compiled kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(mpsearch.__file__).resolve().parents[1]))
        patch.setenv("PYTHONSAFEPATH", "1")
        yield


@pytest.fixture(autouse=True)
def _imports_are_found_where_they_were():
    """A task of a module or a file makes its folder one of those that imports are looked for in."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def _children_hear_ctrl_c():
    """Also where pytest runs in the background of a script: SIGINT is ignored there, and by all children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a handler becomes the default on exec
    yield
    signal.signal(signal.SIGINT, before)


SPACE = """
schema: 1
name: digits
task: {name: digits}
layers:
  - match: "*"
    schemes: [w1a1, w1a8, w1.58a8, w4a8, w8a8, w32a32]
objectives: [accuracy, latency, memory]
budgets: {memory: 40KB, latency: 70us}
"""
_MICROSECONDS = {"w1a1": 0.3, "w1a8": 0.45, "w1.58a8": 0.5, "w4a8": 0.6, "w8a8": 0.7, "w32a32": 2.0}


def _layers() -> tuple[TracedLayer, ...]:
    shapes = [
        ("conv1", LayerShape(operator="conv2d", batch=1, in_channels=1, out_channels=16, spatial=(8, 8),
                             kernel=(3, 3), padding=(1, 1))),
        ("block.conv2", LayerShape(operator="conv2d", batch=1, in_channels=16, out_channels=32,
                                   spatial=(8, 8), kernel=(3, 3), padding=(1, 1))),
        ("block.conv3", LayerShape(operator="conv2d", batch=1, in_channels=32, out_channels=32,
                                   spatial=(4, 4), kernel=(3, 3), padding=(1, 1))),
        ("head.fc1", LayerShape(operator="linear", batch=1, in_channels=512, out_channels=64)),
        ("head.fc2", LayerShape(operator="linear", batch=1, in_channels=64, out_channels=10)),
    ]  # fmt: skip
    return tuple(
        TracedLayer(name=name, calls=(shape,), weight_count=shape.weight_count, has_bias=True)
        for name, shape in shapes
    )


def _profile(model: ModelTrace) -> HardwareProfile:
    machine = MachineFingerprint(
        cpu_model="Test processor", architecture="x86_64", isa_features=("avx2",), physical_cores=1,
        logical_cores=2, usable_cores=2, caches_bytes=(("L1d", 32768),), kernels=("avx2", "scalar"),
        kernel_version="1", compiler="gcc", torch_version="2.9", operating_system="Linux", python="3.11",
    )  # fmt: skip

    def measured(shape: LayerShape, scheme: Scheme) -> Measurement:
        median_s = 1e-6 + _MICROSECONDS[scheme.name] * shape.macs * 1e-10
        return Measurement(
            shape=call_step(shape, scheme), latency_s=median_s,
            quartiles_s=(median_s * 0.98, median_s * 1.05), p95_s=median_s * 1.2, p99_s=median_s * 1.5,
            repetitions=100,
        )  # fmt: skip

    return HardwareProfile(
        name="test-machine",
        fingerprint=machine,
        threads=1,
        created="2026-01-01T00:00:00Z",
        measurements=tuple(
            measured(call, scheme) for la in model.layers for call in la.calls for scheme in SCHEMES.values()
        ),
        remainders=(
            RemainderMeasurement(
                model_fingerprint=model.fingerprint, input_shapes=((1, 1, 8, 8),), latency_s=2e-5,
                quartiles_s=(1.9e-5, 2.2e-5), p95_s=3e-5, p99_s=4e-5, repetitions=100,
            ),
        ),
        memory_bandwidth_bytes_per_s=1e10,
    )  # fmt: skip


def make_run(path: Path, *, trials: int = 30, failures: int = 1, space: str = SPACE) -> Run:
    """A run whose accuracy falls with the bits taken away, and a little at random."""
    model = ModelTrace(
        layers=_layers(),
        unquantized=(UnquantizedModule(name="bn1", type_name="BatchNorm2d", reason="not a layer of weights",
                                       parameter_bytes=256),),
        other_parameter_bytes=256,
        peak_activation_bytes=12288,
        fingerprint="0123456789abcdef",
    )  # fmt: skip
    parsed = parse_space(space, name="digits")
    profile = _profile(model)
    costs = CostModel.build(
        model,
        schemes_per_layer={layer.name: SCHEMES.values() for layer in model.layers},
        profile=profile,
    )
    names = [layer.name for layer in model.layers]
    rng = random.Random(0)
    policies = [PrecisionPolicy.uniform(names, scheme) for scheme in SCHEMES.values()]
    while len(policies) < trials:
        policies.append(PrecisionPolicy({name: rng.choice(list(SCHEMES.values())) for name in names}))
    records = []
    for number, policy in enumerate(policies[:trials]):
        cost = Costs.of(costs.evaluate(policy))
        lost = sum(
            0.25 / scheme.weight_bits / (1 if scheme.activation_bits > 1 else 0.4)
            for scheme in policy.values()
        )
        score = max(0.1, 0.985 - 0.12 * lost - (0 if policy.is_full_precision else rng.uniform(0, 0.02)))
        failed = len(policies) - failures <= number
        records.append(
            TrialRecord(
                number=number, policy=policy, state="failed" if failed else "complete",
                score=None if failed else score, loss=None if failed else 1 - score, costs=cost,
                feasible=not failed and parsed.budgets.are_met_by(cost, score), seconds=4.5, steps=200,
                seed=0,
                origin="anchor" if policy.uniform_scheme else "sampler", started="2026-01-01T00:00:00Z",
                ended="2026-01-01T00:00:05Z", failure="the loss became NaN at step 3" if failed else None,
            )
        )  # fmt: skip
    base_costs = Costs.of(costs.evaluate(PrecisionPolicy.uniform(names, FULL_PRECISION)))
    return Run(
        path=path,
        space=parsed,
        records=tuple(records),
        baseline=BaselineScore(key="k", score=0.985, loss=0.05, costs=base_costs),
        model=model,
        profile=profile,
        greatest_costs=base_costs,
        metric="accuracy",
        validation_samples=449,
        test_samples=450,
    )


@pytest.fixture
def finished_run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "digits")
