"""Costs of the policies of one width: one network, on one or several devices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.cost_term import COST_COLUMNS
from mpsearch.cost.extremes import CostRange, Extremes
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import Codes, ResolvedSpace


class WidthCosts:
    """Sums of parts that depend on a few layers each. `models`: by device, None for the main profile's.

    A model may know more schemes than `resolved` allows.

    Shape: codes (P, C), of the choices of layers alone -> costs (P, K), in the order of `columns`.
    """

    def __init__(
        self,
        resolved: ResolvedSpace,
        models: Mapping[str | None, CostModel],
        columns: tuple[Objective, ...],
        width: float | None,
    ) -> None:
        self.models = dict(models)
        self._columns = columns
        self._width = width
        model = next(iter(self.models.values()))
        self._devices = list(self.models)
        self._least = Extremes(
            list(self.models.values()), [choice.layers for choice in resolved.choices], resolved.schemes
        )
        self._weighed = [
            len(COST_COLUMNS) * self._devices.index(cost.device) + COST_COLUMNS.index(cost.attribute)
            for cost in columns
        ]
        place = {layer: column for column, layer in enumerate(model.layers)}
        known = model.schemes
        self._pinned_codes = np.zeros(len(model.layers), dtype=np.int64)
        for layer, scheme in resolved.pinned.items():
            self._pinned_codes[place[layer]] = known[layer].index(scheme)
        self._codes_of = [
            (column, place[layer], np.array([known[layer].index(s) for s in choice.schemes], dtype=np.int64))
            for column, choice in enumerate(resolved.choices)
            for layer in choice.layers
        ]

    def evaluate(self, codes: Codes) -> NDArray[np.float64]:
        of_layers = np.tile(self._pinned_codes, (len(codes), 1))
        for choice, layer, code_of in self._codes_of:
            of_layers[:, layer] = code_of[codes[:, choice]]
        costs = {device: model.evaluate_batch(of_layers) for device, model in self.models.items()}
        return np.stack([getattr(costs[cost.device], cost.attribute) for cost in self._columns], axis=1)

    def range_of(self, cost: Objective) -> CostRange:
        found = self._least.range(cost.attribute, self._devices.index(cost.device))
        return CostRange(
            least=found.least,
            least_policy=found.least_policy.at_width(self._width),
            greatest=found.greatest,
            greatest_policy=found.greatest_policy.at_width(self._width),
            is_exact=found.is_exact,
        )

    def least(self, weights: NDArray[np.float64]) -> tuple[float, PrecisionPolicy]:
        """A bound that no policy's weighted sum of costs goes below, and a policy at it or near it.

        Shape: weights (K,), as `columns`.
        """
        of_models = np.zeros(len(self.models) * len(COST_COLUMNS))
        of_models[self._weighed] = weights
        bound, policy, _ = self._least.least(of_models)
        return bound, policy.at_width(self._width)
