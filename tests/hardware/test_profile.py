"""The profile file survives a round trip, and whatever else it is given is a typed error."""

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpsearch.errors import (
    ConfigError,
    FormatError,
    MpsearchError,
    ProfileError,
    StorageError,
    UnmeasuredError,
)
from mpsearch.hardware.profile import PROFILE_SCHEMA, HardwareProfile, Measurement, RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import call_step
from mpsearch.precision.scheme import SCHEMES

INT4 = SCHEMES["w4a8"]


def linear(k, n, **sizes):
    return call_step(LayerShape(operator="linear", batch=1, in_channels=k, out_channels=n, **sizes), INT4)


def measured(shape, median, low, high, **changes):
    return Measurement(
        **{
            "shape": shape,
            "latency_s": median,
            "quartiles_s": (low, high),
            "p95_s": high,
            "p99_s": high,
            "repetitions": 1,
        }
        | changes
    )


def test_a_saved_profile_loads_equal_and_saves_to_the_same_text(profile, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "deep" / "b.json"
    profile.save(first)
    loaded = HardwareProfile.load(first)
    loaded.save(second)
    assert set(loaded.measurements) == set(profile.measurements)
    assert HardwareProfile.load(second) == loaded
    assert first.read_text() == second.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.json"]


def test_a_file_holds_one_measurement_a_line_whatever_order_they_came_in(profile, tmp_path):
    path = tmp_path / "a.json"
    profile.save(path)
    lines = path.read_text().splitlines()
    assert sum('"scheme"' in line for line in lines) == len(profile.measurements)
    reordered = profile.adding(measurements=profile.measurements[::-1])
    reordered.save(path)
    assert path.read_text().splitlines() == lines


def test_a_measured_call_is_answered_as_measured(profile):
    wanted = profile.measurements[7]
    estimate = profile.estimate(wanted.shape)
    assert (estimate.latency_s, estimate.quartiles_s) == (wanted.latency_s, wanted.quartiles_s)
    assert (estimate.p95_s, estimate.p99_s) == (wanted.p95_s, wanted.p99_s)
    assert estimate.origin == "measured"


def test_a_call_among_measured_ones_is_interpolated(profile):
    assert profile.estimate(linear(64, 100)).origin == "interpolated"


@pytest.mark.parametrize("shape", [linear(4096, 10), linear(8, 2)])
def test_a_call_outside_the_measured_range_says_how_to_measure_it(profile, shape):
    with pytest.raises(
        UnmeasuredError, match=r"no call w4a8 linear .*mpsearch profile --space SPACE.yaml --out"
    ):
        profile.estimate(shape)


def test_few_measurements_of_a_kind_are_not_interpolated_from(profile):
    conv = next(m.shape.layer for m in profile.measurements if m.shape.layer.operator == "conv2d")
    with pytest.raises(UnmeasuredError):
        profile.estimate(call_step(replace(conv, has_bias=False), INT4))


def test_an_unknown_model_says_how_to_measure_its_remainder(profile):
    assert profile.remainder("0123456789abcdef").latency_s == 2e-5
    assert not profile.has_remainder("f" * 16)
    with pytest.raises(UnmeasuredError, match="mpsearch profile --space"):
        profile.remainder("f" * 16)


def test_adding_replaces_what_was_measured_before_and_keeps_the_rest(profile):
    old = profile.measurements[0]
    new = measured(old.shape, 1.0, 1.0, 1.0)
    grown = profile.adding(measurements=[new], notes=["measured by nobody", "busy"])
    assert grown.estimate(old.shape).latency_s == 1.0
    assert profile.estimate(old.shape).latency_s == old.latency_s
    assert len(grown.measurements) == len(profile.measurements)
    assert grown.notes == ("measured by nobody", "busy")


def test_a_call_measured_twice_is_refused(profile):
    document = profile.to_dict()
    document["measurements"].append(document["measurements"][0])
    with pytest.raises(FormatError, match="once"):
        HardwareProfile.from_dict(document)


@pytest.mark.parametrize(
    "times", [(0.0, 0.0, 0.0), (1.0, 2.0, 3.0), (float("nan"),) * 3, (1.0, 1.0, float("inf"))]
)
def test_impossible_times_are_refused(times):
    median, low, high = times
    with pytest.raises(ConfigError):
        measured(linear(1, 1), median, low, high)


def test_a_remainder_may_take_no_time_at_all():
    remainder = RemainderMeasurement(
        model_fingerprint="0",
        input_shapes=(),
        latency_s=0.0,
        quartiles_s=(0.0, 0.0),
        p95_s=0.0,
        p99_s=0.0,
        repetitions=1,
    )
    assert remainder.latency_s == 0


def test_a_truncated_file_names_itself_and_the_next_step(profile, tmp_path):
    path = tmp_path / "cut.json"
    profile.save(path)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(
        FormatError,
        match=r"cut\.json is truncated.*delete it and measure again: mpsearch profile --out .*/cut\.json$",
    ):
        HardwareProfile.load(path)


def test_a_newer_schema_asks_for_an_upgrade(profile, tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps({"schema": PROFILE_SCHEMA + 1, "whatever": []}))
    with pytest.raises(FormatError, match=r"new\.json has schema 3.*Upgrade mpsearch"):
        HardwareProfile.load(path)


def test_an_older_schema_asks_for_a_new_measurement(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"schema": PROFILE_SCHEMA - 1, "measurements": []}))
    with pytest.raises(FormatError, match=r"old\.json has schema 1.*measure again: mpsearch profile --out"):
        HardwareProfile.load(path)


def test_whole_passes_of_another_model_are_the_median_of_the_measured_ones(profile):
    assert profile.whole_passes("a" * 16).pass_s == 4e-6
    assert profile.has_whole_passes("a" * 16)
    assert not profile.has_whole_passes("b" * 16)
    assert profile.whole_passes("b" * 16).pass_s == pytest.approx(3e-6)
    with pytest.raises(UnmeasuredError, match="mpsearch profile --space"):
        replace(profile, passes=()).whole_passes("a" * 16)


@pytest.mark.parametrize("changes", [{"p95_s": 0.5}, {"p99_s": 0.9}, {"p99_s": float("inf")}])
def test_percentiles_out_of_order_are_refused(changes):
    with pytest.raises(ConfigError, match="in order"):
        measured(linear(1, 1), 1.0, 1.0, 1.0, **changes)


def test_a_profile_without_some_steps_interpolates_them(profile):
    step = linear(32, 64)
    assert profile.estimate(step).origin == "measured"
    assert profile.without({step}).estimate(step).origin == "interpolated"


def test_a_missing_file_and_a_folder_are_typed_errors(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ProfileError, match=f"measure one: mpsearch profile --out {path}"):
            HardwareProfile.load(path)


def test_a_path_that_cannot_be_written_is_a_storage_error_and_leaves_nothing(profile, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StorageError, match=r"another place \(--out\)"):
        profile.save(blocker / "p.json")
    folder = tmp_path / "p.json"
    folder.mkdir()
    with pytest.raises(StorageError):
        profile.save(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "p.json"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_file_is_a_profile_or_a_typed_error(tmp_path, data):
    path = tmp_path / "fuzz.json"
    path.write_bytes(data)
    with pytest.raises(MpsearchError):
        HardwareProfile.load(path)


@FUZZ
@given(data=st.data())
def test_a_profile_with_any_value_replaced_loads_or_is_a_typed_error(profile, tmp_path, data):
    document = copy.deepcopy(profile.to_dict())
    document["measurements"] = document["measurements"][:3]
    place, key = document, None
    while isinstance(place, dict | list) and place and (key is None or data.draw(st.booleans(), "deeper")):
        parent = place
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place = parent[key]
    if isinstance(parent, dict) and data.draw(st.booleans(), "drop"):
        del parent[key]
    else:
        parent[key] = data.draw(JSON | st.sampled_from([-1, 0, 10**400, 1e308, "", [], {}]))
    path = tmp_path / "fuzz.json"
    path.write_text(json.dumps(document))
    try:
        loaded = HardwareProfile.load(path)
    except MpsearchError:
        return
    loaded.save(path)
    assert HardwareProfile.load(path) == loaded


def test_json_that_is_nested_too_deeply_is_a_format_error(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(FormatError):
        HardwareProfile.load(path)


def test_a_profile_of_another_machine_lists_what_differs(profile, fingerprint):
    assert profile.matches(fingerprint) == ()
    assert profile.matches(replace(fingerprint, python="3.13", operating_system="Other")) == ()
    other = replace(fingerprint, cpu_model="Other CPU", isa_features=())
    assert profile.matches(other) == (
        "cpu_model: Test CPU in the profile, Other CPU here",
        "isa_features: avx2 in the profile, none here",
    )
