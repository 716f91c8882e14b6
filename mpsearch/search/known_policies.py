"""What is known of policies before any is trained: the choices, and all costs as sums of small tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES, Scheme

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_PLACES = {scheme: place for place, scheme in enumerate(SCHEMES.values())}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostFactor:
    """A part of all costs that a few choices decide. Shape: table (*their sizes, K)."""

    choices: tuple[int, ...]
    table: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostBranch:
    """Costs of the policies that take the choices `fixed` (choice -> code): a constant and a sum of factors.

    A space with widths has a branch for each; any other has one, which fixes nothing. No factor depends on a
    fixed choice. Shape: constant (K,).
    """

    fixed: Mapping[int, int]
    constant: Floats
    factors: tuple[CostFactor, ...]

    def evaluate(self, codes: Codes) -> Floats:
        """Shape: codes (P, C) -> (P, K)."""
        total = np.tile(self.constant, (len(codes), 1))
        for factor in self.factors:
            total += factor.table[tuple(codes[:, choice] for choice in factor.choices)]
        return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownPolicies:
    """The policies of a space, as codes, and what each costs.

    `names` (C,) are the parameters of a study, integers from 0; `places` (C,): code -> place in `SCHEMES`,
    None for a choice that is no scheme (the width). `columns` (K,) name the costs, all to be minimised.
    `objectives`: those of the study in its order, each a column, or None for the one that is learnt by
    training, which `is_maximized` or minimised. Where none is learnt, training still tells who meets
    `least_score`. `bounds` (K,): the most that a policy may cost, inf for no budget; `least_score`: what the
    learnt score must reach (stay below, where it is minimised), None for no budget. `allowed` (C,): which
    codes of each choice may be proposed (its size,), None for all.

    Raises: ConfigError if more than one objective is learnt.
    """

    names: tuple[str, ...]
    places: tuple[Codes | None, ...]
    sizes: Codes
    columns: tuple[str, ...]
    branches: tuple[CostBranch, ...]
    objectives: tuple[int | None, ...]
    is_maximized: bool
    bounds: Floats
    least_score: float | None = None
    allowed: tuple[NDArray[np.bool_], ...] | None = None

    def __post_init__(self) -> None:
        if self.objectives.count(None) > 1:
            raise ConfigError(
                f"One objective at most may be learnt by training; got {self.objectives.count(None)} of "
                f"{len(self.objectives)}. Name the columns of the others: known costs."
            )

    @classmethod
    def of_tables(
        cls,
        costs: Mapping[str, Mapping[Scheme, Sequence[float]]],
        columns: Sequence[str],
        *,
        objectives: tuple[int | None, ...],
        is_maximized: bool = True,
        bounds: Sequence[float] | None = None,
        least_score: float | None = None,
    ) -> KnownPolicies:
        """Of choices that cost each their own: choice -> scheme -> costs (K,), codes in the order given."""
        factors = tuple(
            CostFactor(choices=(place,), table=np.array(list(of_schemes.values()), dtype=float))
            for place, of_schemes in enumerate(costs.values())
        )
        return cls(
            names=tuple(costs),
            places=tuple(np.array([_PLACES[s] for s in of_schemes]) for of_schemes in costs.values()),
            sizes=np.array([len(of_schemes) for of_schemes in costs.values()]),
            columns=tuple(columns),
            branches=(CostBranch(fixed={}, constant=np.zeros(len(columns)), factors=factors),),
            objectives=objectives,
            is_maximized=is_maximized,
            bounds=np.full(len(columns), np.inf) if bounds is None else np.array(bounds, dtype=float),
            least_score=least_score,
        )

    @property
    def policies(self) -> int:
        """How many there are."""
        count = 1
        for size in self.sizes.tolist():
            count *= size
        return count

    @property
    def greatest(self) -> Floats:
        """What no policy costs more than, (K,): reached where each choice costs its own."""
        of_branches = [
            branch.constant
            + sum(factor.table.reshape(-1, len(self.columns)).max(axis=0) for factor in branch.factors)
            for branch in self.branches
        ]
        most: Floats = np.max(of_branches, axis=0)
        return most

    def evaluate(self, codes: Codes) -> Floats:
        """All costs. Shape: codes (P, C) -> (P, K)."""
        if len(self.branches) == 1:
            return self.branches[0].evaluate(codes)
        found = np.full((len(codes), len(self.columns)), np.nan)
        for branch in self.branches:
            rows = np.all([codes[:, choice] == code for choice, code in branch.fixed.items()], axis=0)
            found[rows] = branch.evaluate(codes[rows])
        return found

    def feasible(self, codes: Codes) -> NDArray[np.bool_]:
        """Which policies are allowed and meet the bounds on costs. Shape: codes (P, C) -> (P,)."""
        met: NDArray[np.bool_] = np.all(self.evaluate(codes) <= self.bounds, axis=1)
        for choice, allowed in enumerate(self.allowed or ()):
            met &= allowed[codes[:, choice]]
        return met
