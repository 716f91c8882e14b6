"""Layer-by-layer costs of policies, computed once each."""

from __future__ import annotations

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.cost_report import CostReport
from mpsearch.errors import MpsearchError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.run import Run


class CostCache:
    """Survives the run being read again, as long as its model and its profile stay the same.

    `problem` says why there are no costs layer by layer: a profile that lacks a step.
    """

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._models: dict[float | None, CostModel] = {}
        self._reports: dict[PrecisionPolicy, CostReport] = {}
        self.problem: str | None = None

    def report(self, run: Run, policy: PrecisionPolicy) -> CostReport | None:
        """None where `problem` says why."""
        key = (run.model.fingerprint, run.profile.created)
        if key != self._key:
            self._key, self.problem = key, None
            self._models.clear()
            self._reports.clear()
        if policy in self._reports:
            return self._reports[policy]
        try:
            if policy.width not in self._models:
                self._models[policy.width] = run.cost_model_at(policy.width)
            self._reports[policy] = self._models[policy.width].evaluate(policy)
        except MpsearchError as error:
            self.problem = str(error)
            return None
        self.problem = None
        return self._reports[policy]
