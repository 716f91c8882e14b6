"""How well scores after a part of the steps rank trials: measured on the run itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from mpsearch.search.promotion import regime_of
from mpsearch.search.trial_record import TrialRecord

LEAST_RANKED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeGain:
    """What the rest of the steps added to the score, in the mean of the `trials` of one bit regime."""

    regime: float
    trials: int
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RungAgreement:
    """Kendall's tau-b between the scores after `share` of the steps and after all, of `trials` complete ones.

    1 where every pair of trials comes in the same order, -1 where none does; None for fewer than three trials
    or where all scores are equal. Only trials that went on have both scores: they are more alike than all
    trials, so that tau says less than it would of these. `gains`: by bit regime, fewest bits first.
    """

    share: float
    trials: int
    tau: float | None
    gains: tuple[RegimeGain, ...] = ()


def rung_agreements(records: Iterable[TrialRecord]) -> tuple[RungAgreement, ...]:
    """One for each lower fidelity, lowest first; none where trials have no rungs."""
    scores: dict[float, list[tuple[float, float]]] = {}
    gains: dict[float, dict[float, list[float]]] = {}
    for record in records:
        for rung in record.rungs if record.is_complete else ():
            scores.setdefault(rung.share, []).append((rung.score, record.accuracy))
            of_share = gains.setdefault(rung.share, {})
            of_share.setdefault(regime_of(record.policy), []).append(record.accuracy - rung.score)
    return tuple(
        RungAgreement(
            share=share,
            trials=len(pairs),
            tau=_agreement(pairs),
            gains=tuple(
                RegimeGain(regime=regime, trials=len(of_regime), gain=fmean(of_regime))
                for regime, of_regime in sorted(gains[share].items())
            ),
        )
        for share, pairs in sorted(scores.items())
    )


def _agreement(pairs: list[tuple[float, float]]) -> float | None:
    first, second = np.array(pairs).T
    return kendall_tau_b(first, second) if len(pairs) >= LEAST_RANKED else None


def kendall_tau_b(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """tau_b = (C - D) / sqrt((P - T1) (P - T2)): of P pairs, C agree, D disagree, T are ties in one column.

    None where one column is constant. Shape: (P,) each.
    Source: Kendall 1945, 10.1093/biomet/33.3.239.
    """
    balance = untied_first = untied_second = 0.0
    for place in range(1, len(first)):  # a row at a time: all pairs of 10,000 trials would take gigabytes
        one, other = np.sign(first[:place] - first[place]), np.sign(second[:place] - second[place])
        balance += float(one @ other)
        untied_first += np.count_nonzero(one)
        untied_second += np.count_nonzero(other)
    if not untied_first or not untied_second:
        return None
    return float(balance / np.sqrt(untied_first * untied_second))
