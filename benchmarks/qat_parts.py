"""What `benchmarks/qat.py` compares: rows of runs, a part at a time. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qat_run import PolicyRule, Run, Workload, inner, uniform

DIGITS_CNN = Workload(name="digits-cnn", task="digits", args={"model": "cnn"})
DIGITS_MLP = Workload(name="digits-mlp", task="digits", args={"model": "mlp"})
RESNET20 = Workload(name="resnet20", task="cifar10", args={"model": "resnet20"})
WORKLOADS = {w.name: w for w in (DIGITS_CNN, DIGITS_MLP, RESNET20)}

CIFAR10_EPOCH = 351  # steps of 128 images
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
TRIAL_SHARE = 0.1
DRAWN = 48  # small models repeat some: at least 40 policies are to remain

# Of a trial of each workload's search space, the number of steps apart.
_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "digits-cnn": {"batch_size": 50, "steps": 200, "high_bit_steps": 40},
    "digits-mlp": {"batch_size": 50, "steps": 200, "high_bit_steps": 40},
    "resnet20": {"steps": CIFAR10_EPOCH, "high_bit_steps": CIFAR10_EPOCH, "bfloat16": True},
}
# The long fine-tune, of which a trial is at most a tenth.
_LONG: Mapping[str, Mapping[str, Any]] = {
    "digits-cnn": {"steps": 2000, "high_bit_steps": 400},
    "digits-mlp": {"steps": 2000, "high_bit_steps": 400},
    "resnet20": {"steps": 2000, "high_bit_steps": 600},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Runs that are one line of a table: those of one setting with several seeds, or one policy at several
    shares. `most_lost` is the bar: how far the mean may be below the 32-bit model, in points or nats.
    """

    table: str
    label: str
    runs: tuple[Run, ...]
    measure: Literal["score", "loss"] = "score"
    most_lost: float | None = None


Part = Callable[[int], Iterator[Row]]  # from the number of seeds


def settings(workload: Workload, **changes: Any) -> dict[str, Any]:
    return {**_RECIPES[workload.name], **changes}


def seeded(workload: Workload, rule: PolicyRule, changed: Mapping[str, Any], seeds: int) -> tuple[Run, ...]:
    return tuple(Run(workload=workload, rule=rule, settings=changed, seed=seed) for seed in range(seeds))


def bars(seeds: int) -> Iterator[Row]:
    """How far below 32 bits each precision ends, and the trend over epochs."""
    limits = (
        (uniform("w8a8"), 0.2),
        (inner("w4a8"), 0.7),
        (inner("w1.58a8"), 2.0),
        (inner("w1a8"), 3.0),
        (inner("w1a1"), 8.0),
    )
    lengths = (1, 3, 10)
    for epochs in lengths:
        steps = epochs * CIFAR10_EPOCH
        for rule, points in limits:
            is_last = epochs == lengths[-1]
            if is_last and rule.inner == "w8a8":
                continue  # adjusted within three epochs
            longest = is_last or (epochs == 3 and rule.inner == "w8a8")
            changed = settings(RESNET20, steps=steps, high_bit_steps=steps, augment=True)
            yield Row(
                table="ResNet-20, CIFAR-10",
                label=f"{rule}; {epochs} epochs" if epochs > 1 else f"{rule}; 1 epoch",
                runs=seeded(RESNET20, rule, changed, seeds if longest else 1),
                most_lost=points if longest else None,
            )


def ranking(_seeds: int) -> Iterator[Row]:
    """Random policies at several shares of the long fine-tune."""
    for workload, ends in ((DIGITS_CNN, None), (DIGITS_MLP, None), (RESNET20, "w8a8")):
        for draw in range(DRAWN):
            rule = PolicyRule(ends=ends, draw=draw)
            runs = tuple(
                Run(
                    workload=workload,
                    rule=rule,
                    settings=settings(workload, **_LONG[workload.name]),
                    share=share,
                )
                for share in (*SHARES, 1.0)
            )
            yield Row(table=workload.name, label=f"policy {draw}", runs=runs)


PARTS: Mapping[str, Part] = {"bars": bars, "ranking": ranking}


def in_order(part: str, rows: Iterable[Row]) -> list[Run]:
    """Which run first, so that an unfinished part says as much as it can: every row once before any twice;
    of a ranking, the trial's share and the whole before the other points of the curve.
    """
    runs = [(place, run) for row in rows for place, run in enumerate(row.runs)]
    if part == "ranking":
        runs.sort(key=lambda placed: placed[1].share not in (TRIAL_SHARE, 1.0))
    else:
        runs.sort(key=lambda placed: placed[0])
    return list({run.key: run for _, run in runs}.values())
