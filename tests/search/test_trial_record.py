import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import FormatError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.costs import Costs
from mpsearch.search.trial_record import TrialRecord, after_share, now_utc

numbers = st.floats(0, 1e12)
records = st.builds(
    TrialRecord,
    number=st.integers(0, 10**6),
    policy=st.dictionaries(st.text(min_size=1), st.sampled_from(list(SCHEMES)), min_size=1).map(
        PrecisionPolicy
    ),
    state=st.just("complete"),
    score=st.floats(0, 1),
    loss=numbers,
    costs=st.builds(
        Costs,
        latency_s=numbers,
        latency_p95_s=numbers,
        latency_p99_s=numbers,
        memory_bytes=st.integers(0, 10**15),
        energy_j=numbers,
    ),
    feasible=st.booleans(),
    seconds=numbers,
    steps=st.integers(0, 10**9),
    seed=st.integers(0, 2**31),
    origin=st.sampled_from(["anchor", "sampler", "random"]),
    started=st.just("2026-01-01T00:00:00+00:00"),
    ended=st.builds(now_utc),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(records)
def test_a_record_survives_the_trip_through_json(record):
    assert TrialRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@given(records, st.data())
def test_a_damaged_record_is_a_format_error_or_a_record(record, data):
    fields = record.to_dict()
    for key in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        if data.draw(st.booleans()):
            fields.pop(key, None)
        else:
            fields[key] = data.draw(json_values)
    with suppress(FormatError):
        TrialRecord.from_dict(fields)


@given(records, st.sampled_from(["score", "loss"]))
def test_a_complete_record_tells_score_and_loss(record, missing):
    with pytest.raises(FormatError, match=rf"complete with score and loss.*{missing} None"):
        TrialRecord.from_dict({**record.to_dict(), missing: None})


@given(json_values)
def test_anything_else_is_a_format_error(value):
    with pytest.raises(FormatError):
        TrialRecord.from_dict(value)


@pytest.mark.parametrize("schema", [2, 4])
def test_another_schema_is_refused_with_what_to_do(schema):
    with pytest.raises(FormatError, match=rf"schema 3 can be read; got schema {schema}.*search again"):
        TrialRecord.from_dict({"schema": schema})


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "after calibration"), (0.125, "after 12.5% of the steps"), (0.1, "after 10% of the steps")],
)
def test_a_rung_without_steps_is_called_calibration(share, text):
    assert after_share(share) == text
