"""What is known about a search before any training, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mpsearch.models.model_trace import ModelTrace
from mpsearch.search.checkup import BUSY
from mpsearch.search.costs import Costs
from mpsearch.search.estimate import Span, TimeEstimate
from mpsearch.search.objective import COMPRESSED_SIZE, Objective, is_learnt_named
from mpsearch.search.reach import CostReach, Share, SpaceReach
from mpsearch.search.resolve import ResolvedSpace
from mpsearch.search.space import SearchSpace

PLAN_SCHEMA = 1
ProfileOrigin = Literal["given", "run", "quick", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProfile:
    """Where the latencies come from.

    given: the profile that was named. run: that of the run folder, with which the search goes on. quick:
    measured now, in `seconds`. none: `why` there is none. `differences` from this machine, if it is another;
    `threads` that a pass runs on.
    """

    origin: ProfileOrigin
    name: str = ""
    seconds: float = 0.0
    why: str = ""
    differences: tuple[str, ...] = ()
    interpolated_layers: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """`traces`: the layers of the model by width, the reference first; one, under None, without widths.
    `full_precision`: every layer at 32 bits in the same runtime, None without a profile. `further`: the
    profiles of further devices.

    `load`: processes that ran or waited on this machine's `cores` before the plan began to.
    """

    space: SearchSpace
    source: str
    traces: Mapping[float | None, ModelTrace]
    resolved: ResolvedSpace
    remarks: tuple[str, ...]
    profile: PlannedProfile
    further: tuple[PlannedProfile, ...] = ()
    reach: SpaceReach
    full_precision: Costs | None
    time: TimeEstimate | None
    load: float | None = None
    cores: int = 1

    @property
    def trace(self) -> ModelTrace:
        """At the width of reference."""
        return next(iter(self.traces.values()))

    @property
    def is_busy(self) -> bool:
        """Whether others computed here, so that all was timed slower than it is."""
        return self.load is not None and self.load > BUSY * self.cores

    @property
    def unknown_costs(self) -> tuple[str, ...]:
        """Objectives and budgets that cannot be told without a profile."""
        told = {reach.cost.name for reach in self.reach.costs} | {COMPRESSED_SIZE.name}
        wanted = [objective.name for objective in self.space.objectives] + list(self.space.budgets.bounds())
        return tuple(dict.fromkeys(name for name in wanted if name not in told and not is_learnt_named(name)))

    def to_dict(self) -> dict[str, Any]:
        """For other programs: SI units, shares of 1."""
        group_of = {layer: c.name for c in self.resolved.choices if len(c.layers) > 1 for layer in c.layers}
        return {
            "schema": PLAN_SCHEMA,
            "space": self.space.name,
            "source": self.source,
            "task": self.space.task.name,
            "layers": [
                {
                    "name": name,
                    "schemes": [scheme.name for scheme in schemes],
                    "pinned": name in self.resolved.pinned,
                    "group": group_of.get(name),
                    "shape": str(self.trace.layer(name).calls[0]),
                    "macs": self.trace.layer(name).macs,
                    "weights": self.trace.layer(name).weight_count,
                }
                for name, schemes in self.resolved.schemes.items()
            ],
            "widths": [
                {
                    "width": width,
                    "macs": sum(layer.macs for layer in self.traces[width].layers),
                    "weights": sum(layer.weight_count for layer in self.traces[width].layers),
                }
                for width in self.resolved.widths
            ],
            "unquantized": [asdict(module) for module in self.trace.unquantized],
            "runs_compiled": self.trace.graph is not None,
            "eager_reasons": list(self.trace.eager_reasons),
            "overrides": self.space.overrides.texts(),
            "remarks": list(self.remarks),
            "policies": self.reach.policies,
            "choices": self.reach.choices,
            "profile": asdict(self.profile),
            "further_profiles": [asdict(profile) for profile in self.further],
            "costs": {reach.cost.field: self._cost(reach) for reach in self.reach.costs},
            "budgets": self.space.budgets.texts(),
            "feasible": self.reach.is_feasible,
            "problem": self.reach.problem,
            "share_within_all_budgets": _share(self.reach.together),
            "time": None if self.time is None else _time(self.time),
            "load": self.load,
            "cores": self.cores,
        }

    def _cost(self, reach: CostReach) -> dict[str, Any]:
        return {
            "least": reach.least,
            "least_policy": reach.least_policy.names(),
            "least_width": reach.least_policy.width,
            "greatest": reach.greatest,
            "greatest_policy": reach.greatest_policy.names(),
            "greatest_width": reach.greatest_policy.width,
            "is_exact": reach.is_exact,
            "full_precision": self.full_precision_value(reach.cost),
            "histogram": list(reach.histogram),
            "budget": reach.bound,
            "share_within_budget": _share(reach.within),
        }

    def full_precision_value(self, cost: Objective) -> float | None:
        """What 32 bits everywhere cost."""
        return None if self.full_precision is None else cost.of(self.full_precision)


def _share(share: Share | None) -> dict[str, Any] | None:
    if share is None:
        return None
    return {
        "value": share.value,
        "interval": list(share.interval),
        "examined": share.examined,
        "is_exact": share.is_exact,
    }


def _time(estimate: TimeEstimate) -> dict[str, Any]:
    return {
        **_span(estimate.total),
        "trials": estimate.trials,
        "workers": estimate.workforce.workers,
        "threads_per_worker": estimate.workforce.threads,
        "gain_of_workers": list(estimate.workforce.gain),
        "parts": [{"name": part.name, **_span(part.span), "detail": part.detail} for part in estimate.parts],
    }


def _span(span: Span) -> dict[str, float]:
    return {"least_s": span.least_s, "likely_s": span.likely_s, "most_s": span.most_s}
