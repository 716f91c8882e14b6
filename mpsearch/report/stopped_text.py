"""A trial that was stopped at a lower fidelity, in words."""

from __future__ import annotations

from mpsearch.report.units import percent_text
from mpsearch.search.trial_record import TrialRecord


def share_text(share: float) -> str:
    """As in "10%" or "12.5%"."""
    return f"{100 * share:.3g}%"


def stopped_text(record: TrialRecord) -> str:
    """As in "stopped: 85.00% after 10% of the steps"."""
    last = record.rungs[-1]
    return f"stopped: {percent_text(last.score)} after {share_text(last.share)} of the steps"
