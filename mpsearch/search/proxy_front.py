"""The policies that are best by an additive estimate of the loss and the costs that are known: exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.pareto.epsilon_grid import thinned
from mpsearch.pareto.partial_fronts import first_non_dominated
from mpsearch.search.known_policies import Codes, CostBranch, KnownPolicies
from mpsearch.search.pareto_elimination import MOST_SUMS, ParetoElimination
from mpsearch.search.proxy import summed_loss

Floats = NDArray[np.float64]
# So few sums are compared at a time about as fast as they are thinned. With one cost that is quicker still.
_QUICK_SUMS, _QUICK_SUMS_OF_ONE_COST = 1 << 14, 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProxyFront:
    """Policies of which none is better than another, least loss first.

    `ratio` tells how much is missing: for each policy that would meet the bounds with costs so many times as
    high, one of these loses no more, and costs at most so many times as much. It is 1 where the front is
    whole.

    Shape: codes (F, C); ratio (the costs asked for,).
    """

    codes: Codes
    ratio: Floats


def exact_front(
    policies: KnownPolicies,
    losses: Sequence[Floats],
    columns: Sequence[int],
    *,
    most: int | None = None,
) -> Codes:
    """The codes of `proxy_front`, (F, C)."""
    return proxy_front(policies, losses, columns, most=most).codes


def proxy_front(
    policies: KnownPolicies,
    losses: Sequence[Floats],
    columns: Sequence[int],
    *,
    most: int | None = None,
) -> ProxyFront:
    """The front of (sum of losses, the costs asked for) among the allowed policies within the bounds.

    Each point of it once. With `most`, at most so many policies, which stand for the whole front.

    Shape: losses[c] (size of choice c,), any finite numbers; columns: places in `policies.columns`.
    Raises: ConfigError if the whole front is too large to be found.
    """
    columns = list(columns)
    found, ratio = [np.zeros((0, len(policies.sizes)), dtype=np.int64)], np.ones(len(columns))
    for branch in policies.branches:
        space = BranchSpace.of(policies, branch, losses, columns)
        if space is None:
            continue
        quick = _QUICK_SUMS_OF_ONE_COST if len(space.columns) == 1 else _QUICK_SUMS
        elimination = space.elimination(wanted=columns, most_sums=MOST_SUMS if most is None else quick)
        codes = elimination.run()
        if codes is None and most is not None:
            elimination = space.elimination(wanted=columns, most=most)
            codes = elimination.run()
        if codes is None:
            raise ConfigError(
                f"A front must be found with at most {MOST_SUMS} partial policies at a time; that of "
                f"{policies.policies} policies in {1 + len(columns)} dimensions takes more. "
                f"{'Say how many policies you want at `most`.' if most is None else 'Ask for fewer costs.'}"
            )
        found.append(space.whole(codes))
        ratio = np.maximum(ratio, elimination.ratio[1 : 1 + len(columns)])
    every = np.concatenate(found)
    every = every[policies.feasible(every)]
    values = np.column_stack((summed_loss(losses, every), policies.evaluate(every)[:, columns]))
    rows = _first_of_front(values)
    if most is not None and len(rows) > most:
        alike = np.zeros(len(rows), dtype=np.int64)
        few = thinned(values[rows, 0], values[rows, 1:], alike, max(1, most - len(columns)))
        rows, ratio = rows[few.rows[:most]], ratio * few.ratio
    return ProxyFront(codes=every[rows], ratio=ratio)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BranchSpace:
    """The allowed policies of a branch, each choice with the codes that it may take alone.

    `factors`: (choices, table (*their sizes, 1 + costs)), the loss first, then the costs of `columns`;
    `kept[c]`: code there -> code in the space.
    """

    policies: KnownPolicies
    columns: tuple[int, ...]
    factors: tuple[tuple[tuple[int, ...], Floats], ...]
    kept: tuple[Codes, ...]

    @classmethod
    def of(
        cls,
        policies: KnownPolicies,
        branch: CostBranch,
        losses: Sequence[Floats],
        columns: Iterable[int],
    ) -> BranchSpace | None:
        """With the bounded costs after `columns`; None where the branch is not allowed."""
        used = tuple(dict.fromkeys([*columns, *np.flatnonzero(np.isfinite(policies.bounds)).tolist()]))
        kept = []
        for choice, size in enumerate(policies.sizes.tolist()):
            taken = [branch.fixed[choice]] if choice in branch.fixed else range(size)
            allowed = None if policies.allowed is None else policies.allowed[choice]
            kept.append(
                np.array([code for code in taken if allowed is None or allowed[code]], dtype=np.int64)
            )
        if not all(map(len, kept)):
            return None
        factors: list[tuple[tuple[int, ...], Floats]] = [((), np.append(0.0, branch.constant[list(used)]))]
        for choice, added in enumerate(losses):
            table = np.zeros((len(kept[choice]), 1 + len(used)))
            table[:, 0] = added[kept[choice]]
            factors.append(((choice,), table))
        for factor in branch.factors:
            costs = factor.table[np.ix_(*(kept[choice] for choice in factor.choices), np.array(used, int))]
            none = np.zeros((*costs.shape[:-1], 1))
            factors.append((factor.choices, np.concatenate((none, costs), axis=-1)))
        return cls(policies=policies, columns=used, factors=tuple(factors), kept=tuple(kept))

    @property
    def bounds(self) -> Floats:
        """Of the loss, which has none, and the costs."""
        return np.append(np.inf, self.policies.bounds[list(self.columns)])

    def elimination(
        self, *, wanted: Sequence[int], most: int | None = None, most_sums: int = MOST_SUMS
    ) -> ParetoElimination:
        """Of the loss and the costs `wanted`, within the bounds."""
        return ParetoElimination(
            self.factors,
            [len(codes) for codes in self.kept],
            bounds=self.bounds,
            wanted=np.array([True, *(column in wanted for column in self.columns)]),
            most=most,
            most_sums=most_sums,
        )

    def whole(self, codes: Codes) -> Codes:
        """As codes of the space. Shape: codes (F, C)."""
        return np.stack([kept[codes[:, choice]] for choice, kept in enumerate(self.kept)], axis=1)


def _first_of_front(values: Floats) -> Codes:
    """Rows of the front, one for each point, growing."""
    kept = first_non_dominated(values, np.zeros(len(values), dtype=np.int64))
    rows: Codes = kept[np.lexsort(values[kept].T[::-1])]
    return rows
