"""From finished replays to the lines that `benchmarks/search.py` writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from search_problem import SHARES, Problem, Progress
from search_replay import FRONT, NEAR, Replay, Setting, problem_of, shown_scores

from mpsearch.pareto.dominance import non_dominated

Floats = NDArray[np.float64]
Line = dict[str, Any]

AFTER, LATER = 25, 60  # trials after which a front and its regret are looked at


def results(finished: Iterable[tuple[Setting, Replay]], reference: str) -> list[Line]:
    """A line for each table, costs (measured or drawn), goal, proxy and sampler: medians over the seeds.

    Who never gets so far counts as later than all others: a median is None where half or more do not.
    """
    ordered = sorted(
        finished, key=lambda pair: (_group(pair[0]), pair[0].costs, pair[0].seed, str(pair[0].goal))
    )
    return [
        _front_line(group, reference) if group[0][0].goal == FRONT else _answer_line(group)
        for _, members in groupby(ordered, key=lambda pair: _group(pair[0]))
        for group in [list(members)]
    ]


def _group(setting: Setting) -> tuple[str, ...]:
    return (
        Path(setting.table).stem,
        setting.content,
        ",".join(setting.objectives),
        "front" if setting.goal == FRONT else "budgets",
        _costs_of(setting),
        "noisy" if setting.is_noisy else "mean",
        setting.sampler,
        setting.proxy,
        str(setting.most_trials),
        str(setting.fidelities),
        str(not setting.repeats),
    )


def _costs_of(setting: Setting) -> str:
    return setting.costs if isinstance(setting.costs, str) else "drawn"


def _head(group: Sequence[tuple[Setting, Replay]]) -> Line:
    setting = group[0][0]
    return {
        "table": Path(setting.table).stem,
        "sampler": setting.sampler,
        "seeds": len({one.seed for one, _ in group}),
        "proxy": setting.proxy,
        "objectives": list(setting.objectives),
        "costs": _costs_of(setting),
        "cost_tables": len({one.costs for one, _ in group}),
        "is_noisy": setting.is_noisy,
        "fidelities": list(setting.fidelities),
        "repeats": setting.repeats,
    }


def _front_line(group: Sequence[tuple[Setting, Replay]], reference: str) -> Line:
    curves = [_Curve(setting, found, reference) for setting, found in group]
    trials = {str(share): [curve.trials_to(share) for curve in curves] for share in SHARES}
    proposals = {str(share): [curve.proposals_to(share) for curve in curves] for share in SHARES}
    seconds = {str(share): [curve.seconds_to(share) for curve in curves] for share in SHARES}
    return {
        **_head(group),
        "goal": "front",
        "reference": reference,
        "most_trials": max(len(found.rows) for _, found in group),
        "trials_to": {share: _median(values) for share, values in trials.items()},
        "trials_to_quartiles": {share: _quartiles(values) for share, values in trials.items()},
        "clairvoyant_trials_to": {
            str(share): _median([curve.least_trials_to(share) for curve in curves]) for share in SHARES
        },
        "proposals_to": {share: _median(values) for share, values in proposals.items()},
        "seconds_to": {share: _median(values) for share, values in seconds.items()},
        "seconds_in_all": _finite(float(np.median([curve.seconds[-1] for curve in curves]))),
        "proxy_seconds": _finite(float(np.median([found.proxy_s for _, found in group]))),
        "final_hypervolume": float(np.median([curve.shares[-1] for curve in curves])),
        f"hypervolume_after_{AFTER}": float(np.median([curve.after(AFTER) for curve in curves])),
        f"chosen_hypervolume_after_{AFTER}": float(np.median([curve.chosen(AFTER) for curve in curves])),
        f"chosen_hypervolume_after_{LATER}": float(np.median([curve.chosen(LATER) for curve in curves])),
        "curve": _median_curve([curve.shares for curve in curves]),
        "regret_under_budgets": [
            _median(of_budget) for of_budget in zip(*(curve.regrets(AFTER) for curve in curves), strict=True)
        ],
        **_ask_times(group),
    }


def _answer_line(group: Sequence[tuple[Setting, Replay]]) -> Line:
    """One answer within budgets: trials until a policy within 0.3 points of the best was trained."""
    trials: dict[int | str, list[float]] = {}
    for setting, found in group:
        problem = problem_of(setting.table, setting.costs, setting.objectives, "front")
        best = problem.best_score(problem.budgets[int(setting.goal)])
        scores = problem.table.mean_scores[list(found.rows)]
        near = np.flatnonzero(scores >= best - NEAR)
        trials.setdefault(setting.goal, []).append(float(near[0]) + 1 if len(near) else float("inf"))
    every = [count for counts in trials.values() for count in counts]
    return {
        **_head(group),
        "goal": "budgets",
        "most_trials": max(len(found.rows) for _, found in group),
        "trials_to_answer": _median(every),
        "trials_to_answer_quartiles": _quartiles(every),
        "trials_to_answer_by_budget": [_median(counts) for _, counts in sorted(trials.items())],
        **_ask_times(group),
    }


def _ask_times(group: Sequence[tuple[Setting, Replay]]) -> Line:
    times = 1000 * np.concatenate([found.ask_s for _, found in group])
    return {"ask_ms": float(np.median(times)), "ask_ms_90": float(np.quantile(times, 0.9))}


class _Curve:
    """The share of the exact hypervolume after each trial of a replay."""

    def __init__(self, setting: Setting, found: Replay, reference: str) -> None:
        self.problem: Problem = problem_of(setting.table, setting.costs, setting.objectives, reference)
        self.shown = shown_scores(setting, self.problem.table)
        self.found = found
        self.rows = np.array(found.rows, dtype=np.int64)
        progress = Progress(self.problem)
        self.shares = np.array([progress.add(row) for row in found.rows])
        seconds = self.problem.table.seconds
        each = np.full(len(self.rows), np.nan) if seconds is None else np.nanmean(seconds, axis=1)[self.rows]
        spent = np.cumsum(each) if found.spent_s is None else np.array(found.spent_s)
        self.seconds = found.proxy_s + spent + np.cumsum(found.ask_s)

    def trials_to(self, share: float) -> float:
        """Infinite where it is not reached."""
        return _first(self.shares, share)

    def least_trials_to(self, share: float) -> float:
        """Of who knows all scores."""
        return _first(self.problem.greedy_shares, share)

    def proposals_to(self, share: float) -> float:
        trials = self.trials_to(share)
        return trials if trials == float("inf") else float(self.found.proposals[int(trials) - 1])

    def seconds_to(self, share: float) -> float:
        trials = self.trials_to(share)
        return trials if trials == float("inf") else float(self.seconds[int(trials) - 1])

    def after(self, trials: int) -> float:
        return float(self.shares[min(trials, len(self.shares)) - 1])

    def chosen(self, trials: int) -> float:
        """Of the policies that are on the front by the scores that were shown: what a user would pick."""
        rows, trainings = np.unique(self.rows[:trials], return_counts=True)
        scores = np.array([self._told(row, count) for row, count in zip(rows, trainings, strict=True)])
        is_front = non_dominated(self.problem.points(scores, rows))
        return self.problem.share(rows[is_front])

    def _told(self, row: int, trainings: int) -> float:
        """The score of a policy; the mean of several that was trained more than once, as the engine does."""
        if trainings == 1:
            return float(self.shown[row])
        return float(np.mean(self.problem.table.scores_from(row, self.shown[row])[:trainings]))

    def regrets(self, trials: int) -> list[float]:
        """Points by which the best shown one within each budget is below the best; infinite for none."""
        rows = self.rows[:trials]
        found = []
        for bounds in self.problem.budgets:
            within = rows[(self.problem.all_costs[rows] <= bounds).all(axis=1)]
            if len(within):
                taken = within[self.shown[within].argmax()]
                missed = self.problem.best_score(bounds) - self.problem.table.mean_scores[taken]
                found.append(100 * float(missed))
            else:
                found.append(float("inf"))
        return found


def _first(shares: Floats, share: float) -> float:
    reached = np.flatnonzero(shares >= share)
    return float(reached[0] + 1) if len(reached) else float("inf")


def _median_curve(curves: Sequence[Floats]) -> list[float]:
    """After 1, 2, ... trials, as long as half of the replays are; one that ended keeps its last share."""
    length = int(np.median([len(curve) for curve in curves]))
    rows = [np.pad(curve, (0, max(0, length - len(curve))), mode="edge")[:length] for curve in curves]
    return [round(float(share), 5) for share in np.median(rows, axis=0)]


def _median(values: Sequence[float]) -> float | None:
    return _finite(_quantile(values, 0.5))


def _quartiles(values: Sequence[float]) -> list[float | None]:
    return [_finite(_quantile(values, share)) for share in (0.25, 0.75)]


def _quantile(values: Sequence[float], share: float) -> float:
    """Between two values their mean, as for a median; infinite ones count as the greatest."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    place = share * (len(ordered) - 1)
    low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    return float(low if low == high else low + (high - low) * (place % 1))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
