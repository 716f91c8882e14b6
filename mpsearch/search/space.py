"""What a search may choose: layers, schemes, objectives, budgets, overrides, trial recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import Objective, is_learnt_named, learnt_of
from mpsearch.search.overrides import Overrides
from mpsearch.search.trial_record import TrialRecord
from mpsearch.search.widths import Widths
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task_name import relative_to, without_folder

SPACE_SCHEMA = 1
SPACE_END = "..."  # how YAML ends a document: a truncated file may be a valid, shorter one


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReference:
    """A task by name: built-in, `package.module:function` or `path/file.py:function`."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def wherever(self) -> TaskReference:
        """Without where its file lies, and of a built-in task where its data lies: both may move.

        What the data is, the key of the 32-bit baseline tells.
        """
        is_built_in = ":" not in self.name
        args = {name: value for name, value in self.args.items() if not (is_built_in and name == "data")}
        return TaskReference(name=without_folder(self.name), args=args)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRule:
    """Which schemes the layers that it matches may take; the first rule that matches a layer decides.

    A layer matches if `match` (a glob) fits its name and `operator` (`LayerShape.kind`), where given, is
    its kind. One scheme pins the layer to it. Layers of rules with the same `group` share one scheme.
    `line` is where the rule stands in its file.
    """

    match: str = "*"
    operator: str | None = None
    schemes: tuple[Scheme, ...]
    group: str | None = None
    line: int | None = field(default=None, compare=False)

    @property
    def is_pinned(self) -> bool:
        return len(self.schemes) == 1

    def __str__(self) -> str:
        text = f"`match: {self.match!r}`"
        return text if self.operator is None else f"{text} with `operator: {self.operator}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How the space is searched. `seed` enters every random choice, training included.

    `sensitivity` is the method by which a sampler that uses it is told which layers lose most, or `none`.
    `repeats`: auto, and policies whose place on the front is contested are trained with further seeds where
    the sampler can tell that this is worth more than a new policy; or off.
    `workers` are processes that run trials, one at a time each; 0: the process that searches runs them. A
    worker trains `batch` policies together, in one pass over the same batches of data. A trial that takes
    longer than `trial_timeout_s` (times the trials that it is trained with) is ended and fails; None for no
    limit.
    """

    sampler: str = "mpsearch"
    sensitivity: str = "loss"
    repeats: str = "auto"
    trials: int = 40
    seed: int = 0
    workers: int = 1
    batch: int = 1
    trial_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """A validated search space, every default filled in.

    `widths`: what the width of the model may be, where that is a choice; None where the task's own is all.
    """

    name: str
    task: TaskReference
    layers: tuple[LayerRule, ...]
    objectives: tuple[Objective, ...]
    budgets: Budgets
    trial: TrialRecipe
    search: SearchSettings
    overrides: Overrides = field(default_factory=Overrides)
    widths: Widths | None = None
    schema: int = SPACE_SCHEMA

    def task_at(self, width: float | None) -> TaskReference:
        """The task whose model has that width; the task as it is for None."""
        if self.widths is None or width is None:
            return self.task
        return replace(self.task, args={**self.task.args, self.widths.argument: width})

    def admits(self, record: TrialRecord) -> bool:
        """Whether a trial is complete and meets budgets and overrides."""
        return (
            record.is_complete
            and self.budgets.are_met_by(record.costs, record.accuracy, record.loss)
            and self.overrides.allows(record.policy)
        )

    def to_dict(self) -> dict[str, Any]:
        """What `parse_space` reads, with every default spelled out."""
        rules = [
            {
                "match": rule.match,
                "operator": rule.operator,
                **(
                    {"pin": rule.schemes[0].name}
                    if rule.is_pinned
                    else {"schemes": [scheme.name for scheme in rule.schemes]}
                ),
                "group": rule.group,
            }
            for rule in self.layers
        ]
        return {
            "schema": self.schema,
            "name": self.name,
            "task": {"name": self.task.name, "args": dict(self.task.args)},
            "widths": None if self.widths is None else self.widths.to_dict(),
            "layers": rules,
            "objectives": [objective.name for objective in self.objectives],
            "budgets": self.budgets.texts(),
            "overrides": self.overrides.texts(),
            "trial": {**asdict(self.trial), "fidelities": list(self.trial.fidelities)},
            "search": _search_texts(self.search),
        }

    def in_folder(self, folder: Path) -> SearchSpace:
        """The space as a file in `folder` holds it: the way to the task's file begins there."""
        return replace(self, task=replace(self.task, name=relative_to(folder, self.task.name)))

    def to_yaml(self) -> str:
        """`to_dict` as YAML: the resolved space, which loads to an equal one. It ends with `SPACE_END`."""
        text: str = yaml.safe_dump(
            self.to_dict(),
            sort_keys=False,
            default_flow_style=None,
            width=100,
            allow_unicode=True,
            explicit_end=True,
        )
        return text

    def differences(self, other: SearchSpace) -> tuple[str, ...]:
        """Keys in which the two ask for different searches; what may change from call to call is left out.

        That is the name, budgets and overrides, the sensitivity, repeats, the number of trials, of workers
        and of trials that are trained together, the time limit of a trial, and where the task's file and data
        lie.
        """
        mine, theirs = _comparable(self), _comparable(other)
        return tuple(key for key in mine if mine[key] != theirs[key])


def require_learnt(objectives: Iterable[Objective], budgets: Budgets) -> None:
    """Raises: ConfigError if nothing asks for training: neither an objective nor a budget is learnt by it."""
    if learnt_of(objectives) is None and not any(map(is_learnt_named, budgets.bounds())):
        names = [objective.name for objective in objectives]
        raise ConfigError(
            f"`objectives` must hold accuracy or loss, or `budgets` bound one of them, such as accuracy: "
            f"98%; got {names} alone. For the cheapest policies, whatever they answer, ask `mpsearch plan`."
        )


def _search_texts(search: SearchSettings) -> dict[str, Any]:
    fields = asdict(search)
    limit_s = fields.pop("trial_timeout_s")
    return {**fields, "trial_timeout": None if limit_s is None else f"{limit_s!r}s"}


def _comparable(space: SearchSpace) -> dict[str, Any]:
    fields = replace(space, task=space.task.wherever()).to_dict()
    search = fields.pop("search")
    trial = fields.pop("trial")
    for key in ("name", "budgets", "overrides"):
        fields.pop(key)
    return {
        **fields,
        **{f"trial.{key}": value for key, value in trial.items()},
        "search.sampler": search["sampler"],
        "search.seed": search["seed"],
    }
