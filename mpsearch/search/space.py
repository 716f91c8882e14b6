"""What a search may choose: layers, schemes, objectives, budgets, trial recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpsearch.precision.scheme import Scheme
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import Objective
from mpsearch.training.recipe import TrialRecipe

SPACE_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReference:
    """A task by name: built-in, `package.module:function` or `path/file.py:function`."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRule:
    """Which schemes the layers that it matches may take; the first rule that matches a layer decides.

    A layer matches if `match` (a glob) fits its name and `operator` (`LayerShape.kind`) is its kind,
    each where given. `pin` fixes the scheme. Layers of rules with the same `group` share one scheme.
    `line` is where it stands in its file.
    """

    match: str | None
    operator: str | None
    schemes: tuple[Scheme, ...]
    is_pinned: bool
    group: str | None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How the space is searched."""

    sampler: str = "tpe"
    trials: int = 40
    seed: int = 0
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """A validated search space, every default filled in."""

    name: str
    task: TaskReference
    layers: tuple[LayerRule, ...]
    objectives: tuple[Objective, ...]
    budgets: Budgets
    trial: TrialRecipe
    search: SearchSettings
    schema: int = SPACE_SCHEMA
