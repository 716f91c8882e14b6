"""One sampler on one table with one seed: what it trains, in its order."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from search_costs import MEASURED, costs_beside, drawn_costs, read_costs
from search_policy_table import PolicyTable, read_table
from search_problem import SHARES, USUAL_REFERENCE, Problem, Progress, usual_objectives
from search_proxies import proxy_of, usual_proxy
from search_rivals import rival_named

from mpsearch.search.knowledge import Knowledge

Floats = NDArray[np.float64]

KEPT = Path(__file__).parent / "work"
ENGINE = "engine"
# Of the engine; more where most are stopped at a lower fidelity.
TRIALS_IN_FULL, TRIALS_OF_SEVERAL = 120, 240
LEAST_TRIALS = 30  # a replay is not ended earlier, for the share after 25
NEAR = 0.003  # of a score: what a single answer may miss of the best
FRONT = "front"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is replayed: `costs` are the measured or a number of drawn ones; `goal` is the front, or a number
    of budgets within which the best score is sought. `content` is the digest of the table's files. With
    `fidelities` the whole engine is replayed, with sensitivities of the real model and costs of its own: the
    digest of the machine profile that they come from is part of `content`. The engine trains no policy twice
    without `repeats`.
    """

    table: str
    content: str
    sampler: str
    seed: int
    objectives: tuple[str, ...]
    proxy: str
    is_noisy: bool = True
    costs: str | int = MEASURED
    goal: str | int = FRONT
    most_trials: int | None = None
    fidelities: tuple[float, ...] = ()
    repeats: bool = True

    @property
    def key(self) -> str:
        """Without where the table lies; repeats, which are usual, add nothing to it."""
        fields = {**asdict(self), "table": Path(self.table).stem}
        if self.repeats:
            del fields["repeats"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """`rows` of the table in the order of the trials; for each, seconds of asking and proposals until it.

    Of the engine there are the complete trials, and `spent_s` holds all seconds of training until the end of
    each; it is None where these are the table's.
    """

    key: str
    rows: tuple[int, ...]
    ask_s: tuple[float, ...]
    proposals: tuple[int, ...]
    proxy_s: float
    spent_s: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Replay:
        lists = {name: tuple(fields[name]) for name in ("rows", "ask_s", "proposals")}
        spent = fields["spent_s"]
        spent = None if spent is None else tuple(spent)
        return cls(key=fields["key"], proxy_s=fields["proxy_s"], spent_s=spent, **lists)


@lru_cache(maxsize=8)
def table_at(path: str) -> PolicyTable:
    return read_table(Path(path))


@lru_cache(maxsize=64)
def problem_of(path: str, costs: str | int, objectives: tuple[str, ...], reference: str) -> Problem:
    table = table_at(path)
    found = read_costs(costs_beside(Path(path)), table)
    if not isinstance(costs, str):
        found = drawn_costs(found, costs)
    known = _engine_costs(path) if costs == ENGINE else None
    return Problem(
        table=table,
        costs=found,
        objectives=objectives or usual_objectives(found),
        reference=reference,
        known_costs=known,
    )


@lru_cache(maxsize=8)
def _engine_costs(path: str) -> Floats:
    """Of all policies of one of our tables, by a profile of this machine that is kept beside it."""
    from search_engine_replay import machine_costs, machine_profile  # noqa: PLC0415 - imports torch

    table = table_at(path)
    return machine_costs(table, machine_profile(table.name, _profile_of(path)))


def _profile_of(path: str) -> Path:
    return KEPT / f"{digest(path)}.profile.json"


@lru_cache(maxsize=8)
def digest(path: str) -> str:
    """Of a table and the costs beside it."""
    found = hashlib.sha256()
    for file in (Path(path), costs_beside(Path(path))):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


@lru_cache(maxsize=8)
def _profile_digest(path: str) -> str:
    """Of the machine's profile for the table's layers, which is measured if there is none."""
    from search_engine_replay import machine_profile  # noqa: PLC0415 - imports torch

    file = _profile_of(path)
    if not file.exists():
        machine_profile(table_at(path).name, file)
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def setting_of(path: str, **fields: Any) -> Setting:
    """With the proxy that is usual for the table, where none is named."""
    table = table_at(path)
    fields["proxy"] = fields.get("proxy") or usual_proxy(table)
    problem = problem_of(path, MEASURED, fields["objectives"], USUAL_REFERENCE)
    fields["objectives"] = problem.objectives
    found = Setting(table=path, content=digest(path), **fields)
    if found.fidelities:
        return replace(found, content=f"{found.content}-{_profile_digest(path)}")
    # What a rival does not look at makes no replay of its own.
    return found if rival_named(found.sampler).uses_proxy else replace(found, proxy="none")


def shown_scores(setting: Setting, table: PolicyTable) -> Floats:
    """What a training of each policy tells in this replay: one of its seeds, or the mean of all. Shape: (P,).

    The same for all samplers.
    """
    if not setting.is_noisy:
        return table.mean_scores
    return table.shown_scores(np.random.default_rng([setting.seed, 3]))


def replay(setting: Setting) -> Replay:
    """Trial after trial, until the goal is reached with some to spare, or the sampler's most trials.

    The goal: 99.5% of the exact hypervolume from the usual reference point, or a score within 0.3 points of
    the best within the budgets.
    """
    if setting.fidelities:
        return _engine_replay(setting)
    table = table_at(setting.table)
    problem = problem_of(setting.table, setting.costs, setting.objectives, USUAL_REFERENCE)
    charged = proxy_of(table, setting.proxy, setting.seed)
    bounds = None if isinstance(setting.goal, str) else problem.budgets[setting.goal]
    knowledge = Knowledge(policies=problem.bounded(bounds), proxy=charged.proxy, samples=table.samples)
    rival = rival_named(setting.sampler)
    most = min(rival.most_trials, setting.most_trials or rival.most_trials, len(table.codes))
    scores = shown_scores(setting, table)
    start = time.perf_counter()
    asker = rival.make(knowledge, setting.seed)
    spent = time.perf_counter() - start
    rows: list[int] = []
    ask_s: list[float] = []
    proposals: list[int] = []
    progress = Progress(problem)
    best = 0.0 if bounds is None else problem.best_score(bounds)
    while len(rows) < most:
        start = time.perf_counter()
        policy = asker.ask()
        spent += time.perf_counter() - start
        if policy is None:
            break
        row = int(table.rows(np.array([policy]))[0])
        start = time.perf_counter()
        asker.tell(policy, float(scores[row]))
        rows.append(row)
        ask_s.append(spent)
        proposals.append(asker.proposals)
        spent = time.perf_counter() - start
        is_done = progress.add(row) >= SHARES[-1] if bounds is None else table.mean_scores[row] >= best - NEAR
        if is_done and (bounds is not None or len(rows) >= LEAST_TRIALS):
            break
    return Replay(
        key=setting.key,
        rows=tuple(rows),
        ask_s=tuple(round(seconds, 6) for seconds in ask_s),
        proposals=tuple(proposals),
        proxy_s=charged.seconds,
    )


def _engine_replay(setting: Setting) -> Replay:
    from search_engine_replay import engine_trials, machine_profile  # noqa: PLC0415 - imports torch

    table = table_at(setting.table)
    found = engine_trials(
        table,
        machine_profile(table.name, _profile_of(setting.table)),
        shown=shown_scores(setting, table),
        sampler=setting.sampler,
        seed=setting.seed,
        trials=setting.most_trials or (TRIALS_OF_SEVERAL if len(setting.fidelities) > 1 else TRIALS_IN_FULL),
        objectives=setting.objectives,
        fidelities=setting.fidelities,
        repeats=setting.repeats,
        sensitivity=KEPT / f"{digest(setting.table)}.sensitivity",
    )
    count = len(found.rows)
    return Replay(
        key=setting.key,
        rows=found.rows,
        ask_s=(0.0,) * count,
        proposals=tuple(range(1, count + 1)),
        proxy_s=found.proxy_s,
        spent_s=found.spent_s,
    )
