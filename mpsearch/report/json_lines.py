"""A running search for machines: one JSON object a line, an event each, written at once.

Every line has `schema` (1), `event` and `time` (UTC, ISO 8601 with milliseconds). Numbers are finite or null;
a policy is an object layer -> scheme in call order; the suffix of a key is its unit (`_s` seconds, `_bytes`,
`_j` joules), scores and hypervolumes are shares of 1. Fields may be added within a schema. By `event`:

    stage_started    stage (task, profile, baseline, sensitivity or test), detail
    stage_progress   stage, done, total, what
    notice           message, is_warning
    search_started   name, out, objectives, budgets (those that are set: accuracy, latency_s, ...),
                     policies, total, finished, workers, batch (trials that a worker trains together),
                     limit_s, baseline {score, costs}, hypervolume, front (numbers of trials), knee, best (a
                     number), trials (those already there, as `trial` below)
    trial_started    number, policy, width (where the space has widths), origin (anchor, sampler or random),
                     share (of its steps: once for each fidelity), waiting
    rung_finished    number, rung {share, score, loss, seconds, steps, ended}, waiting (how many trials have
                     scored at a lower fidelity and do not run)
    trial_progress   number, step, total, loss
    trial_finished   trial {number, policy, width (as above), state, score, loss, costs {latency_s,
                     latency_p95_s, latency_p99_s, memory_bytes, energy_j}, feasible, seconds, steps, seed,
                     origin, started, ended, failure},
                     finished, total, on_front, front, knee, best, hypervolume, trials_per_hour,
                     left_s, left_low_s, left_high_s (an interval of 90%)
    search_finished  reason (done, timeout, exhausted or interrupted), message, resume, out, search_s, front

An error ends the stream; it is told on standard error, and the exit code is not 0.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.text import Text

from mpsearch.report.search_state import SearchState
from mpsearch.search.events import (
    Event,
    Notice,
    RungFinished,
    SearchFinished,
    SearchStarted,
    StageProgress,
    StageStarted,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.objective import objective_named
from mpsearch.search.trial_record import TrialRecord

SCHEMA = 1


class JsonLines:
    """Writes the events that it is called with to `stream`; a context manager.

    While it is open, standard output belongs to it: what a task, a library or a worker process prints there
    goes to standard error instead. Notices go to `messages` as well.

    Raises: BrokenPipeError from the call, once nobody reads any more.
    """

    def __init__(self, messages: Console, stream: TextIO | None = None) -> None:
        self.state = SearchState()
        self._messages = messages
        self._stream = stream
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if self._stream is None:
            sys.stdout.flush()
            self._descriptor = os.dup(sys.stdout.fileno())
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            sys.stdout.flush()
            os.dup2(self._descriptor, sys.stdout.fileno())
            os.close(self._descriptor)
            self._descriptor = None

    def __call__(self, event: Event) -> None:
        self.state.update(event)
        if isinstance(event, Notice):
            self._messages.print(Text(event.message, "yellow" if event.is_warning else ""), soft_wrap=True)
        name, fields = _FIELDS[type(event)]
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"schema": SCHEMA, "event": name, "time": time, **fields(event, self.state)}
        self._write(json.dumps(_finite(line), ensure_ascii=False, allow_nan=False) + "\n")

    def _write(self, line: str) -> None:
        if self._descriptor is not None:
            rest = line.encode()
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        elif self._stream is not None:
            self._stream.write(line)
            self._stream.flush()


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _trial(record: TrialRecord) -> dict[str, Any]:
    fields = record.to_dict()
    del fields["schema"]  # the line has its own
    return fields


def _search_started(event: SearchStarted, state: SearchState) -> dict[str, Any]:
    baseline = {"score": event.baseline_score, "costs": event.baseline_costs.to_dict()}
    return {
        "name": event.name,
        "out": str(event.out),
        "objectives": [objective.name for objective in event.objectives],
        "budgets": {objective_named(name).field: bound for name, bound in event.budgets.bounds().items()},
        "policies": event.policies,
        "total": event.total,
        "finished": event.finished,
        "waiting": event.waiting,
        "workers": event.workers,
        "batch": event.batch,
        "limit_s": event.limit_s,
        "baseline": baseline,
        "hypervolume": event.hypervolume,
        "front": event.front,
        "knee": event.knee,
        "best": None if state.best is None else state.best.number,
        "trials": [_trial(record) for record in event.records],
    }


def _trial_finished(event: TrialFinished, state: SearchState) -> dict[str, Any]:
    estimate = state.estimate()
    return {
        "trial": _trial(event.record),
        "finished": event.finished,
        "total": event.total,
        "on_front": event.on_front,
        "front": event.front,
        "knee": event.knee,
        "best": None if event.best is None else event.best.number,
        "hypervolume": event.hypervolume,
        "trials_per_hour": state.trials_per_hour,
        "left_s": None if estimate is None else estimate.left_s,
        "left_low_s": None if estimate is None else estimate.low_s,
        "left_high_s": None if estimate is None else estimate.high_s,
    }


_Fields = Callable[[Any, SearchState], dict[str, Any]]
_FIELDS: dict[type[Event], tuple[str, _Fields]] = {
    StageStarted: ("stage_started", lambda e, _: {"stage": e.stage, "detail": e.detail}),
    StageProgress: (
        "stage_progress",
        lambda e, _: {"stage": e.stage, "done": e.done, "total": e.total, "what": e.what},
    ),
    Notice: ("notice", lambda e, _: {"message": e.message, "is_warning": e.is_warning}),
    SearchStarted: ("search_started", _search_started),
    TrialStarted: (
        "trial_started",
        lambda e, _: {
            "number": e.number,
            "policy": e.policy.names(),
            **({} if e.policy.width is None else {"width": e.policy.width}),
            "origin": e.origin,
            "share": e.share,
            "waiting": e.waiting,
        },
    ),
    RungFinished: (
        "rung_finished",
        lambda e, _: {"number": e.number, "rung": asdict(e.rung), "waiting": e.waiting},
    ),
    TrialProgress: (
        "trial_progress",
        lambda e, _: {"number": e.number, "step": e.step, "total": e.total, "loss": e.loss},
    ),
    TrialFinished: ("trial_finished", _trial_finished),
    SearchFinished: (
        "search_finished",
        lambda e, _: {
            "reason": e.reason,
            "message": e.message,
            "resume": e.resume,
            "out": str(e.out),
            "search_s": e.seconds,
            "front": e.front,
        },
    ),
}
