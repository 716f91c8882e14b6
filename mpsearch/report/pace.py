"""How fast a search goes and how long it will still take, from its recent trials."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mpsearch.search.trial_record import Rung, TrialRecord

_RECENT = 20
_ENOUGH = 3  # trials of the sampler; before that the uniform policies stand in for them
_SURE_WITHIN = 0.25  # a range narrower than that share of its middle is not worth reading
# Two-sided 90% quantiles of Student's t for 1, 2, ... degrees of freedom.
_T90 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81, 1.80, 1.78, 1.77, 1.76, 1.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The time to the end of the trials, and the range that holds it in 9 of 10 cases.

    `is_limit`: the limit of time ends the search, not the number of trials.

    Units: seconds.
    """

    left_s: float
    low_s: float
    high_s: float
    is_limit: bool = False


class Pace:
    """Follows the trials of one call of a search: `finish` each as it ends.

    Trials of the sampler stand for those to come, the latest 20. Until three are there, and no earlier call
    left any, the uniform policies stand in: they are its extremes, so the range spans from the quickest to
    the slowest. Trials without training (32-bit) say nothing about the rest and are left out.

    Where there are several fidelities, what the trials that wait at one have taken so far stands for those to
    come as well: most will take no more.

    Units: seconds, of `clock`.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        total: int,
        workers: int = 1,
        limit_s: float | None = None,
        earlier: Iterable[TrialRecord] = (),
    ) -> None:
        self._clock = clock
        self._total, self._workers = total, workers
        earlier = tuple(earlier)
        self._finished = len(earlier)
        self._earlier = deque((r for r in earlier if _was_trained(r)), maxlen=_RECENT)
        self._here: deque[TrialRecord] = deque(maxlen=_RECENT)
        self._waiting: dict[int, float] = {}  # number -> seconds so far
        # (when it ended, its own time); the first entry only opens the window.
        self._ends: deque[tuple[float, float]] = deque(maxlen=_RECENT + 1)
        self._deadline = None if limit_s is None else clock() + limit_s
        if workers == 1:
            self._ends.append((clock(), 0.0))  # with more, the window opens once the workers have loaded

    def rung(self, number: int, rung: Rung) -> None:
        """A trial has scored at a lower fidelity."""
        self._ends.append((self._clock(), rung.seconds))
        self._waiting[number] = self._waiting.get(number, 0.0) + rung.seconds

    def finish(self, record: TrialRecord) -> None:
        self._finished += 1
        before_s = self._waiting.pop(record.number, 0.0)
        self._ends.append((self._clock(), record.seconds - before_s))
        if _was_trained(record):
            self._here.append(record)

    @property
    def trials_per_hour(self) -> float | None:
        """Over the recent trials of this call; None until one was trained."""
        durations = [record.seconds for record in self._typical(self._here)] + [*self._waiting.values()]
        if not durations or not any(durations):
            return None
        return 3600 * self._workers * self._busy_share() / statistics.fmean(durations)

    def estimate(self, done: Sequence[float] = ()) -> Estimate | None:
        """None while nothing is known. `done`: of each running trial the share of its steps that are made."""
        records = self._typical(self._here)
        if len(records) < _ENOUGH and self._earlier:
            records = self._typical([*self._earlier, *self._here])
        to_go = max(self._total - self._finished - len(self._waiting) - sum(done), 0.0)
        durations = [record.seconds for record in records] + [*self._waiting.values()]
        if to_go == 0 or not durations:
            return self._by_limit(Estimate(left_s=0.0, low_s=0.0, high_s=0.0)) if to_go == 0 else None
        pace_s = 1 / (min(self._workers, math.ceil(to_go)) * self._busy_share())
        left = statistics.fmean(durations) * to_go
        low, high = _range(durations, to_go)
        if all(record.origin == "anchor" for record in records):
            low, high = min(low, min(durations) * to_go), max(high, max(durations) * to_go)
        return self._by_limit(Estimate(left_s=left * pace_s, low_s=low * pace_s, high_s=high * pace_s))

    def _typical(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        known = list(records)
        sampled = [record for record in known if record.origin != "anchor"]
        return (sampled if len(sampled) >= _ENOUGH else known)[-_RECENT:]

    def _busy_share(self) -> float:
        """The share of the workers' time that goes into trials; the rest is proposing and writing down."""
        if len(self._ends) < 2:
            return 1.0
        wall_s = self._ends[-1][0] - self._ends[0][0]
        work_s = sum(seconds for _, seconds in list(self._ends)[1:])
        return min(max(work_s / (wall_s * self._workers), 0.01), 1.0) if wall_s > 0 and work_s > 0 else 1.0

    def _by_limit(self, estimate: Estimate) -> Estimate:
        if self._deadline is None:
            return estimate
        limit = max(self._deadline - self._clock(), 0.0)
        return Estimate(
            left_s=min(estimate.left_s, limit),
            low_s=min(estimate.low_s, limit),
            high_s=min(estimate.high_s, limit),
            is_limit=limit < estimate.left_s,
        )


def about_text(estimate: Estimate) -> str:
    """As in "≈ 4.2 min (3.1–6)"; no range where it says no more than the figure."""
    size, unit = next((wait for wait in _WAITS if estimate.left_s >= 1.5 * wait[0]), _WAITS[-1])
    figure = _figure if size > 1 else "{:.0f}".format
    left, low, high = (figure(s / size) for s in (estimate.left_s, estimate.low_s, estimate.high_s))
    is_sure = estimate.high_s - estimate.low_s <= _SURE_WITHIN * estimate.left_s or low == high
    return f"≈ {left} {unit}" if is_sure else f"≈ {left} {unit} ({low}–{high})"


_WAITS = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def _figure(amount: float) -> str:
    """Two digits: more would be false."""
    return f"{amount:.0f}" if amount >= 9.95 else f"{amount:.1f}".removesuffix(".0")


def _was_trained(record: TrialRecord) -> bool:
    return record.steps > 0 or record.is_failed


def _range(durations: Sequence[float], to_go: float) -> tuple[float, float]:
    """A prediction interval of the sum of `to_go` further durations."""
    count = len(durations)
    left = statistics.fmean(durations) * to_go
    if count == 1:
        return left / 2, left * 2
    t = _T90[count - 2] if count - 2 < len(_T90) else 1.7
    half = t * statistics.stdev(durations) * math.sqrt(to_go + to_go**2 / count)
    return max(left - half, min(durations) * to_go, 0.0), left + half
