"""What an earlier call left in a folder, and what a further one must leave as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpsearch.errors import RunError
from mpsearch.search.constrained import deciding_budgets
from mpsearch.search.events import Notice, OnEvent
from mpsearch.search.run_facts import FACTS_SCHEMA, RunFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import load_stored_space


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierCall:
    """`facts`: None if no earlier call came to its first trial.

    `has_new_bounds`: budgets or overrides are other than in the call before. `is_rejudged`: so are the
    objectives. `has_new_front`: they, or the budgets that decide who is on the front.
    """

    folder: RunFolder
    task: str
    facts: RunFacts | None = None
    has_new_bounds: bool = False
    is_rejudged: bool = False
    has_new_front: bool = False

    def require_models(self, fingerprints: Sequence[str]) -> None:
        """Raises: RunError if the task's model, at any width, has other layers now."""
        if self.facts is not None and [model.fingerprint for model in self.facts.models] != [*fingerprints]:
            raise RunError(
                f"A run keeps to one model; that of task {self.task!r} has other layers than when "
                f"{self.folder.path} was begun. Choose another --out."
            )

    def require_baselines(self, keys: Sequence[str]) -> None:
        """Raises: RunError if the 32-bit weights, at any width, are others now."""
        if self.facts is not None and [baseline.key for baseline in self.facts.baselines] != [*keys]:
            raise RunError(
                f"A run keeps to one baseline; data, recipe or code of task {self.task!r} changed since "
                f"{self.folder.path} was begun. Choose another --out."
            )


def earlier_call(folder: RunFolder, space: SearchSpace, *, is_shared: bool, emit: OnEvent) -> EarlierCall:
    """What is there of a search for the same; a study that is shared keeps to its objectives too.

    Raises: RunError if the folder holds a search for something else; FormatError if a file of it is truncated
    or corrupt.
    """
    if not folder.exists:
        return EarlierCall(folder=folder, task=space.task.name)
    before = load_stored_space(folder.space_file)
    changed = list(before.differences(space))
    is_rejudged = changed == ["objectives"] and not is_shared
    if is_rejudged:
        names = ", ".join(objective.name for objective in space.objectives)
        emit(Notice(message=f"The objectives are now {names}: finished trials are judged anew."))
    elif changed:
        if not is_shared and "objectives" in changed:
            changed.remove("objectives")
        raise RunError(
            f"{folder.path} holds another search: {', '.join(changed)} "
            f"{'differs' if len(changed) == 1 else 'differ'}. "
            "Budgets, overrides, objectives (of a study that is not shared), trials, workers, batch and "
            "times may change from call to call; for the rest choose another --out."
        )
    return EarlierCall(
        folder=folder,
        task=space.task.name,
        facts=RunFacts.from_dict(folder.read_json(folder.facts_file, schema=FACTS_SCHEMA)),
        has_new_bounds=(before.budgets, before.overrides) != (space.budgets, space.overrides),
        is_rejudged=is_rejudged,
        has_new_front=is_rejudged
        or deciding_budgets(before.objectives, before.budgets)
        != deciding_budgets(space.objectives, space.budgets),
    )
