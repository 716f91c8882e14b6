"""One line of a table of `benchmarks/qat.py`, and the runs it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qat_run import PolicyRule, Run
from qat_workloads import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Runs that are one line: those of one setting with several seeds, or one policy at several shares.

    most_lost  the bar: how far the mean may be below the 32-bit model, in points or nats
    against    label of the row of the same table that this one is compared with, seed by seed
    expected   the issue names this comparison: its paper finds this row the better one
    """

    table: str
    label: str
    runs: tuple[Run, ...]
    measure: Literal["score", "loss"] = "score"
    most_lost: float | None = None
    against: str | None = None
    expected: bool = False


def seeded(bench: Bench, rule: PolicyRule, settings: Mapping[str, Any], seeds: int) -> tuple[Run, ...]:
    """One run a seed."""
    return tuple(
        Run(workload=bench.workload, rule=rule, settings=settings, seed=seed) for seed in range(seeds)
    )
