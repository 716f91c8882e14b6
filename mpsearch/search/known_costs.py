"""Arithmetic on what is known before training: costs, their extremes, and who meets the budgets."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.extremes import CostRange
from mpsearch.cost.layer_terms import CompressedWeights
from mpsearch.errors import BudgetError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.costs import Costs, DeviceCosts
from mpsearch.search.objective import Objective, costs_on
from mpsearch.search.resolve import Codes, ResolvedSpace, all_codes
from mpsearch.search.width_costs import WidthCosts

ENUMERABLE = 1 << 18  # policies that are cheaper to try all than to reason about
_DRAWS = 4096
_ROUNDS = 16
_NEIGHBOURS = 256
_ROUNDING = 1e-9
_SIZES = ("memory_bytes", "compressed_bytes")  # whole numbers

CostTable = NDArray[np.float64]
Models = Mapping[float | None, Mapping[str | None, CostModel]]


class KnownCosts:
    """Costs of every policy of a resolved space. They are sums of parts that depend on a few layers each.

    `models`: width -> device -> cost model; the width is None in a space without widths, the device None for
    the main profile, then the names of further ones. The models may know more than the space allows: a space
    that overrides narrowed costs what it did before.

    Shape: codes (P, C) -> costs (P, K), in the order of `columns`: s, s, s, bytes, J, bytes where the
    compressed size is known, then s, s, s, J of each further device.
    """

    def __init__(self, resolved: ResolvedSpace, models: Models) -> None:
        self.resolved = resolved
        self.models = {width: dict(on_devices) for width, on_devices in models.items()}
        self._devices = tuple(next(iter(self.models.values())))
        first = next(iter(self.models.values()))[None]
        further = [device for device in self._devices if device is not None]
        self.columns = costs_on(further, is_compressed=first.is_compressed)
        self._widths = [
            WidthCosts(resolved, on_devices, self.columns, width) for width, on_devices in self.models.items()
        ]
        self._ranges = {
            cost.name: _over_all([of_width.range_of(cost) for of_width in self._widths])
            for cost in self.columns
        }
        self._cheapest_found: dict[tuple[float, ...], tuple[float, Codes]] = {}

    @classmethod
    def of_model(
        cls, resolved: ResolvedSpace, model: CostModel, on_devices: Mapping[str, CostModel] | None = None
    ) -> KnownCosts:
        """Of a space without widths."""
        return cls(resolved, {None: on_all_devices(model, on_devices or {})})

    def with_compressed(self, weights: Mapping[float | None, CompressedWeights]) -> KnownCosts:
        """The same, which knows the compressed size too; `weights` by width."""
        return KnownCosts(
            self.resolved,
            {
                width: {device: model.with_compressed(weights[width]) for device, model in on_devices.items()}
                for width, on_devices in self.models.items()
            },
        )

    def evaluate(self, codes: Codes) -> CostTable:
        if len(self._widths) == 1:
            return self._widths[0].evaluate(codes)
        table = np.empty((len(codes), len(self.columns)))
        for place, of_width in enumerate(self._widths):
            rows = codes[:, -1] == place
            if rows.any():
                table[rows] = of_width.evaluate(codes[rows, :-1])
        return table

    def costs(self, policy: PrecisionPolicy) -> Costs:
        row = self.evaluate(self.resolved.codes(policy)[None])[0]
        return self._as_costs(row.tolist())

    def greatest_costs(self) -> Costs:
        """Each cost at its own greatest, which no single policy need reach."""
        return self._as_costs([self.range_of(cost).greatest for cost in self.columns])

    def least_costs(self) -> Costs:
        """Each cost at its own least, which no single policy need reach."""
        return self._as_costs([self.range_of(cost).least for cost in self.columns])

    def range_of(self, cost: Objective) -> CostRange:
        """What policies cost at least and at most."""
        return self._ranges[cost.name]

    def feasible(self, codes: Codes, budgets: Budgets) -> NDArray[np.bool_]:
        """Which policies meet the bounds on costs. Shape: codes (P, C) -> (P,)."""
        met: NDArray[np.bool_] = np.all(self.evaluate(codes) <= self._bounds(budgets), axis=1)
        return met

    def require_reachable(self, budgets: Budgets, among: str = "") -> None:
        """Refuse budgets that no policy meets, as far as that can be told cheaply.

        `among`: which policies these are, where the space has others.

        Each alone exactly (see `CostRange`); together exactly up to `ENUMERABLE` policies, else by Lagrangian
        bounds, which never refuse budgets that can be met.

        Raises: BudgetError with the least reachable value and its policy.
        """
        bounds = budgets.bounds()
        bounded = [cost for cost in self.columns if cost.name in bounds]
        for cost in bounded:
            reachable = self.range_of(cost)
            if reachable.least > bounds[cost.name]:
                asked, least = _told_apart(cost, bounds[cost.name], reachable.least)
                raise BudgetError(
                    f"No policy{among} meets {cost.name} <= {asked}: "
                    f"the smallest reachable {cost.name} is {'' if reachable.is_exact else 'at least '}"
                    f"{least}, at {reachable.least_policy.summary}."
                )
        if len(bounded) < 2 or self._some_policy_meets(budgets, bounded):
            return
        reached = "; ".join(
            f"{cost.name} down to {cost.format(self.range_of(cost).least)} "
            f"at {self.range_of(cost).least_policy.summary}"
            for cost in bounded
        )
        wanted = " and ".join(f"{cost.name} <= {cost.format(bounds[cost.name])}" for cost in bounded)
        raise BudgetError(
            f"No policy{among} meets {wanted} together; each alone can be met ({reached}). Loosen one."
        )

    def random_feasible(
        self, generator: np.random.Generator, budgets: Budgets, seen: Collection[tuple[int, ...]]
    ) -> Codes | None:
        """A policy that meets the bounds on costs and is not in `seen`, or None where none was found.

        Among up to `ENUMERABLE` policies None means that there is none. Beyond, draws lean towards the cheap
        schemes by chance, so that tight budgets are met too.
        """
        if self.resolved.policies <= ENUMERABLE:
            blocks = [codes[self.feasible(codes, budgets)] for codes in all_codes(self.resolved)]
            allowed = np.concatenate(blocks)
            return _first_unseen(allowed[generator.permutation(len(allowed))], seen)
        sizes = self.resolved.sizes
        scale = self._bounds(budgets)
        cheap = np.stack([self._cheapest(_weights(scale, k))[1] for k in range(len(scale))])
        for _ in range(_ROUNDS):
            drawn = generator.integers(0, sizes, size=(_DRAWS, len(sizes)))
            lean = generator.random((_DRAWS, 1)) ** 0.5
            towards = cheap[generator.integers(0, len(cheap), size=_DRAWS)]
            codes = np.where(generator.random(drawn.shape) < lean, towards, drawn)
            # Half of them unbiased: loose budgets deserve uniform draws.
            codes[::2] = drawn[::2]
            found = _first_unseen(codes[self.feasible(codes, budgets)], seen)
            if found is not None:
                return found
        return None

    def random_neighbour(
        self,
        generator: np.random.Generator,
        budgets: Budgets,
        seen: Collection[tuple[int, ...]],
        codes: Codes,
    ) -> Codes | None:
        """A policy near that of `codes` (C,) that meets the bounds on costs and is not in `seen`.

        One choice takes the next scheme up or down; where that is not enough two do, and so on. None where
        `_NEIGHBOURS` draws find none.
        """
        drawn = np.tile(codes, (_NEIGHBOURS, 1))
        if not drawn.size:
            return None
        changed = generator.random(drawn.shape).argsort(axis=1) < 1 + np.arange(_NEIGHBOURS)[:, None] // 32
        drawn += changed * generator.choice((-1, 1), size=drawn.shape)
        drawn = drawn[((drawn >= 0) & (drawn < self.resolved.sizes)).all(axis=1)]
        return _first_unseen(drawn[self.feasible(drawn, budgets)], seen)

    def _cheapest(self, weights: NDArray[np.float64]) -> tuple[float, Codes]:
        """A bound that no policy's weighted sum of costs goes below, and a policy (C,) at it or near it.

        Shape: weights (K,), as `columns`.
        """
        key = tuple(weights.tolist())
        if key not in self._cheapest_found:
            found = [of_width.least(weights) for of_width in self._widths]
            bound, policy = min(found, key=lambda pair: pair[0])
            self._cheapest_found[key] = bound, self.resolved.codes(policy)
        return self._cheapest_found[key]

    def _some_policy_meets(self, budgets: Budgets, bounded: Sequence[Objective]) -> bool:
        if self.resolved.policies <= ENUMERABLE:
            return any(self.feasible(codes, budgets).any() for codes in all_codes(self.resolved))
        bounds = np.array([budgets.bounds()[cost.name] for cost in bounded])
        columns = [self.columns.index(cost) for cost in bounded]
        for multipliers in _simplex(len(bounded)):
            weights = np.zeros(len(self.columns))
            weights[columns] = multipliers / bounds
            least, codes = self._cheapest(weights)
            if (self.evaluate(codes[None])[0][columns] <= bounds).all():
                return True
            if least > 1 + _ROUNDING:  # no policy has a smaller sum, and one that fits would have
                return False
        return True

    def _bounds(self, budgets: Budgets) -> NDArray[np.float64]:
        bounds = budgets.bounds()
        return np.array([bounds.get(cost.name, np.inf) for cost in self.columns])

    def _as_costs(self, row: Sequence[float]) -> Costs:
        """Of one policy, or of none. Shape: row (K,)."""
        values: dict[str | None, dict[str, Any]] = {device: {} for device in self._devices}
        for cost, value in zip(self.columns, row, strict=True):
            values[cost.device][cost.attribute] = value
        own = values.pop(None)
        own.update({name: round(own[name]) for name in _SIZES if name in own})
        return Costs(
            **own,
            devices=tuple(DeviceCosts(device=str(device), **of_it) for device, of_it in values.items()),
        )


def on_all_devices(model: CostModel, further: Mapping[str, CostModel]) -> dict[str | None, CostModel]:
    """By device, that of the main profile first."""
    found: dict[str | None, CostModel] = {None: model}
    found.update(further)
    return found


def _over_all(ranges: Sequence[CostRange]) -> CostRange:
    """Of all widths: the least of the least, the greatest of the greatest."""
    least = min(ranges, key=lambda found: found.least)
    greatest = max(ranges, key=lambda found: found.greatest)
    return CostRange(
        least=least.least,
        least_policy=least.least_policy,
        greatest=greatest.greatest,
        greatest_policy=greatest.greatest_policy,
        is_exact=all(found.is_exact for found in ranges),
    )


def _told_apart(cost: Objective, bound: float, least: float) -> tuple[str, str]:
    """Both as people read them; in the base unit where three figures make them equal."""
    short = cost.format(bound), cost.format(least)
    return short if short[0] != short[1] else (f"{bound:.9g} {cost.unit}", f"{least:.9g} {cost.unit}")


def _weights(scale: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """One cost alone; for `random_feasible`, where unbounded costs need no leaning."""
    bounded = np.isfinite(scale)
    weights = np.zeros(len(scale))
    weights[column if bounded[column] or not bounded.any() else int(np.flatnonzero(bounded)[0])] = 1.0
    return weights


def _first_unseen(codes: Codes, seen: Collection[tuple[int, ...]]) -> Codes | None:
    return next((row for row in codes if tuple(row.tolist()) not in seen), None)


def _simplex(dimensions: int) -> list[NDArray[np.float64]]:
    """Weights that sum to 1, on a grid."""
    steps = {2: 64, 3: 16}.get(dimensions, 6)
    grid = itertools.product(range(steps + 1), repeat=dimensions - 1)
    return [np.array([*head, steps - sum(head)]) / steps for head in grid if sum(head) <= steps]
