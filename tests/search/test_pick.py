import dataclasses

import pytest

from mpsearch.errors import BudgetError, ConfigError, RunError
from mpsearch.search.budgets import Budgets
from mpsearch.search.pick import pick_trial


def test_names_pick_the_extremes_of_the_front(finished_run):
    front = finished_run.front.records
    assert pick_trial(finished_run, "fastest").latency_s == min(r.latency_s for r in front)
    assert pick_trial(finished_run, "smallest").memory_bytes == min(r.memory_bytes for r in front)
    assert pick_trial(finished_run, "accurate").accuracy == max(r.accuracy for r in front)
    assert pick_trial(finished_run, "knee").number == finished_run.front.knee().number
    assert pick_trial(finished_run, "best").feasible


def test_a_number_picks_that_trial_on_the_front_or_not(finished_run):
    assert pick_trial(finished_run, 11).number == pick_trial(finished_run, " 11 ").number == 11


def test_conditions_pick_the_most_accurate_that_meets_them_all(finished_run):
    picked = pick_trial(finished_run, "latency < 60us and memory<=30KB and accuracy>50%")
    fitting = [r for r in finished_run.front.records if r.latency_s < 60e-6 and r.memory_bytes <= 30e3]
    assert picked.accuracy == max(r.accuracy for r in fitting)


def test_conditions_may_name_layers_and_be_joined(finished_run):
    picked = pick_trial(finished_run, "not uniform and (head.fc2=w8a8 or block.*!=w1a1)")
    assert picked.number in finished_run.front
    assert picked.policy.uniform_scheme is None


@pytest.mark.parametrize(
    "text", ["", "fast", "latency<", "latency<300", "<3us", "size<3KB", "latency<3us or 4", "-3"]
)
def test_anything_else_is_refused(finished_run, text):
    with pytest.raises(ConfigError):
        pick_trial(finished_run, text)


def test_what_no_trial_meets_is_said(finished_run):
    with pytest.raises(RunError, match="none of the"):
        pick_trial(finished_run, "latency<1ns")
    with pytest.raises(BudgetError):
        pick_trial(finished_run.with_budgets(Budgets(accuracy=1.0)), "best")


def test_a_run_without_trials_is_said(finished_run):
    with pytest.raises(RunError, match="no finished trial"):
        pick_trial(dataclasses.replace(finished_run, records=()), "knee")


def test_a_run_exports_what_is_picked(finished_run, tmp_path):
    picked = []
    run = dataclasses.replace(
        finished_run, exporter=lambda run, record, out, **options: picked.append(record.number) or out
    )
    run.export("fastest", tmp_path)
    run.export(7, tmp_path)
    run.front.knee().export(tmp_path)
    assert picked == [pick_trial(run, "fastest").number, 7, run.front.knee().number]
