from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.stopped_text import agreement_text
from mpsearch.search.costs import Costs
from mpsearch.search.rung_agreement import kendall_tau_b, rung_agreements
from mpsearch.search.trial_record import Rung, TrialRecord

TIME = "2026-01-01T00:00:00+00:00"
RECORD = TrialRecord(
    number=0,
    policy=PrecisionPolicy.from_names({"a": "w8a8"}),
    state="complete",
    score=0.9,
    loss=0.1,
    costs=Costs(latency_s=1.0, latency_p95_s=1.0, latency_p99_s=1.0, memory_bytes=1, energy_j=1.0),
    feasible=True,
    seconds=1.0,
    steps=1,
    seed=0,
    origin="sampler",
    started=TIME,
    ended=TIME,
)


def scored(score, *rungs):
    climbed = tuple(
        Rung(share=share, score=one, loss=0.1, seconds=0.1, steps=1, ended=TIME)
        for share, one in zip((0.1, 0.3), rungs, strict=False)
    )
    return replace(RECORD, score=score, rungs=climbed)


@given(st.lists(st.tuples(*[st.integers(0, 5).map(float)] * 2), min_size=2, max_size=30))
def test_tau_is_that_of_scipy(rows):
    first, second = np.array(rows).T
    tau = kendall_tau_b(first, second)
    if len(set(first)) < 2 or len(set(second)) < 2:
        assert tau is None
    else:
        assert tau == pytest.approx(kendalltau(first, second).statistic)


def test_each_lower_fidelity_is_compared_with_the_full_one_over_complete_trials():
    stopped = replace(scored(0.1, 0.9), state="stopped", score=None)
    records = [scored(0.5, 0.1, 0.3), scored(0.6, 0.2, 0.2), scored(0.7, 0.3, 0.1), stopped, RECORD]
    low, high = rung_agreements(records)
    assert (low.share, low.trials, low.tau) == (0.1, 3, 1.0)
    assert (high.share, high.trials, high.tau) == (0.3, 3, -1.0)


def test_few_or_equal_scores_rank_nothing():
    assert [a.tau for a in rung_agreements([scored(0.5, 0.1), scored(0.6, 0.2)])] == [None]
    assert [a.tau for a in rung_agreements([scored(0.5, 0.1)] * 4)] == [None]
    assert rung_agreements([RECORD]) == ()


def test_what_the_rest_of_the_steps_adds_is_told_for_each_bit_regime():
    def record(number, names, low, full):
        policy = PrecisionPolicy.from_names({str(place): name for place, name in enumerate(names)})
        rung = Rung(share=0.25, score=low, loss=0.1, seconds=1.0, steps=1, ended=TIME)
        return replace(RECORD, number=number, policy=policy, score=full, rungs=(rung,))

    (agreement,) = rung_agreements(
        [
            record(0, ["w1a1", "w8a8"], 0.5, 0.8),
            record(1, ["w1a1", "w1a1"], 0.4, 0.8),
            record(2, ["w8a8", "w4a8"], 0.9, 0.91),
        ]
    )
    assert [(gain.regime, gain.trials) for gain in agreement.gains] == [(1.0, 2), (2.0, 1)]
    assert [gain.gain for gain in agreement.gains] == pytest.approx([0.35, 0.01])
    assert "the rest adds 35.0 points at 1 bit (2), 1.0 points above (1)" in agreement_text(agreement)
