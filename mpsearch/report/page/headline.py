"""The sentences at the top of the page: what the run has found, in a breath."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mpsearch.report.landmarks import answer_name
from mpsearch.report.seeds_text import repeats_text
from mpsearch.report.stopped_text import unscored_text
from mpsearch.report.units import (
    budgets_text,
    bytes_text,
    counted,
    factor_text,
    joules_text,
    percent_text,
    seconds_text,
    wait_text,
)
from mpsearch.report.width_text import widths_text
from mpsearch.search.history import HistoryPoint
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the large numbers: of the knee, beside 32 bits."""

    title: str
    value: str
    gain: str
    compared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """`sentence` as pieces of text, those at odd places stressed; `detail` below it in small print."""

    sentence: tuple[str, ...]
    detail: tuple[str, ...]
    figures: tuple[Figure, ...]


def headline(run: Run, history: Sequence[HistoryPoint]) -> Headline:
    """What the knee keeps and gains; without a finished trial, that there is none."""
    if not run.front.records:
        return Headline(
            sentence=("No trial has finished yet.",),
            detail=(_trials_line(run, history), "Open the page again with the same command once one has."),
            figures=(),
        )
    knee = run.front.knee().record
    return Headline(
        sentence=_sentence(run, knee),
        detail=tuple(
            line for line in (_trials_line(run, history), _bounds_line(run), _machine_line(run)) if line
        ),
        figures=_figures(run, knee),
    )


def plus_minus(interval: tuple[float, float]) -> str:
    """Half of an interval of an accuracy in points, as "± 0.9"; empty where it is unknown."""
    low, high = interval
    return "" if math.isnan(low) else f"± {100 * (high - low) / 2:.1f}"


def _sentence(run: Run, knee: TrialRecord) -> tuple[str, ...]:
    base = run.baseline.costs
    score = f"{percent_text(knee.accuracy, 1)} {plus_minus(run.interval(knee))}".strip()
    if knee.policy.is_full_precision:
        return ("So far nothing beats 32 bits: ", score, " at ", seconds_text(knee.latency_s), ".")
    faster, smaller = base.latency_s / knee.latency_s, base.memory_bytes / knee.memory_bytes
    wide = "" if knee.policy.width is None else f", of width {knee.policy.width:g},"
    return (
        f"The {answer_name(run)}{wide} keeps ", score, " at ", seconds_text(knee.latency_s), ", ",
        *_gain(faster, "faster", "slower"), " and ", *_gain(smaller, "smaller", "larger"),
        f" than {widths_text(run, '32 bits')}.",
    )  # fmt: skip


def _gain(ratio: float, better: str, worse: str) -> tuple[str]:
    text = factor_text(ratio if ratio >= 1 else 1 / ratio)
    return (f"{text} {better if ratio >= 1 else worse}",)


def _trials_line(run: Run, history: Sequence[HistoryPoint]) -> str:
    complete = sum(record.is_complete for record in run.trainings)
    names = ", ".join(objective.name for objective in run.objectives)
    spent = f" in {wait_text(history[-1].search_s)} of search" if history else ""
    scored = f"{counted(complete, 'trial')}{repeats_text(run.records)}{unscored_text(run.records)}"
    return f"{scored}{spent}; {len(run.front)} on the front of {names}."


def _bounds_line(run: Run) -> str:
    """How many trials meet the budgets and overrides, and what these are."""
    asked = [budgets_text(run.budgets)] if run.budgets else []
    asked += [str(run.overrides)] if run.overrides else []
    if not asked:
        return ""
    feasible = sum(record.is_complete and record.feasible for record in run.records)
    return f"{feasible or 'None'} of them within what was asked for: {', '.join(asked)}."


def _machine_line(run: Run) -> str:
    threads = counted(run.profile.threads, "thread")
    return (
        f"{run.metric.capitalize()} on {run.validation_samples} validation samples; costs predicted for "
        f"{threads} of {run.profile.fingerprint.cpu_model}."
    )


def _figures(run: Run, knee: TrialRecord) -> tuple[Figure, ...]:
    base, costs = run.baseline.costs, knee.costs
    points = 100 * (knee.accuracy - run.baseline.score)
    return (
        Figure(
            title=run.metric,
            value=percent_text(knee.accuracy),
            gain=f"{points:+.2f} points".replace("-", "\N{MINUS SIGN}"),
            compared=f"{widths_text(run, '32-bit')}: {percent_text(run.baseline.score)}",
        ),
        _cost_figure("latency", seconds_text(costs.latency_s), seconds_text(base.latency_s),
                     base.latency_s / costs.latency_s),
        _cost_figure("memory", bytes_text(costs.memory_bytes), bytes_text(base.memory_bytes),
                     base.memory_bytes / costs.memory_bytes),
        _cost_figure("energy", joules_text(costs.energy_j), joules_text(base.energy_j),
                     base.energy_j / costs.energy_j),
    )  # fmt: skip


def _cost_figure(title: str, value: str, baseline: str, ratio: float) -> Figure:
    return Figure(title=title, value=value, gain=f"{factor_text(ratio)} less", compared=f"32-bit: {baseline}")
