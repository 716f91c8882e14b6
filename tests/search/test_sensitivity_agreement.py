"""How well methods of sensitivity rank what was scored, and asking them about a run that is there."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import RunError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.engine import run_search
from mpsearch.search.resolve import resolve
from mpsearch.search.run import load_run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.run_sensitivities import compute_sensitivities, run_sensitivities
from mpsearch.search.sensitivity import Sensitivity, WidthSensitivity
from mpsearch.search.sensitivity_agreement import sensitivity_agreements


@pytest.fixture
def finished(space, profile, tmp_path):
    run_search(space, out=tmp_path / "run", profile=profile, sampler="random")
    return load_run(tmp_path / "run")


def sensitivity_of(run, losses):
    """One that adds so much for each scheme, in every choice."""
    choices = resolve(run.space, run.model).choices
    added = {c.name: dict(zip(c.schemes, losses, strict=True)) for c in choices}
    at = WidthSensitivity(width=None, baseline=run.baseline.key, loss=0.1, added=added)
    return Sensitivity(method="loss", samples=60, seconds=1.0, widths=(at,))


def with_scores(run, score_of):
    """The same trials, their scores made up from how many layers take w1a1."""
    low = SCHEMES["w1a1"]
    records = [
        replace(r, score=score_of(sum(scheme == low for scheme in r.policy.values())), trainings=())
        if r.is_complete
        else r
        for r in run.records
    ]
    return replace(run, records=tuple(records))


def test_agreement_is_1_where_the_proxy_ranks_as_scores_do_minus_1_where_it_reverses_them(finished):
    run = with_scores(finished, lambda low: 0.9 - 0.1 * low)
    right = sensitivity_of(run, [1.0, 0, 0, 0, 0])
    agreement = sensitivity_agreements(run, {"loss": right})["loss"]
    assert agreement.policies == len([r for r in run.records if r.is_complete])
    assert agreement.spearman == pytest.approx(1)
    assert agreement.kendall == pytest.approx(1)
    upside_down = with_scores(finished, lambda low: 0.1 + 0.1 * low)
    assert sensitivity_agreements(upside_down, {"loss": right})["loss"].kendall == pytest.approx(-1)
    blind = sensitivity_of(run, [0.0, 0, 0, 0, 0])
    assert sensitivity_agreements(run, {"loss": blind})["loss"] is None
    few = replace(run, records=run.records[:5])
    assert sensitivity_agreements(few, {"loss": right})["loss"] is None


def test_intervals_hold_the_correlation_of_all_policies_in_19_of_20_runs():
    from mpsearch.search.layer_effects import rank_correlation
    from mpsearch.search.sensitivity_agreement import _interval

    generator = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.8 / 2)  # Spearman's, of two normals of correlation 0.8
    held = 0
    for _ in range(400):
        x, noise = generator.standard_normal((2, 40))
        rho = rank_correlation(x, 0.8 * x + 0.6 * noise)
        low, high = _interval(rho, np.sqrt((1 + rho * rho / 2) / 37))
        held += low <= truth <= high
    assert 0.91 <= held / 400 <= 0.98


def test_what_is_missing_is_found_out_and_kept_and_what_is_there_is_read(finished):
    assert run_sensitivities(finished) == {}
    events = []
    found = compute_sensitivities(finished, ["loss", "sqnr"], events.append)
    assert list(found) == ["loss", "sqnr"]
    assert run_sensitivities(load_run(finished.path)) == found
    events.clear()
    assert compute_sensitivities(finished, ["sqnr"], events.append) == found
    assert not events
    with RunFolder(finished.path).locked(), pytest.raises(RunError, match="One process at a time"):
        compute_sensitivities(finished, ["gradient"])
