"""What is known of the policies of a real space: the costs of its models, as sums of small tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.cost_term import COST_COLUMNS, CostTerm
from mpsearch.cost.elimination import factor_of
from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.known_policies import Codes, CostBranch, CostFactor, Floats, KnownPolicies
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import ResolvedSpace

_MOST_ENTRIES = 1 << 22  # of the table of one factor


def known_policies_of(
    known: KnownCosts,
    *,
    objectives: Sequence[Objective],
    budgets: Budgets,
    allowed: ResolvedSpace | None = None,
) -> KnownPolicies:
    """The policies of `known.resolved`, with its codes and costs, for a sampler.

    `allowed` is what overrides leave of the space: other codes are proposed no more. Costs are those of
    `known.evaluate` but for rounding.

    Raises: ConfigError if a cost depends on so many layers at once that it has no table.
    """
    resolved = known.resolved
    columns = [cost.name for cost in known.columns]
    bounds = budgets.bounds()
    learnt = next((objective for objective in objectives if objective.is_learnt), None)
    scored = (
        learnt.name if learnt else "loss" if "accuracy" not in bounds and "loss" in bounds else "accuracy"
    )
    place = {scheme: number for number, scheme in enumerate(SCHEMES.values())}
    return KnownPolicies(
        names=tuple(resolved.parameters),
        places=(
            *(np.array([place[scheme] for scheme in choice.schemes]) for choice in resolved.choices),
            *([None] if resolved.widths else []),
        ),
        sizes=resolved.sizes,
        columns=tuple(columns),
        branches=tuple(
            _branch(resolved, on_devices, known.columns, {len(resolved.choices): code} if width else {})
            for code, (width, on_devices) in enumerate(known.models.items())
        ),
        objectives=tuple(None if o.is_learnt else columns.index(o.name) for o in objectives),
        is_maximized=scored == "accuracy",
        bounds=np.array([bounds.get(name, math.inf) for name in columns]),
        least_score=bounds.get(scored),
        allowed=None if allowed is None else _allowed(resolved, allowed),
    )


def _allowed(resolved: ResolvedSpace, allowed: ResolvedSpace) -> tuple[NDArray[np.bool_], ...]:
    left = allowed.schemes
    return (
        *(np.array([s in left[c.layers[0]] for s in c.schemes]) for c in resolved.choices),
        *([np.ones(len(resolved.widths), dtype=bool)] if resolved.widths else []),
    )


def _branch(
    resolved: ResolvedSpace,
    on_devices: Mapping[str | None, CostModel],
    columns: Sequence[Objective],
    fixed: Mapping[int, int],
) -> CostBranch:
    constant = np.zeros(len(columns))
    tables: dict[tuple[int, ...], Floats] = {}
    for device, model in on_devices.items():
        ours = [place for place, cost in enumerate(columns) if cost.device == device]
        theirs = [COST_COLUMNS.index(columns[place].attribute) for place in ours]
        constant[ours] = model.constant[theirs]
        variable_of, codes = _variables(resolved, model)
        for term in model.terms:
            scope, table = _of_choices(term, theirs, variable_of, codes, len(resolved.choices))
            whole = tables.setdefault(scope, np.zeros((*table.shape[:-1], len(columns))))
            whole[..., ours] += table
    constant += tables.pop((), np.zeros(len(columns)))
    factors = tuple(CostFactor(choices=scope, table=table) for scope, table in sorted(tables.items()))
    return CostBranch(fixed=fixed, constant=constant, factors=factors)


def _variables(resolved: ResolvedSpace, model: CostModel) -> tuple[list[int], list[Codes]]:
    """Of each layer of the model its choice, and the model's code for each of the choice's; pins come after
    the choices, each with one code.
    """
    choice_of = {layer: place for place, choice in enumerate(resolved.choices) for layer in choice.layers}
    variables, codes = [], []
    for number, layer in enumerate(model.layers):
        variables.append(choice_of.get(layer, len(resolved.choices) + number))
        own = model.schemes[layer]
        codes.append(np.array([own.index(scheme) for scheme in resolved.schemes[layer]], dtype=np.int64))
    return variables, codes


def _of_choices(
    term: CostTerm,
    columns: Sequence[int],
    variable_of: Sequence[int],
    codes: Sequence[Codes],
    choices: int,
) -> tuple[tuple[int, ...], Floats]:
    """The choices that decide a term, growing, and its table over them. Shape: (*their sizes, columns)."""
    factor, is_exact = factor_of(term, term.table[:, columns], variable_of, codes, entries=_MOST_ENTRIES)
    if not is_exact:
        raise ConfigError(
            f"The layers that decide one cost together must have at most {_MOST_ENTRIES} combinations of "
            f"schemes; got {math.prod(len(codes[layer]) for layer in term.layers)} for {len(term.layers)} "
            "layers. Allow some of them fewer schemes, put them into a group, or choose another sampler."
        )
    pins = tuple(axis for axis, variable in enumerate(factor.variables) if variable >= choices)
    scope = [variable for variable in factor.variables if variable < choices]
    order = np.argsort(scope)
    table = np.squeeze(factor.table, axis=pins).transpose(*order, len(scope))
    return tuple(scope[place] for place in order), table
