"""The point that counts for nothing, and the share that a front takes of the box from there."""

from __future__ import annotations

from collections.abc import Mapping

from mpsearch.errors import FormatError
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search.costs import Costs
from mpsearch.search.front import box_shares
from mpsearch.search.objective import Objective
from mpsearch.search.trial_record import TrialRecord


def reference_point(
    objectives: tuple[Objective, ...], greatest: Costs, constant_loss: float | None = None
) -> dict[str, float]:
    """Objective name -> the value that counts for nothing.

    Accuracy 0; a loss that of a constant answer; each cost 1.1 times the greatest reachable one of the space.
    It depends on space, model, its 32-bit weights and profile only, so hypervolumes of searches over the same
    compare.

    Raises: FormatError if loss is an objective, and that of a constant answer is not known.
    """
    found = {}
    for objective in objectives:
        if not objective.is_learnt:
            found[objective.name] = 1.1 * objective.of(greatest)
        elif objective.direction == "maximize":
            found[objective.name] = 0.0
        elif constant_loss is None:
            raise FormatError(
                "run.json must tell the loss of a constant answer where loss is an objective; it does not. "
                "`mpsearch search RUN --objectives ...` finds it out."
            )
        else:
            found[objective.name] = constant_loss
    return found


def normalised_hypervolume(
    records: tuple[TrialRecord, ...], objectives: tuple[Objective, ...], reference: Mapping[str, float]
) -> float:
    """Hypervolume in shares of the box between the reference point and the ideal."""
    return hypervolume(box_shares(records, objectives, reference), [1.0] * len(objectives))
