"""Time a fake-quantized training step beside the 32-bit step, interleaved in one run.

    python benchmarks/qat_step.py [--threads 2] [--batch 128] [--rounds 12] [--only w4a8] [--json OUT]

ResNet-20, channels_last, Adam, random CIFAR-sized images; in float32 and with products in bfloat16. Every
round takes one step of every kind, in another order each time; the ratio of a kind is the median over the
rounds of its time divided by the 32-bit time of the same round. Two clocks: the wall, and the time that this
process had cores for, which other processes on the machine hardly touch. Shares say how much of a step the
teacher's forward pass would add and how much of it the optimizer takes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.models.quantizable import is_candidate
from mpsearch.models.resnet import resnet20
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.training.layout import as_model_input, prepare_model
from mpsearch.training.loop import reduced_precision

SCHEMES = ("w8a8", "w4a8", "w1.58a8", "w1a8", "w1a1")
BAR = 1.3


class Step:
    """One training step of one model, and its parts."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, *, bfloat16: bool) -> None:
        self.model, self.images, self.labels, self.bfloat16 = model.train(), images, labels, bfloat16
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def __call__(self) -> None:
        with reduced_precision(enabled=self.bfloat16):
            output = self.model(self.images)
        loss = F.cross_entropy(output.float(), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def forward(self) -> None:
        with torch.no_grad(), reduced_precision(enabled=self.bfloat16):
            self.model(self.images)


def steps_of(
    batch: int, schemes: Sequence[str], choice: QuantizerChoice, *, bfloat16: bool
) -> dict[str, Step]:
    torch.manual_seed(0)
    images = as_model_input(torch.randn(batch, 3, 32, 32))
    labels = torch.randint(10, (batch,))
    base = prepare_model(resnet20())
    names = [name for name, module in base.named_modules() if is_candidate(module)]
    steps = {"fp32": Step(base, images, labels, bfloat16=bfloat16)}
    for scheme in schemes:
        model = prepare_model(quantize_model(base, PrecisionPolicy(dict.fromkeys(names, scheme)), choice))
        calibrate(model, [images])
        steps[scheme] = Step(model, images, labels, bfloat16=bfloat16)
    return steps


def timed(call: Callable[[], object]) -> tuple[float, float]:
    wall, cores = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cores


def compare(steps: dict[str, Step], rounds: int) -> dict[str, dict[str, object]]:
    """Ratios of every kind to fp32 by round; the parts are timed in the same rounds."""
    order = random.Random(0)
    calls: dict[str, Callable[[], object]] = dict(steps)
    calls["forward"] = steps["fp32"].forward
    calls["optimizer"] = steps["fp32"].optimizer.step
    for step in steps.values():
        step()
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in order.sample(list(calls), len(calls)):
            samples[name].append(timed(calls[name]))
    return {name: summary(taken, samples["fp32"]) for name, taken in samples.items()}


def summary(taken: list[tuple[float, float]], base: list[tuple[float, float]]) -> dict[str, object]:
    """Median milliseconds and the quartiles of the ratio to the base, by both clocks."""
    found: dict[str, object] = {}
    for clock, name in enumerate(("wall", "cores")):
        ratios = [one[clock] / other[clock] for one, other in zip(taken, base, strict=True)]
        found[f"{name}_ms"] = 1e3 * quantiles([one[clock] for one in taken], n=4)[1]
        found[f"{name}_ratio"] = quantiles(ratios, n=4)
    return found


def show(title: str, results: dict[str, dict[str, object]]) -> None:
    print(f"{title:<10} {'wall ms':>8} {'ratio to fp32':>22} {'cores ms':>9} {'ratio to fp32':>22}")
    for name, result in results.items():
        row = f"{name:<10}"
        for clock, width in (("wall", 8), ("cores", 9)):
            low, middle, high = result[f"{clock}_ratio"]  # type: ignore[misc]
            row += f" {result[f'{clock}_ms']:{width}.1f} {middle:8.3f} ({low:.3f}..{high:.3f})"
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=SCHEMES, default=SCHEMES, metavar="SCHEME")
    parser.add_argument(
        "--products", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16")
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results = {}
    for products in given.products:
        steps = steps_of(given.batch, given.only, QuantizerChoice(), bfloat16=products == "bfloat16")
        results[products] = compare(steps, given.rounds)
        show(products, results[products])
    if given.json is not None:
        settings = {"threads": given.threads, "batch": given.batch, "rounds": given.rounds, "bar": BAR}
        given.json.write_text(json.dumps({"settings": settings, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
