"""One valid file of each kind that mpsearch reads, made by mpsearch itself: what a fuzzer damages.

The model has a layer of every kind and scheme; its profile is made up, its trials train for one step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.cost.layer_terms import needed_steps
from mpsearch.export.exporters import export_trial
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.hardware.profile import HardwareProfile, Measurement, PassMeasurement
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.engine import run_search
from mpsearch.search.measured import MeasuredLatency
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space_file import load_space
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

SPACE = """\
schema: 1
name: fuzzed
task: {{name: "{task}:small_task", args: {{samples: 24}}}}
layers:
  - {{match: binary, schemes: [w1a1, w8a8]}}
  - {{match: depthwise, schemes: [w1a8, w4a8]}}
  - {{match: "tern*", operator: grouped_conv2d, pin: w1.58a8}}
  - {{match: "head.*", schemes: [w4a8, w8a8], group: head}}
  - {{match: "*", pin: w32a32}}
objectives: [accuracy, latency, memory]
budgets: {{memory: 60KB, latency: 90us, accuracy: 1%}}
overrides: {{forbid: {{binary: [w32a32]}}}}
trial: {{steps: 1, high_bit_steps: 1, batch_size: 12, calibration_samples: 12, bn_samples: 12}}
search: {{sampler: random, trials: 6, seed: 3}}
"""
MIXED = {"binary": "w1a1", "depthwise": "w1a8"}  # of the trial that is exported


class SmallNetwork(nn.Module):
    """A layer of every kind, and what stays 32-bit."""

    def __init__(self) -> None:
        super().__init__()
        self.binary = nn.Conv2d(6, 8, 3, stride=(2, 1), padding=1)
        self.depthwise = nn.Conv2d(8, 8, (3, 1), padding="same", groups=8)
        self.bn = nn.BatchNorm2d(8)
        self.ternary = nn.Conv2d(8, 6, (1, 2), dilation=(1, 2), groups=2, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4))
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.ternary(self.bn(self.depthwise(self.binary(x)))).relu()
        return self.last(self.head(self.pool(x).flatten(1)))


def small_task(samples: int = 24) -> Task:
    """Noise of three kinds of mean."""
    return Task(
        name="fuzzed",
        args={"samples": samples},
        build_model=SmallNetwork,
        train=_noise(samples, seed=1),
        validation=_noise(samples, seed=2),
        test=_noise(samples, seed=3),
        example_inputs=(torch.zeros(1, 6, 5, 4),),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=1, batch_size=12),
    )


def _noise(samples: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(samples) % 3
    images = torch.randn(samples, 6, 5, 4, generator=generator) + targets[:, None, None, None]
    return Split(images, targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Where the valid files lie, and the model that they are of."""

    run: Path
    packed: Path
    policy: Path
    trace: ModelTrace


def make_samples(folder: Path) -> Samples:
    """Search for a moment into `folder`/run, and export a trial of it."""
    task = small_task()
    trace = trace_model(task.new_model().eval(), task.example_inputs)
    space_file = folder / "space.yaml"
    space_file.parent.mkdir(parents=True, exist_ok=True)
    space_file.write_text(SPACE.format(task=Path(__file__).resolve()))
    run = run_search(
        load_space(space_file), out=folder / "run", profile=made_up_profile(trace), exporter=export_trial
    )
    RunFolder(run.path).append_measured(_measured(run.records[0].number))
    mixed = next(
        record
        for record in run.front.records
        if {name: record.policy[name].name for name in MIXED} == MIXED or record is run.front.records[-1]
    )
    run.export(mixed, folder / "policy.json", format="policy")
    run.export(mixed, folder / "packed")
    return samples_in(folder)


def samples_in(folder: Path) -> Samples:
    """Those that `make_samples` has made there."""
    task = small_task()
    return Samples(
        run=folder / "run",
        packed=folder / "packed",
        policy=folder / "policy.json",
        trace=trace_model(task.new_model().eval(), task.example_inputs),
    )


def made_up_profile(trace: ModelTrace) -> HardwareProfile:
    """Fewer bits, less time; the machine is this one, so that nothing is said about it."""
    cost = {scheme: place + 1 for place, scheme in enumerate(SCHEMES.values())}
    allowed = {layer.name: tuple(SCHEMES.values()) for layer in trace.layers}

    def latency_s(step: StepShape) -> float:
        return 1e-9 if step.layer is None else step.layer.macs * cost[step.scheme] * 1e-9

    return HardwareProfile(
        name="made up",
        fingerprint=probe_machine(),
        threads=1,
        created="2026-01-01T00:00:00+00:00",
        measurements=tuple(
            Measurement(
                shape=step,
                latency_s=latency_s(step),
                quartiles_s=(latency_s(step),) * 2,
                p95_s=2 * latency_s(step),
                p99_s=3 * latency_s(step),
                repetitions=9,
            )
            for step in needed_steps(trace, allowed)
        ),
        passes=(
            PassMeasurement(
                model_fingerprint=trace.fingerprint,
                pass_s=1e-6,
                break_s=0.0,
                tail_p95=0.5,
                tail_p99=0.5,
                passes=9,
                reference_s=1e-5,
            ),
        ),
        memory_bandwidth_bytes_per_s=1e10,
    )


def _measured(number: int) -> MeasuredLatency:
    return MeasuredLatency(
        number=number,
        latency_s=2e-5,
        quartiles_s=(1.9e-5, 2.2e-5),
        p95_s=3e-5,
        p99_s=4e-5,
        torch_fp32_latency_s=1e-4,
        torch_fp32_quartiles_s=(9e-5, 1.1e-4),
        repetitions=100,
        threads=1,
        machine="made up",
        isa="scalar",
        is_compiled=True,
        agreement=1.0,
        created="2026-01-01T00:00:00+00:00",
    )
