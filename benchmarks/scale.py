"""How far does a search scale? Run: python benchmarks/scale.py --json OUT [--only NAME ...]

Prints each bar with what was reached, and writes all measurements. Machines differ from minute to minute:
what is compared is measured in turns, and medians are judged. `cluster` and `ray` need Ray.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from scale_overhead import busy_share_of_cluster, searched
from scale_speedup import trials_per_second_of_processes, trials_per_second_of_search
from scale_study import LongStudy

from mpsearch.search.samplers import SAMPLERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One claim: its median must be at most, or at least, `bound`; None where it is told, not judged."""

    name: str
    unit: str
    values: tuple[float, ...]
    bound: float | None
    is_most: bool = True

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool | None:
        if self.bound is None:
            return None
        return self.median <= self.bound if self.is_most else self.median >= self.bound

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "median": self.median, "is_met": self.is_met}

    def __str__(self) -> str:
        spread = f"({min(self.values):.3g} to {max(self.values):.3g}, {len(self.values)}x)"
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        bound = "" if self.bound is None else f"{'<=' if self.is_most else '>='} {self.bound:g}"
        return f"{self.name:58} {self.median:8.3f} {self.unit:8} {spread:30} {bound:8} {verdict}"


def overhead(repetitions: int) -> Iterator[Bar]:
    """Engine overhead per trial that does nothing, on this machine."""
    for workers in (1, 2):
        means = [1e3 * searched(trials=150, workers=workers).overhead_s() for _ in range(repetitions)]
        yield Bar(
            name=f"overhead per trial, {workers} local worker{'s'[: workers - 1]}",
            unit="ms",
            values=tuple(means),
            bound=50.0,
        )


def ray_overhead(repetitions: int) -> Iterator[Bar]:
    """The same over a Ray cluster of this machine, actors reused."""
    means = [
        1e3 * searched(trials=120, workers=1, ray="local", cpus_per_trial=1.0).overhead_s()
        for _ in range(repetitions)
    ]
    yield Bar(name="overhead per trial, Ray with one worker", unit="ms", values=tuple(means), bound=150.0)


def speedup(repetitions: int) -> Iterator[Bar]:
    """Two workers beside two independent, pinned processes, in turns."""
    trials, steps = 20, 400
    of_search, of_two, of_one = [], [], []
    for _ in range(repetitions):
        of_one.append(trials_per_second_of_processes(processes=1, trials=trials // 2, steps=steps))
        of_two.append(trials_per_second_of_processes(processes=2, trials=trials, steps=steps))
        of_search.append(trials_per_second_of_search(workers=2, trials=trials, steps=steps))
    two = tuple(b / a for a, b in zip(of_one, of_two, strict=True))
    yield Bar(name="speed-up of two independent processes", unit="x", values=two, bound=None)
    ours = tuple(b / a for a, b in zip(of_one, of_search, strict=True))
    yield Bar(name="speed-up of two workers", unit="x", values=ours, bound=None)
    shares = tuple(100 * b / a for a, b in zip(of_two, of_search, strict=True))
    yield Bar(
        name="two workers, of two processes' speed-up", unit="%", values=shares, bound=95.0, is_most=False
    )


def study(repetitions: int) -> Iterator[Bar]:
    """Ten thousand finished trials. A Gaussian process takes seconds over any ask: told, not judged."""
    long = LongStudy()
    opened = tuple(long.seconds_to_open() for _ in range(repetitions))
    yield Bar(name=f"open {long.trials} trials to search on", unit="s", values=opened, bound=3.0)
    read = tuple(long.seconds_to_read() for _ in range(repetitions))
    yield Bar(name=f"load_run of {long.trials} trials, a fresh process", unit="s", values=read, bound=3.0)
    for sampler in SAMPLERS:
        bound = None if sampler == "gp" else 100.0
        asked = tuple(1e3 * seconds for seconds in long.seconds_to_ask(sampler))
        yield Bar(name=f"ask {sampler} after {long.trials} trials", unit="ms", values=asked, bound=bound)
    printed = tuple(long.seconds_to_print() for _ in range(repetitions))
    yield Bar(name=f"mpsearch pareto of {long.trials} trials", unit="s", values=printed, bound=2.0)


def cluster(repetitions: int) -> Iterator[Bar]:
    """Sixty-four Ray workers that sleep."""
    shares = tuple(
        100 * busy_share_of_cluster(nodes=8, cpus=8, trials=320, seconds=30.0) for _ in range(repetitions)
    )
    yield Bar(name="64 Ray workers busy", unit="%", values=shares, bound=90.0, is_most=False)


PARTS: dict[str, tuple[Callable[[int], Iterator[Bar]], int]] = {
    "overhead": (overhead, 3),
    "speedup": (speedup, 5),
    "study": (study, 3),
    "ray": (ray_overhead, 3),
    "cluster": (cluster, 1),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write all measurements")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME")
    parser.add_argument("--repetitions", type=int, help="of each measurement; default: 1 to 5")
    arguments = parser.parse_args()
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("MPSEARCH_CACHE", cache)
        for name in arguments.only:
            measure, repetitions = PARTS[name]
            for bar in measure(arguments.repetitions or repetitions):
                bars.append(bar)
                print(bar, flush=True)
    if arguments.json is not None:
        document = {"cpus": os.cpu_count(), "bars": [bar.to_dict() for bar in bars]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(bar.is_met is not False for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
