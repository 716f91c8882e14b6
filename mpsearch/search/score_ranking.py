"""How well the score of a short trial ranks policies as a long fine-tune does: measured for built-in tasks.

`measured_rankings.json` comes from `benchmarks/qat.py`, which fine-tunes random policies for a trial's steps
and for ten times as many, and compares the two orders.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mpsearch.search.space import SearchSpace
from mpsearch.training.recipe import TrialRecipe

_TABLE = Path(__file__).with_name("measured_rankings.json")
# Settings that do not change what a trial learns, or that are compared by themselves.
_NO_MATTER = {"steps", "high_bit_steps", "batch_size", "bfloat16", "fidelities", "reduction", "device"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRanking:
    """Kendall's tau-b between the scores of `policies` random policies after `steps` and after `long_steps`.

    `low` and `high` are its 95% bootstrap interval; `settings` are those of the recipe it was measured with.
    """

    task: str
    args: Mapping[str, Any]
    steps: int
    long_steps: int
    policies: int
    tau: float
    low: float
    high: float
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRanking:
    """What is known for a space: a measurement, and which settings of its recipe were others then."""

    measured: MeasuredRanking
    differing: tuple[str, ...]


@functools.cache
def measured_rankings() -> tuple[MeasuredRanking, ...]:
    """All that were measured."""
    return tuple(MeasuredRanking(**fields) for fields in json.loads(_TABLE.read_text(encoding="utf-8")))


def score_ranking(space: SearchSpace) -> ScoreRanking | None:
    """The measurement for the space's task and batch size with the most steps that its trials have too.

    None where there is none.
    """
    task = space.task.wherever()
    recipe = space.trial
    fitting = [
        measured
        for measured in measured_rankings()
        if measured.task == task.name
        and measured.args == task.args
        and measured.settings["batch_size"] == recipe.batch_size
        and measured.steps <= recipe.steps
    ]
    if not fitting:
        return None
    best = max(fitting, key=lambda measured: measured.steps)
    return ScoreRanking(measured=best, differing=_differing(recipe, best))


def _differing(recipe: TrialRecipe, measured: MeasuredRanking) -> tuple[str, ...]:
    """Names of settings; one that the measurement does not know was at its default.

    More steps than were measured rank no worse: only fewer are named.
    """
    then = {**asdict(TrialRecipe()), **measured.settings}
    now = asdict(recipe)
    high_bit_steps = round(then["high_bit_steps"] * measured.steps / measured.long_steps)
    fewer = ("high_bit_steps",) if recipe.high_bit_steps < high_bit_steps else ()
    return fewer + tuple(name for name in now if name not in _NO_MATTER and now[name] != then[name])
