"""How well what each method says of the layers, added up, ranks the trials that were scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpsearch.search.layer_effects import rank_correlation
from mpsearch.search.resolve import resolve
from mpsearch.search.run import Run
from mpsearch.search.rung_agreement import kendall_tau_b
from mpsearch.search.sensitivity import Sensitivity

LEAST_RANKED = 8
_Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityAgreement:
    """Rank correlations of the scores with minus the proxy, over `policies` with a score.

    Spearman's rho and Kendall's tau-b, 1 where the proxy ranks as the scores do, with 95% intervals. Trials
    are no fair sample: a search tries what looks good, where scores lie close, so both say less than they
    would of all policies.
    """

    policies: int
    spearman: float
    spearman_interval: tuple[float, float]
    kendall: float
    kendall_interval: tuple[float, float]


def sensitivity_agreements(
    run: Run, found: Mapping[str, Sensitivity]
) -> dict[str, SensitivityAgreement | None]:
    """Method -> its agreement; None for fewer than `LEAST_RANKED` policies, or where a column is constant.

    Raises: FormatError if the sensitivities are of another space.
    """
    resolved = resolve(run.space, run.model)
    complete = [record for record in run.records if record.is_complete]
    if not complete:
        return dict.fromkeys(found)
    codes = np.stack([resolved.codes(record.policy) for record in complete])
    scores = np.array([record.accuracy for record in complete])
    agreements: dict[str, SensitivityAgreement | None] = {}
    for method, sensitivity in found.items():
        expected = -sensitivity.proxy(resolved).evaluate(codes)
        tau = kendall_tau_b(expected, scores) if len(scores) >= LEAST_RANKED else None
        agreements[method] = None
        if tau is not None:
            rho = rank_correlation(expected, scores)
            agreements[method] = SensitivityAgreement(
                policies=len(scores),
                spearman=rho,
                spearman_interval=_interval(rho, math.sqrt((1 + rho * rho / 2) / (len(scores) - 3))),
                kendall=tau,
                kendall_interval=_interval(tau, math.sqrt(0.437 / (len(scores) - 4))),
            )
    return agreements


def _interval(correlation: float, deviation: float) -> tuple[float, float]:
    """95%, by Fisher's z = artanh r, whose standard deviation is given.

    Source: Spearman: Bonett and Wright 2000, 10.1007/BF02294183; Kendall: Fieller, Hartley and Pearson 1957,
        10.1093/biomet/44.3-4.470.
    """
    if abs(correlation) >= 1:
        return correlation, correlation
    middle, reach = math.atanh(correlation), _Z95 * deviation
    return math.tanh(middle - reach), math.tanh(middle + reach)
