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
        self._model: CostModel | None = None
        self._reports: dict[PrecisionPolicy, CostReport] = {}
        self.problem: str | None = None

    def report(self, run: Run, policy: PrecisionPolicy) -> CostReport | None:
        """None where `problem` says why."""
        key = (run.model.fingerprint, run.profile.created)
        if key != self._key:
            self._key, self._model, self.problem = key, None, None
            self._reports.clear()
        if policy in self._reports:
            return self._reports[policy]
        try:
            self._model = self._model or run.cost_model
            self._reports[policy] = self._model.evaluate(policy)
        except MpsearchError as error:
            self.problem = str(error)
            return None
        self.problem = None
        return self._reports[policy]
