import json

import pytest

from mpsearch.errors import FormatError
from mpsearch.search.measured import MeasuredLatency, measured_line, read_measured


def _measured(number=3, latency_s=8e-6):
    return MeasuredLatency(
        number=number,
        latency_s=latency_s,
        quartiles_s=(7.5e-6, 8.5e-6),
        p95_s=9e-6,
        p99_s=1e-5,
        torch_fp32_latency_s=1.4e-4,
        torch_fp32_quartiles_s=(1.3e-4, 1.5e-4),
        repetitions=40,
        threads=1,
        machine="a processor",
        isa="avx512",
        is_compiled=True,
        agreement=1.0,
        created="2026-01-01T00:00:00+00:00",
    )


def test_a_line_reads_back_as_it_was(tmp_path):
    path = tmp_path / "measured.jsonl"
    path.write_text(measured_line(_measured()) + "\n")
    assert read_measured(path) == {3: _measured()}


def test_the_last_measurement_of_a_trial_counts(tmp_path):
    path = tmp_path / "measured.jsonl"
    path.write_text("".join(measured_line(_measured(latency_s=s)) + "\n" for s in (8e-6, 9e-6)))
    assert read_measured(path)[3].latency_s == 9e-6


@pytest.mark.parametrize("torn", [20, 100, -5])
def test_a_torn_last_line_costs_that_measurement_only(tmp_path, torn):
    path = tmp_path / "measured.jsonl"
    path.write_text(measured_line(_measured()) + "\n" + measured_line(_measured(number=4))[:torn])
    assert set(read_measured(path)) == {3}


def test_a_run_that_was_never_measured_has_none(tmp_path):
    assert read_measured(tmp_path / "measured.jsonl") == {}


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf")])
def test_a_latency_that_is_no_time_is_refused(value):
    with pytest.raises(FormatError, match=r"`latency_s` of trial 3 must be positive"):
        _measured(latency_s=value)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"quartiles_s": 3},
        {"quartiles_s": [float("nan"), 1e-5]},
        {"torch_fp32_quartiles_s": [1e-5, 0.0]},
        {"agreement": 1.5},
        {"number": "x"},
    ],
)
def test_an_odd_object_is_refused(change):
    with pytest.raises(FormatError):
        MeasuredLatency.from_dict({**json.loads(measured_line(_measured())), **change})
