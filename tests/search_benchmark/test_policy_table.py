"""Reading tables of trained policies and what their choices cost, ours or anyone's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from search_costs import columns_of, costs_beside, drawn_costs, read_costs
from search_policy_table import read_table, table_of
from search_proxies import proxy_of, usual_proxy

from mpsearch.errors import DataError, FormatError


def test_codes_count_schemes_from_the_lowest_precision(path):
    table = read_table(path)
    assert table.schemes == (("w1a1", "w1.58a8", "w8a8"),) * 3
    assert table.codes[table.rows(np.array([[2, 0, 1]]))[0]].tolist() == [2, 0, 1]
    assert table.mean_scores.argmax() == table.rows(np.array([[2, 2, 2]]))[0]


def test_a_missing_seed_is_left_out_of_the_mean(path, frame):
    table = read_table(path)
    last = table.rows(np.array([[1, 1, 1]]))[0]
    assert np.isnan(table.scores[last]).sum() == 1
    assert table.mean_scores[last] == frame["score"].iloc[-1]
    assert not np.isnan(table.shown_scores(np.random.default_rng(0))).any()


def test_shown_scores_are_of_one_seed_and_follow_from_the_generator(path):
    table = read_table(path)
    shown = table.shown_scores(np.random.default_rng(1))
    assert all(score in of_policy for score, of_policy in zip(shown, table.scores, strict=True))
    assert (shown == table.shown_scores(np.random.default_rng(1))).all()
    assert (shown != table.shown_scores(np.random.default_rng(2))).any()


def test_scores_of_a_policy_come_in_turn_from_the_shown_one_and_none_for_a_missing_seed(path):
    table = read_table(path)
    first, second = table.scores[3]
    assert table.scores_from(3, second).tolist() == [second, first]
    (last,) = table.rows(np.array([[1, 1, 1]]))
    assert table.scores_from(last, table.mean_scores[last]).tolist() == [table.mean_scores[last]]


def test_the_number_of_samples_is_read_off_the_scores(frame):
    assert table_of(frame, "t").samples == 1000
    counted = frame.assign(score=((frame["score"] * 449).round() / 449).astype("float32"))
    assert table_of(counted, "t").samples == 449
    uncounted = frame.assign(score=np.random.default_rng(0).random(len(frame)) * np.pi / 4)
    assert table_of(uncounted, "t").samples == 1000


def test_a_table_that_lacks_a_policy_names_the_first(frame):
    is_kept = (frame["layer.a"] != "w1a1") | (frame["layer.b"] != "w8a8")
    with pytest.raises(DataError, match=r"3 of 27 are missing, the first is \(w1a1, w8a8, w1a1\)"):
        table_of(frame[is_kept], "t")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="score"), r"must have columns .* got 53 rows of layer\.a"),
        (lambda f: f.iloc[:0], "got 0 rows"),
        (lambda f: f.assign(score=100 * f["score"]), "Divide percents by 100"),
        (lambda f: f.assign(score="high"), "must hold numbers"),
        (lambda f: f.assign(seconds=-1.0), "`seconds` must be within 0 to inf; got -1"),
        (lambda f: f.assign(seed=0), "26 of 27 are there several times"),
        (lambda f: f.replace("w1a1", "w1a2"), r"got 'w1a2' in `layer\.a`"),
    ],
)
def test_a_table_that_breaks_a_rule_says_which(frame, change, message):
    with pytest.raises(FormatError, match=message):
        table_of(change(frame), "t")


def test_a_file_that_is_no_table_or_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.parquet, which is not there"):
        read_table(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("seed,score\n")
    with pytest.raises(FormatError, match="must be a Parquet file"):
        read_table(tmp_path / "text.parquet")


def test_costs_that_are_missing_or_no_numbers_are_named(path):
    table, file = read_table(path), costs_beside(path)
    found = json.loads(file.read_text())
    for broken in ({}, {"latency_s": -1.0}, {"latency_s": True}, {"latency_s": "1"}, None):
        file.write_text(json.dumps(found | {"b": found["b"] | {"w1a1": broken}}))
        with pytest.raises(FormatError, match=r"'b' costs at 'w1a1', in numbers from 0"):
            read_costs(file, table)
    file.write_text("{")
    with pytest.raises(FormatError, match="must be JSON"):
        read_costs(file, table)
    file.unlink()
    with pytest.raises(DataError, match=r"no small\.costs\.json"):
        read_costs(file, table)


def test_only_costs_that_all_choices_have_are_columns(path):
    table, file = read_table(path), costs_beside(path)
    found = json.loads(file.read_text())
    found["a"]["w1a1"]["energy_j"] = 1.0
    file.write_text(json.dumps(found))
    assert columns_of(read_costs(file, table)) == ("latency_s", "memory_bytes")


def test_drawn_costs_follow_from_their_number_and_rise_with_bits_where_it_is_even(path):
    costs = read_costs(costs_beside(path), read_table(path))
    assert drawn_costs(costs, 4) == drawn_costs(costs, 4) != drawn_costs(costs, 6)

    def is_rising(number, column):
        return all(
            sorted(values) == values
            for of_choice in drawn_costs(costs, number).values()
            for values in [[entry[column] for entry in of_choice.values()]]
        )

    assert all(is_rising(number, "latency_s") for number in range(0, 16, 2))
    assert not all(is_rising(number, "latency_s") for number in range(1, 16, 2))
    assert all(is_rising(number, "memory_bytes") for number in range(16))


def test_a_proxy_is_what_each_choice_loses_alone_and_charged_its_seconds(path, frame):
    table = read_table(path)
    assert usual_proxy(table) == "ptq"
    found = proxy_of(table, "ptq", seed=0)
    assert found.seconds == pytest.approx(7 * 0.25)
    assert [losses[-1] for losses in found.proxy.losses] == [0.0, 0.0, 0.0]
    best, lowered = (table.lower["ptq"][table.rows(np.array([codes]))[0]] for codes in ([2, 2, 2], [2, 2, 0]))
    assert found.proxy.losses[2][0] == pytest.approx(np.log(best / lowered))
    assert proxy_of(table, "one-layer", seed=0).seconds == pytest.approx(7 * 2.0)
    without = table_of(frame.drop(columns="score_ptq"), "t")
    assert usual_proxy(without) == "one-layer"
    with pytest.raises(DataError, match="needs the column `score_ptq`"):
        proxy_of(without, "ptq", seed=0)


def test_a_sabotaged_proxy_says_the_opposite_or_nothing(path):
    table = read_table(path)
    usual, reverse = (proxy_of(table, kind, seed=0).proxy for kind in ("ptq", "reversed"))
    for right, wrong in zip(usual.losses, reverse.losses, strict=True):
        assert right + wrong == pytest.approx(np.full(3, right.max()))
    assert proxy_of(table, "none", seed=0).proxy is None
    one, two = (proxy_of(table, "random", seed=seed).proxy for seed in (0, 1))
    assert any((a != b).any() for a, b in zip(one.losses, two.losses, strict=True))
