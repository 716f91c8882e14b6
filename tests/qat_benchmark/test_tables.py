"""What tables say follows from the finished runs; page and package hold what the results file says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qat_page import PAGE, RANKINGS, TABLES, rankings, read_results, renewed_page
from qat_results import results
from qat_row import Row
from qat_run import PolicyRule, Run, Workload, uniform
from qat_text import mean_text, printed

WORKLOAD = Workload(name="digits-mlp", task="digits", args={"model": "mlp"})
BASELINE = {
    "key": "b",
    "score": 0.9,
    "loss": 0.5,
    "test": 0.8,
    "train_samples": 900,
    "validation_samples": 100,
}


def runs_of(count, **settings):
    one = Run(workload=WORKLOAD, rule=uniform("w1.58a8"), settings={"batch_size": 90, **settings})
    return tuple(replace(one, seed=seed) for seed in range(count))


def finished(runs, scores, **more):
    shared = {"baseline": BASELINE, "steps": 20, "seconds": 3.0, "calibrated": 0.2, "loss": 0.5, "test": 0.7}
    return {
        run.key: {"key": run.key, "score": score, "share": run.share, "seed": run.seed, **shared, **more}
        for run, score in zip(runs, scores, strict=False)
    }


def test_a_row_is_the_mean_and_deviation_of_what_is_lost():
    row = Row(table="t", label="l", runs=runs_of(3), most_lost=2.0)
    (line,) = results({"bars": [row]}, finished(row.runs, (0.88, 0.89, 0.9)))["bars"]
    assert line["lost"] == pytest.approx(1.0)
    assert line["spread"] == pytest.approx(1.0)
    assert line["test_lost"] == pytest.approx(10.0)
    assert line["calibrated_lost"] == pytest.approx(70.0)
    assert line["epochs"] == pytest.approx(2.0)
    assert line["is_met"] is True
    strict = replace(row, most_lost=0.9)
    assert results({"bars": [strict]}, finished(row.runs, (0.88, 0.89, 0.9)))["bars"][0]["is_met"] is False


def test_nothing_lost_has_no_sign():
    assert [mean_text(value, None) for value in (-0.001, 0.001, -0.01)] == ["0.00", "0.00", "-0.01"]


def test_a_loss_is_compared_in_nats():
    row = Row(table="t", label="l", runs=runs_of(2), measure="loss")
    (line,) = results({"bars": [row]}, finished(row.runs, (0.1, 0.1), loss=0.56))["bars"]
    assert line["lost"] == pytest.approx(0.06)


def test_a_row_says_how_many_seeds_it_has_and_a_row_without_any_is_left_out():
    row, other = (Row(table="t", label=str(k), runs=runs_of(3, steps=k)) for k in (5, 6))
    (line,) = results({"bars": [row, other]}, finished(row.runs[:2], (0.8, 0.9)))["bars"]
    assert (line["label"], line["seeds"], line["seeds_wanted"]) == ("5", 2, 3)


def test_runs_that_diverged_are_counted_and_miss_their_bar():
    row = Row(table="t", label="l", runs=runs_of(1), most_lost=5.0)
    (line,) = results({"bars": [row]}, finished(row.runs, (None,), failure="The loss was nan."))["bars"]
    assert (line["diverged"], line["lost"], line["is_met"]) == (1, None, False)
    assert "diverged" in printed({"bars": [line]})


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [((0.81, 0.82, 0.83), "better"), ((0.71, 0.72, 0.73), "worse"), ((0.7, 0.9, 0.85), "none")],
)
def test_rivals_are_compared_seed_by_seed(scores, verdict):
    rival = Row(table="t", label="rival", runs=runs_of(3, ternary="twn"))
    row = Row(table="t", label="seq", runs=runs_of(3, ternary="seq"), against="rival", expected=True)
    done = finished(rival.runs, (0.76, 0.77, 0.775)) | finished(row.runs, scores)
    line = results({"families": [rival, row]}, done)["families"][1]
    assert line["gain"] == pytest.approx(100 * (np.mean(scores) - np.mean((0.76, 0.77, 0.775))))
    assert line["verdict"] == verdict


@pytest.mark.parametrize("scores", [(0.77, 0.78, 0.79), (0.8, 0.8)])
def test_a_difference_of_one_sample_or_of_two_seeds_is_no_verdict(scores):
    rival = Row(table="t", label="rival", runs=runs_of(3, ternary="twn"))
    row = Row(table="t", label="seq", runs=runs_of(3, ternary="seq"), against="rival")
    done = finished(rival.runs, (0.76, 0.77, 0.78)) | finished(row.runs, scores)
    assert results({"families": [rival, row]}, done)["families"][1]["verdict"] == "none"


def test_a_difference_in_the_loss_alone_says_so():
    rival = Row(table="t", label="rival", runs=runs_of(3, ternary="twn"))
    row = Row(table="t", label="seq", runs=runs_of(3, ternary="seq"), against="rival")
    done = finished(rival.runs, (0.7, 0.7, 0.7)) | finished(row.runs, (0.7, 0.7, 0.7), loss=0.4)
    line = results({"families": [rival, row]}, done)["families"][1]
    assert (line["verdict"], line["gain"]) == ("better in nats", 0)
    assert line["gain_nats"] == pytest.approx(0.1)


def ranked(short, long, calibrated=0.3):
    rows, done = [], {}
    for place, scores in enumerate(zip(short, long, strict=True)):
        whole = Run(workload=WORKLOAD, rule=PolicyRule(space="digits", draw=place), settings={})
        runs = (replace(whole, share=0.1), whole, replace(whole, seed=1))
        policy = {"layer": str(place)}
        for run, score in zip(runs, (*scores, -scores[1]), strict=True):
            done |= finished([run], [score], policy=policy, calibrated=calibrated, loss=1 - score**2)
        rows.append(Row(table="t", label=str(place), runs=runs))
    return results({"ranking": rows}, done)["ranking"]


def test_tau_is_one_where_the_order_is_kept_and_none_where_all_scores_are_equal():
    long = [0.1 * place for place in range(9)]
    calibrated, trial, again = ranked([0.05 * place for place in range(9)], long)
    assert (trial["share"], trial["tau"], trial["policies"]) == (0.1, 1.0, 9)
    assert (trial["low"], trial["high"]) == (1.0, 1.0)
    assert (calibrated["share"], calibrated["tau"]) == (0.0, None)
    assert (again["share"], again["tau"]) == (1.0, -1.0)
    assert [line["tau_loss"] for line in (calibrated, trial, again)] == [None, 1.0, 1.0]
    assert ranked(long[::-1], long)[1]["tau"] == -1.0


def test_a_policy_that_was_drawn_twice_counts_once():
    rows, done = [], {}
    for place in range(12):
        whole = Run(workload=WORKLOAD, rule=PolicyRule(space="digits", draw=place), settings={})
        runs = (replace(whole, share=0.1), whole)
        done |= finished(runs, (place, place), policy={"layer": str(place // 2 + place % 2 * 3)})
        rows.append(Row(table="t", label=str(place), runs=runs))
    distinct = len({record["policy"]["layer"] for record in done.values()})
    assert results({"ranking": rows}, done)["ranking"][-1]["policies"] == distinct < 12


def test_one_seed_twice_must_be_equal_and_another_must_not():
    once = Run(workload=WORKLOAD, rule=uniform("w4a8"), settings={})
    runs = (replace(once, repeat=1), replace(once, repeat=2), replace(once, repeat=1, seed=1))
    row = Row(table="t", label="l", runs=runs)
    told = {}
    for weights in ("aab", "aba", "aaa"):
        done = {
            run.key: {"weights": letter, "score": 0.5, "steps": 3, "threads": 1}
            for run, letter in zip(runs, weights, strict=True)
        }
        (line,) = results({"determinism": [row]}, done)["determinism"]
        told[weights] = (line["is_equal"], line["other_seed_differs"])
    assert told == {"aab": (True, True), "aba": (False, False), "aaa": (True, False)}


@pytest.fixture(scope="module")
def found():
    return read_results()


def test_the_page_holds_the_tables_of_the_results_file(found):
    page = PAGE.read_text(encoding="utf-8")
    assert renewed_page(page, found) == page
    assert all(f"<!-- table: {name} -->" in page for name in TABLES)


def test_what_runs_are_told_of_rankings_is_what_was_measured(found):
    assert RANKINGS.read_text(encoding="utf-8") == rankings(found)
