"""The least and greatest cost that any policy of a space can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.cost_term import COST_COLUMNS
from mpsearch.cost.elimination import Least, elimination_order, factor_of, least_sum
from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme

if TYPE_CHECKING:
    from mpsearch.cost.cost_model import CostModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRange:
    """Bounds of one cost over all policies of a space, in the unit of that cost.

    `is_exact`: the policies reach the bounds; else no policy lies outside them, and these come near.
    """

    least: float
    least_policy: PrecisionPolicy
    greatest: float
    greatest_policy: PrecisionPolicy
    is_exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CostExtremes:
    """Fields as `COST_COLUMNS`; `compressed_bytes` is None where the model does not know it."""

    latency_s: CostRange
    latency_p95_s: CostRange
    latency_p99_s: CostRange
    memory_bytes: CostRange
    energy_j: CostRange
    compressed_bytes: CostRange | None = None


class Extremes:
    """Minimises weighted sums of costs over the policies in which the layers of each group agree.

    `models`: one network on one or several devices, which agree in layers and schemes. `schemes`: what each
    layer may take, where that is less than the models know. Costs are sums of terms over few layers each, so
    this is exact wherever the model's graph is nearly a chain; see `least_sum`.

    Raises: ConfigError if a group names an unknown layer or shares no scheme.
    """

    def __init__(
        self,
        models: Sequence[CostModel],
        groups: Sequence[Sequence[str]] = (),
        schemes: Mapping[str, Sequence[Scheme]] | None = None,
    ) -> None:
        self._models = tuple(models)
        model = self._model = self._models[0]
        self._choices = _partition(model.layers, groups)
        shared = [_shared_schemes(schemes or model.schemes, choice) for choice in self._choices]
        self._sizes = [len(taken) for taken in shared]
        self._variable_of = [0] * len(model.layers)
        self._codes: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(model.layers)
        for variable, (choice, taken) in enumerate(zip(self._choices, shared, strict=True)):
            for layer in choice:
                place = model.layers.index(layer)
                self._variable_of[place] = variable
                own = model.schemes[layer]
                self._codes[place] = np.array([own.index(scheme) for scheme in taken], np.int64)

        scopes = [{self._variable_of[layer] for layer in term.layers} for m in models for term in m.terms]
        self._order = elimination_order(scopes, self._sizes)

    def least(self, weights: NDArray[np.float64]) -> tuple[float, PrecisionPolicy, bool]:
        """The least weighted sum of costs, a policy near it, and whether that reaches it.

        Shape: weights (6 a model,), as `COST_COLUMNS` of each.
        """
        factors, is_exact, constant = [], True, 0.0
        for model, own in zip(self._models, weights.reshape(len(self._models), -1), strict=True):
            if not own.any():
                continue
            constant += float(model.constant @ own)
            for term in model.terms:
                costs = np.nan_to_num(term.table, nan=np.inf)[:, own != 0] @ own[own != 0]
                factor, is_whole = factor_of(term, costs, self._variable_of, self._codes)
                factors.append(factor)
                is_exact = is_exact and is_whole
        found: Least = least_sum(factors, self._sizes, self._order, is_exact=is_exact)
        codes = [
            int(self._codes[place][found.values[self._variable_of[place]]])
            for place in range(len(self._model.layers))
        ]
        return found.bound + constant, self._model.policy(codes), found.is_exact

    def all(self) -> CostExtremes:
        """Those of the first model."""
        known = COST_COLUMNS if self._model.is_compressed else COST_COLUMNS[:-1]
        return CostExtremes(**{name: self.range(name) for name in known})

    def range(self, name: str, place: int = 0) -> CostRange:
        """The range of one of `COST_COLUMNS` of the model at that place."""
        model = self._models[place]
        weights = np.zeros(len(self._models) * len(COST_COLUMNS))
        weights[place * len(COST_COLUMNS) + COST_COLUMNS.index(name)] = 1.0
        least, least_policy, is_least_exact = self.least(weights)
        greatest, greatest_policy, is_greatest_exact = self.least(-weights)
        if is_least_exact:  # free of the rounding of another order of summation
            least = float(getattr(model.evaluate(least_policy), name))
        if is_greatest_exact:
            greatest = -float(getattr(model.evaluate(greatest_policy), name))
        return CostRange(
            least=least,
            least_policy=least_policy,
            greatest=-greatest,
            greatest_policy=greatest_policy,
            is_exact=is_least_exact and is_greatest_exact,
        )


def _shared_schemes(schemes: Mapping[str, Sequence[Scheme]], layers: Sequence[str]) -> list[Scheme]:
    shared = [s for s in schemes[layers[0]] if all(s in schemes[layer] for layer in layers)]
    if not shared:
        raise ConfigError(f"Layers of one group must share a scheme; {', '.join(layers)} share none.")
    return shared


def _partition(layers: Sequence[str], groups: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    grouped = [layer for group in groups for layer in group]
    unknown = sorted(set(grouped) - set(layers))
    if unknown or len(set(grouped)) < len(grouped):
        raise ConfigError(
            f"Groups must name layers of the model, each once; got {[list(g) for g in groups]}."
        )
    return [
        *(group for group in groups if group),
        *([layer] for layer in layers if layer not in set(grouped)),
    ]
