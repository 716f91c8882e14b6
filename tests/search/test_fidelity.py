import pytest

from mpsearch.errors import RunError
from mpsearch.search.fidelity import fidelity, is_promised
from mpsearch.search.measured import MeasuredLatency


def measured(number, latency_s, **changes):
    values = {
        "number": number,
        "latency_s": latency_s,
        "quartiles_s": (0.9 * latency_s, 1.1 * latency_s),
        "p95_s": 1.2 * latency_s,
        "p99_s": 1.3 * latency_s,
        "torch_fp32_latency_s": 1e-3,
        "torch_fp32_quartiles_s": (9e-4, 1.1e-3),
        "repetitions": 100,
        "threads": 1,
        "machine": "Test processor",
        "isa": "avx2",
        "is_compiled": True,
        "agreement": 1.0,
        "created": "2026-01-01T00:00:00+00:00",
    }
    return MeasuredLatency(**{**values, **changes})


def off_by(run, **factors):
    """Trials 0, 1, ... measured at that many times their predicted latencies."""
    return [measured(n, factor * run.trial(n).latency_s) for n, factor in enumerate(factors.values())]


def test_errors_are_relative_to_the_prediction(finished_run):
    found = fidelity(finished_run, off_by(finished_run, a=1.1, b=0.8, c=1.02))
    assert found.errors == pytest.approx({0: 0.1, 1: -0.2, 2: 0.02})
    assert found.median_error == pytest.approx(0.1)
    assert (found.worst, found.near) == (1, 2)
    assert found.to_dict()["worst_error"] == pytest.approx(-0.2)


def test_the_order_is_judged_by_all_pairs(finished_run):
    faster_first = sorted(finished_run.records[:3], key=lambda r: r.latency_s)
    assert len({r.latency_s for r in faster_first}) == 3
    for seconds, tau in (((1, 2, 3), 1.0), ((3, 2, 1), -1.0), ((2, 1, 3), 1 / 3)):
        told = [measured(r.number, s * 1e-6) for r, s in zip(faster_first, seconds, strict=True)]
        assert fidelity(finished_run, told).rank_agreement == pytest.approx(tau)
    assert fidelity(finished_run, off_by(finished_run, a=1.0, b=1.0)).rank_agreement is None


def test_a_trial_that_is_not_in_the_run_is_refused(finished_run):
    with pytest.raises(RunError, match="Trial 99 is not in"):
        fidelity(finished_run, [measured(99, 1e-6)])


@pytest.mark.parametrize("changes", [{"threads": 2}, {"machine": "Another"}, {"isa": "scalar"}])
def test_a_prediction_promises_nothing_for_other_machines_or_threads(finished_run, changes):
    assert is_promised(finished_run.profile, measured(0, 1e-6))
    assert not is_promised(finished_run.profile, measured(0, 1e-6, **changes))
