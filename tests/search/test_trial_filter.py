import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.trial_filter import TrialFilter

LAYERS = ("conv1", "block.conv2", "block.conv3", "head.fc1", "head.fc2")


@pytest.fixture
def kept(finished_run):
    """A function: the numbers of the trials that a filter keeps."""

    def numbers(text):
        wanted = TrialFilter.parse(text, LAYERS)
        return {record.number for record in finished_run.records if wanted.keeps(finished_run, record)}

    return numbers


def test_quantities_are_compared_with_their_units(finished_run, kept):
    records = [record for record in finished_run.records if record.is_complete]
    assert kept("latency < 60us") == {r.number for r in finished_run.records if r.latency_s < 60e-6}
    assert kept("memory>=30 KB") == {r.number for r in finished_run.records if r.memory_bytes >= 30e3}
    assert kept("accuracy≥90%") == kept("accuracy >= 0.9") == {r.number for r in records if r.accuracy >= 0.9}
    assert kept("latency_p95<=70µs") == {r.number for r in finished_run.records if r.latency_p95_s <= 70e-6}
    assert kept("energy>0.1uJ") == {r.number for r in finished_run.records if r.energy_j > 1e-7}
    assert kept("trial=7") == {7}
    assert kept("trial!=7 and trial<9") == {0, 1, 2, 3, 4, 5, 6, 8}


def test_factors_are_over_32_bits(finished_run, kept):
    base = finished_run.baseline.costs
    fast = {r.number for r in finished_run.records if base.latency_s / r.latency_s > 1.2}
    small = {r.number for r in finished_run.records if base.memory_bytes / r.memory_bytes >= 8}
    assert fast
    assert small
    assert kept("faster>1.2x") == fast
    assert kept("smaller >= 8") == small


def test_flags_name_what_is_special(finished_run, kept):
    assert kept("front") == set(finished_run.front.numbers)
    assert kept("uniform") == {0, 1, 2, 3, 4, 5}
    assert kept("feasible") == {record.number for record in finished_run.records if record.feasible}


def test_a_layer_is_named_exactly_or_by_a_glob_that_all_its_matches_must_meet(finished_run, kept):
    def those(holds):
        return {r.number for r in finished_run.records if holds(r.policy)}

    w8, w1 = SCHEMES["w8a8"], SCHEMES["w1a1"]
    assert kept("conv1=w8a8") == those(lambda p: p["conv1"] == w8)
    assert kept("block.*!=w1a1") == those(lambda p: w1 not in {p["block.conv2"], p["block.conv3"]})
    assert kept("head.fc[12]=w8a8,w32a32") == those(
        lambda p: {p["head.fc1"].name, p["head.fc2"].name} <= {"w8a8", "w32a32"}
    )
    assert kept("*>=w4a8") == those(lambda p: all(scheme.weight_bits >= 4 for scheme in p.values()))


def test_not_binds_closer_than_and_and_and_closer_than_or(kept):
    assert kept("trial=1 or trial=2 and trial=3") == {1}
    assert kept("(trial=1 or trial=2) and not trial=1") == {2}
    assert kept("not trial<28 AND not trial=29") == {28}


def test_what_is_unknown_meets_no_comparison(finished_run, kept):
    assert 29 not in kept("accuracy<1") | kept("accuracy>=0")  # it failed
    assert kept("test>0") == set()
    scored = dataclasses.replace(finished_run, test_scores={3: 0.9})
    wanted = TrialFilter.parse("test>0", LAYERS)
    assert [r.number for r in scored.records if wanted.keeps(scored, r)] == [3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("latency", "compared with nothing"),
        ("latency<", "compared with nothing"),
        ("latency<300", "positive number with a unit"),
        ("<3us", "a condition is missing"),
        ("size<3KB", "neither a quantity nor a layer"),
        ("latncy<3us", "did you mean latency"),
        ("latency<3us or 4", "'4' is compared with nothing"),
        ("latency<3us memory<4KB", "'memory' has nothing before it"),
        ("(front", "parenthesis is not closed"),
        ("front)", "nothing before it"),
        ("front and", "ends too early"),
        ("accuracy=0.9", "never exactly"),
        ("conv1=w9a9", "no scheme"),
        ("conv9=w8a8", "did you mean conv1"),
        ("conv1<w8a8,w4a8", "one scheme"),
        ("faster>x", "factor"),
        ("trial<1.5", "whole number"),
        ("front ! uniform", "'!' has nothing before it"),
        ("(" * 9999, "inside one another"),
        ("not " * 9999 + "front", "inside one another"),
    ],
)
def test_what_breaks_the_grammar_is_refused_with_the_reason(text, said):
    with pytest.raises(ConfigError, match=said):
        TrialFilter.parse(text, LAYERS)


@pytest.mark.parametrize(
    "text",
    [
        "latency<300us and accuracy>=90%",
        "not (front or uniform)",
        "(front or feasible) and (block.*!=w1a1 or trial=3)",
        "not not head.fc1=w4a8,w8a8",
        "faster>5x or smaller>=2.5",
    ],
)
def test_its_text_parses_to_the_same_filter(text):
    parsed = TrialFilter.parse(text, LAYERS)
    assert str(parsed) == text
    assert TrialFilter.parse(str(parsed), LAYERS) == parsed


WORDS = ["(", ")", "not", "and", "or", "front", "latency", "<", "=", "3us", "conv1", "w8a8", "!", "*", "90 %"]


@given(st.lists(st.sampled_from(WORDS)).map(" ".join) | st.text())
def test_no_text_raises_anything_but_a_config_error_and_what_parses_parses_again(text):
    try:
        parsed = TrialFilter.parse(text, LAYERS)
    except ConfigError:
        return
    assert TrialFilter.parse(str(parsed), LAYERS) == parsed
