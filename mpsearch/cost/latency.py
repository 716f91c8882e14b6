"""Seconds of steps, from a hardware profile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mpsearch.errors import UnmeasuredError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.plan.step import StepShape


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsCost:
    """Seconds of some steps: median, and what they add to the 95th and 99th percentile of a pass."""

    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    is_measured: bool


class StepPrices:
    """Looks steps up, each once, and remembers what the profile lacks.

    A float layer's step includes `break_s`, what it takes to leave the native program and to come back.
    The percentiles of a sum are smaller than the sum of percentiles: the excess of each step over its median
    is multiplied by the profile's tail factors, so that what is left adds up.
    """

    def __init__(
        self, profile: HardwareProfile, *, break_s: float = 0.0, tail_p95: float = 1.0, tail_p99: float = 1.0
    ) -> None:
        self._profile = profile
        self._break_s = break_s
        self._tails = (tail_p95, tail_p99)
        self._known: dict[StepShape, StepsCost] = {}
        self.missing: dict[StepShape, str] = {}

    def of(self, shapes: Iterable[StepShape], *, name: str) -> StepsCost:
        """Their sum; what is missing costs nothing here and is listed in `missing` under `name`."""
        parts = [self._of_one(shape, name) for shape in shapes]
        return StepsCost(
            latency_s=sum(part.latency_s for part in parts),
            latency_p95_s=sum(part.latency_p95_s for part in parts),
            latency_p99_s=sum(part.latency_p99_s for part in parts),
            is_measured=all(part.is_measured for part in parts),
        )

    def require_all(self) -> None:
        """Raises: UnmeasuredError if anything was missing, with what."""
        if self.missing:
            named = [f"{name} ({shape})" for shape, name in self.missing.items()]
            shown = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
            raise UnmeasuredError(
                f"Every step must be measured, or lie among measured ones; profile {self._profile.name!r} "
                f"lacks {shown}.",
                threads=self._profile.threads,
            )

    def _of_one(self, shape: StepShape, name: str) -> StepsCost:
        found = self._known.get(shape)
        if found is None:
            found = self._known[shape] = self._looked_up(shape, name)
        return found

    def _looked_up(self, shape: StepShape, name: str) -> StepsCost:
        try:
            estimate = self._profile.estimate(shape)
        except UnmeasuredError:
            self.missing[shape] = name
            return StepsCost(latency_s=0.0, latency_p95_s=0.0, latency_p99_s=0.0, is_measured=False)
        median_s = estimate.latency_s + (self._break_s if shape.kind == "float_layer" else 0.0)
        return StepsCost(
            latency_s=median_s,
            latency_p95_s=median_s + self._tails[0] * (estimate.p95_s - estimate.latency_s),
            latency_p99_s=median_s + self._tails[1] * (estimate.p99_s - estimate.latency_s),
            is_measured=estimate.origin == "measured",
        )
