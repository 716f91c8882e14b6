"""Trials that were stopped at a lower fidelity, and what fidelities are worth, in words."""

from __future__ import annotations

from collections.abc import Iterable

from mpsearch.report.units import counted, percent_text
from mpsearch.search.rung_agreement import RegimeGain, RungAgreement
from mpsearch.search.trial_record import TrialRecord, after_share
from mpsearch.training.recipe import LOW_BITS


def stopped_text(record: TrialRecord) -> str:
    """As in "stopped: 85.00% after 10% of the steps"."""
    last = record.rungs[-1]
    return f"stopped: {percent_text(last.score)} {after_share(last.share)}"


def unscored_text(records: Iterable[TrialRecord]) -> str:
    """As in ", 12 stopped early, 2 failed"; empty where every trial has a score."""
    states = [record.state for record in records]
    counts = ((states.count("stopped"), "stopped early"), (states.count("failed"), "failed"))
    return "".join(f", {count} {what}" for count, what in counts if count)


def agreement_text(agreement: RungAgreement) -> str:
    """As in "after 10% of the steps trials rank like after all: tau 0.81 of 24"."""
    steps = after_share(agreement.share)
    if agreement.tau is None:
        return f"{steps}: too few scores to say how well they rank ({counted(agreement.trials, 'trial')})"
    text = f"{steps} trials rank like after all: tau {agreement.tau:.2f} of {agreement.trials}"
    if len(agreement.gains) < 2:
        return text
    return f"{text}; the rest adds {', '.join(map(_gain_text, agreement.gains))}"


def _gain_text(gain: RegimeGain) -> str:
    """As in "27.8 points at 1 bit (8)"; the regimes are those whose trials are compared with each other."""
    at = f"at {gain.regime:g} bit" if gain.regime < LOW_BITS else "above"
    return f"{100 * gain.gain:.1f} points {at} ({gain.trials})"
