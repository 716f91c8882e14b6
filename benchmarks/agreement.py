"""Does the compiled model answer as the fake-quantized one on every test image? Run:

    python benchmarks/agreement.py [--task digits|cifar10] [--policies N] [--threads N] [--json OUT]

The task's trained 32-bit baseline (from the cache, or trained now) is quantized without training: calibrated
and its BatchNorm re-estimated on training images, under each uniform policy and N random ones of all six
schemes. Both implementations then see the whole test split. Nothing is chosen by what comes out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.compiled_model import CompiledModel
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.layout import as_model_input, prepare_model
from mpsearch.training.task import Task, load_task

CALIBRATION_SAMPLES = 512
BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Samples with another largest output, and samples with all outputs equal to the bit."""

    task: str
    policy: str
    samples: int
    different_answers: int
    equal_to_the_bit: int
    max_abs_error: float


def policies(layers: list[str], count: int) -> Iterator[tuple[str, PrecisionPolicy]]:
    for scheme in SCHEMES:
        yield f"uniform {scheme}", PrecisionPolicy(dict.fromkeys(layers, scheme))
    rng = np.random.default_rng(0)
    names = list(SCHEMES)
    for number in range(count):
        yield f"random {number}", PrecisionPolicy({name: names[rng.integers(len(names))] for name in layers})


def comparisons(task: Task, count: int, threads: int) -> Iterator[Comparison]:
    model = prepare_model(task.new_model())
    model.load_state_dict(trained_baseline(task).state_dict)
    trace = trace_model(model, task.example_inputs)
    if trace.graph is None:
        raise SystemExit(f"{task.name} is not compiled: {'; '.join(trace.eager_reasons)}")
    samples = as_model_input(task.train.take(CALIBRATION_SAMPLES).inputs)
    for label, policy in policies([layer.name for layer in trace.layers], count):
        fake = quantize_model(model, policy)
        calibrate(fake, [samples])
        reestimate_batch_norm(fake, samples.split(128))
        fake.eval()
        others = {key: value for key, value in fake.state_dict().items() if key in model.state_dict()}
        model.load_state_dict(others)  # the new statistics
        compiled = CompiledModel(model, freeze_model(fake), trace.graph, threads=threads)
        yield compared(task, label, fake, compiled)


@torch.inference_mode()
def compared(task: Task, label: str, fake: nn.Module, compiled: nn.Module) -> Comparison:
    assert task.test is not None
    samples = different = equal = 0
    error = 0.0
    for inputs, _ in task.test.batches(BATCH):
        expected, got = fake(as_model_input(inputs)), compiled(inputs)
        samples += len(inputs)
        different += int((expected.argmax(1) != got.argmax(1)).sum())
        equal += int((expected == got).all(1).sum())
        error = max(error, float((expected - got).abs().max()))
    return Comparison(
        task=task.name,
        policy=label,
        samples=samples,
        different_answers=different,
        equal_to_the_bit=equal,
        max_abs_error=error,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", choices=("digits", "cifar10"), action="append")
    parser.add_argument("--policies", type=int, default=4, help="random ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.task or ["digits", "cifar10"]:
        for row in comparisons(load_task(name), arguments.policies, arguments.threads):
            rows.append(row)
            print(
                f"{row.task:8} {row.policy:16} {row.different_answers} of {row.samples} differ, "
                f"{row.equal_to_the_bit} equal to the bit, largest difference {row.max_abs_error:.2g}"
            )
    if arguments.json is not None:
        document = json.dumps([asdict(row) for row in rows], indent=1)
        arguments.json.write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
