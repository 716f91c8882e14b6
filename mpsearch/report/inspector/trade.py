"""What one trial gains or loses against others."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpsearch.report.inspector.view_state import Scene
from mpsearch.search.best_trial import best_of
from mpsearch.search.score_difference import ScoreDifference, trial_difference
from mpsearch.search.trial_record import TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """Going from one trial to another: the change of each quantity.

    Units: accuracy as a share of 1, seconds, bytes, joules; a positive cost is dearer.
    """

    number: int
    accuracy: ScoreDifference
    latency_s: float
    memory_bytes: float
    energy_j: float


def trade(scene: Scene, here: TrialRecord, there: TrialRecord) -> Trade:
    """Both trials must be complete."""
    return Trade(
        number=there.number,
        accuracy=trial_difference(scene.run, here, there),
        latency_s=difference(here.latency_s, there.latency_s),
        memory_bytes=there.memory_bytes - here.memory_bytes,
        energy_j=difference(here.energy_j, there.energy_j),
    )


def difference(here: float, there: float) -> float:
    """What `there` has more than `here`; exactly 0 where only rounding of sums sets them apart."""
    return 0.0 if math.isclose(here, there, rel_tol=1e-9) else there - here


def neighbours(scene: Scene, number: int) -> tuple[int | None, int | None]:
    """The next trials on the front to the left and to the right in the picture."""
    order = scene.front_order
    if number in order:
        place = order.index(number)
        return (
            order[place - 1] if place else None,
            order[place + 1] if place + 1 < len(order) else None,
        )
    here = scene.spot_of.get(number)
    if here is None:
        return None, None
    before = [
        other for other in order if (scene.spot_of[other].x, scene.spot_of[other].y) <= (here.x, here.y)
    ]
    after = order[len(before) :]
    return (before[-1] if before else None), (after[0] if after else None)


def beaten_by(scene: Scene, record: TrialRecord) -> TrialRecord | None:
    """The best trial on the front that is no worse in any objective; None on the front itself."""
    if record.number in scene.front_numbers or not record.is_complete:
        return None
    objectives = scene.run.objectives
    better = [
        other
        for other in scene.run.front.records
        if all(o.sign * o.of(other) <= o.sign * o.of(record) for o in objectives)
    ]
    return best_of(better, objectives)
