"""What a command or a call says of a search, in place of what the space says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpsearch.errors import ConfigError
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import objectives_named
from mpsearch.search.overrides import Overrides
from mpsearch.search.samplers import sampler_named
from mpsearch.search.sensitivity import require_sensitivity
from mpsearch.search.space import SearchSpace, require_learnt


def with_settings(
    space: SearchSpace,
    *,
    trials: int | None = None,
    workers: int | None = None,
    batch: int | None = None,
    repeats: bool | None = None,
    budgets: Budgets | Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
    free: Sequence[str] = (),
    seed: int | None = None,
    sampler: str | None = None,
    sensitivity: str | None = None,
    fidelities: Sequence[float] | None = None,
    objectives: Sequence[str] | None = None,
    trial_timeout_s: float | None = None,
) -> SearchSpace:
    """The space with what is not None replaced; budgets replace those of the same name.

    `repeats` stands for auto or off. `fidelities` as in `TrialRecipe`; the last one, 1, may be left out.
    Overrides named in `free` are lifted before `overrides` join the rest. `objectives` replace all of the
    space's.

    Raises: ConfigError if a value is out of range, or an override still holds what `free` names.
    """
    given = {"trials": trials, "workers": workers, "batch": batch, "seed": seed}
    for name, value in given.items():
        least = 1 if name in ("trials", "batch") else 0
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ConfigError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")
    if sampler is not None:
        sampler_named(sampler)
    if sensitivity is not None:
        require_sensitivity(sensitivity)
    settings: dict[str, Any] = {
        **given,
        "sampler": sampler,
        "sensitivity": sensitivity,
        "repeats": None if repeats is None else "auto" if repeats else "off",
        "trial_timeout_s": trial_timeout_s,
    }
    changes = {name: value for name, value in settings.items() if value is not None}
    trial = space.trial
    if fidelities is not None:
        shares = tuple(fidelities)
        trial = replace(trial, fidelities=shares if 1 in shares else (*shares, 1.0))
    asked = budgets if isinstance(budgets, Budgets) else Budgets.parse(budgets or {})
    settled = replace(
        space,
        objectives=space.objectives if objectives is None else objectives_named(objectives),
        search=replace(space.search, **changes),
        trial=trial,
        budgets=Budgets.parse({**space.budgets.texts(), **asked.texts()}),
        overrides=space.overrides.without(free).joined(overrides or Overrides()),
    )
    require_learnt(settled.objectives, settled.budgets)
    return settled
