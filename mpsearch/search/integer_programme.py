"""The policy of least loss within the bounds as an integer programme: for costs of any form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.search.proxy_front import BranchSpace

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
_SCALE = 1e3  # the solver takes 1e-6 for nothing: so that this is a billionth of the bound and of all losses
_TINY = 1e-300
_SOLVED, _INFEASIBLE = 0, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerProgramme:
    """min losses x, with x in {0, 1} a code of a choice each, those of a choice summing to 1.

    A factor of several choices is linear in further variables y >= 0, one for each of its entries: those of a
    code sum to its x, and are whole where x is. `values` (variables, 1 + K) are the loss and the bounded
    costs, `rooms` (K,) what the bounds leave of them; `equal` times the variables is `sums`.

    Source: Yao et al. 2021 (HAWQ-v3), arXiv:2011.10680, for additive costs; Koster, van Hoesel and Kolen
    1998, doi:10.1016/S0167-6377(98)00043-1, for factors of pairs. Solved by HiGHS, through scipy.
    """

    space: BranchSpace
    values: Floats
    rooms: Floats
    equal: Any
    sums: Floats

    @classmethod
    def of(cls, space: BranchSpace) -> IntegerProgramme:
        values, constant, equal, sums = _linear(space)
        bounded = np.flatnonzero(np.isfinite(space.bounds))
        return cls(
            space=space,
            values=values[:, [0, *bounded]],
            rooms=(space.bounds - constant)[bounded],
            equal=equal,
            sums=sums,
        )

    def multipliers(self) -> Floats | None:
        """What a unit of each bound is worth in loss where x need not be whole, (K,); None if none fits."""
        from scipy.optimize import linprog  # noqa: PLC0415 - scipy is slow to import

        losses, loss_scale, costs, rooms, scales = self._scaled()
        found = linprog(losses, costs, rooms, self.equal, self.sums, bounds=(0.0, 1.0), method="highs")
        if found.status == _INFEASIBLE:
            return None
        _require_solved(found)
        worth: Floats = np.maximum(-found.ineqlin.marginals, 0.0) * scales / loss_scale
        return worth

    def solution(self) -> Codes | None:
        """Codes (C,) of the space of least loss, to a billionth of the range of losses; None if none fits.

        Raises: ConfigError if the solver gives up.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - scipy is slow to import

        losses, _, costs, rooms, _ = self._scaled()
        starts = np.cumsum([0, *(len(codes) for codes in self.space.kept)])
        constraints: list[Any] = [LinearConstraint(self.equal, self.sums, self.sums)]
        if len(rooms):
            constraints.append(LinearConstraint(costs, -np.inf, rooms))
        while True:
            found = milp(
                losses,
                integrality=np.arange(len(losses)) < starts[-1],
                bounds=Bounds(0.0, 1.0),
                constraints=constraints,
                # Presolved, HiGHS (as of scipy 1.17) writes lines to the screen, whatever it is told.
                options={"mip_rel_gap": 0.0, "presolve": False},
            )
            if found.status == _INFEASIBLE:
                return None
            _require_solved(found)
            parts = np.split(found.x[: starts[-1]], starts[1:-1])
            taken = np.array([int(part.argmax()) for part in parts])
            whole = self.space.whole(taken[None])
            if self.space.policies.feasible(whole)[0]:
                codes: Codes = whole[0]
                return codes
            # Within the solver's tolerance and yet above a bound: all but this one.
            again = np.zeros((1, len(losses)))
            again[0, starts[:-1] + taken] = 1.0
            constraints.append(LinearConstraint(again, -np.inf, len(taken) - 1.0))

    def _scaled(self) -> tuple[Floats, float, Floats, Floats, Floats]:
        """Losses and their factor; costs (K, variables), rooms and their factors.

        Losses of a choice are taken from its least: their sizes matter to the solver, to the answer only how
        far they are apart.
        """
        losses = self.values[:, 0].copy()
        sizes = np.array([len(codes) for codes in self.space.kept])
        own = losses[: sizes.sum()]
        own -= np.repeat(np.minimum.reduceat(own, np.cumsum(sizes) - sizes), sizes)
        costs = self.values[:, 1:].T
        largest = np.maximum(np.abs(costs).max(axis=1, initial=0.0), np.abs(self.rooms))
        scales = _SCALE / np.maximum(largest, _TINY)
        loss_scale = _SCALE / max(float(losses.max()), _TINY)
        return (
            losses * loss_scale,
            loss_scale,
            costs * scales[:, None],
            self.rooms * scales,
            scales,
        )


def _require_solved(found: Any) -> None:
    if found.status != _SOLVED:
        raise ConfigError(
            f"The integer programme must be solved; HiGHS says: {found.message} Change a budget, or choose "
            "another sampler."
        )


def _linear(space: BranchSpace) -> tuple[Floats, Floats, Any, Floats]:
    """Coefficients (variables, 1 + costs), what is constant of them, and the equations: matrix and right."""
    from scipy import sparse  # noqa: PLC0415 - scipy is slow to import

    sizes = [len(codes) for codes in space.kept]
    starts = np.cumsum([0, *sizes])
    count = int(starts[-1])
    constant = np.zeros(1 + len(space.columns))
    values = [np.zeros((count, len(constant)))]
    rows, variables = np.repeat(np.arange(len(sizes)), sizes), np.arange(count)
    triplets = [(rows, variables, np.ones(count))]
    equations = len(sizes)
    for choices, table in space.factors:
        flat = table.reshape(-1, len(constant))
        if not choices:
            constant += flat[0]
            continue
        if len(choices) == 1:
            values[0][starts[choices[0]] :][: len(flat)] += flat
            continue
        values.append(flat)
        entries = count + np.arange(len(flat))
        count += len(flat)
        for choice, code in zip(
            choices, np.unravel_index(np.arange(len(flat)), table.shape[:-1]), strict=True
        ):
            triplets.append((equations + code, entries, np.ones(len(flat))))
            own = np.arange(sizes[choice])
            triplets.append((equations + own, starts[choice] + own, -np.ones(len(own))))
            equations += len(own)
    row, column, entry = (np.concatenate(part) for part in zip(*triplets, strict=True))
    equal = sparse.csr_array((entry, (row, column)), shape=(equations, count))
    sums = np.zeros(equations)
    sums[: len(sizes)] = 1.0
    return np.concatenate(values), constant, equal, sums
