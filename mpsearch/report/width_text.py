"""How wide a policy's model is, in a cell or two."""

from __future__ import annotations

from collections.abc import Sequence

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.fitted_table import Column
from mpsearch.report.units import UNKNOWN
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord


def width_text(policy: PrecisionPolicy) -> str:
    """As in "0.5"; a dash in a run without widths."""
    return UNKNOWN if policy.width is None else f"{policy.width:g}"


def width_columns(run: Run, records: Sequence[TrialRecord]) -> list[Column]:
    """The widths of the trials, where the run has several."""
    if run.space.widths is None:
        return []
    return [Column(title="width", cells=[width_text(record.policy) for record in records])]


def widths_text(run: Run, what: str) -> str:
    """`what`, and of which width that is where the run has several: "32-bit at width 1"."""
    widths = run.space.widths
    return what if widths is None else f"{what} at width {widths.reference:g}"
