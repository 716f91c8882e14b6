"""New budgets on a run that is there: what is known answers first."""

import pytest

from mpsearch.search.engine import run_search
from mpsearch.search.events import Notice


@pytest.fixture
def search(space, tmp_path, profile, training):
    def call(**changes):
        told = []
        defaults = {"space": space, "out": tmp_path / "run", "profile": profile, "trials": 12}
        run = run_search(
            **{
                **defaults,
                "on_event": lambda e: told.append(e.message) if isinstance(e, Notice) else 0,
                **changes,
            }
        )
        return run, [message for message in told if "rained" in message]

    return call


def test_new_budgets_on_a_finished_run_name_its_best_trial_and_train_nothing(search, training):
    run, told = search()
    assert told == []
    trained = len(training.trained)
    bound = sorted(record.memory_bytes for record in run.records)[4]
    judged, told = search(budgets={"memory": f"{bound}B"})
    best = judged.front.best()
    assert len(told) == 1
    assert (
        f"trial {best.number} is the best of 12 that are trained: accuracy {100 * best.accuracy:.2f}%"
        in told[0]
    )
    assert "Give --trials to train more" in told[0]
    assert len(training.trained) == trained


def test_with_trials_left_only_what_is_missing_is_trained(search, training):
    run, _ = search()
    trained = len(training.trained)
    bound = sorted(record.memory_bytes for record in run.records)[4]
    judged, told = search(budgets={"memory": f"{bound}B"}, trials=15)
    assert "Up to 3 more are trained." in told[0]
    assert len(training.trained) == trained + 3
    assert all(record.memory_bytes <= bound for record in judged.records[12:])


def test_budgets_that_no_trial_meets_say_so(search):
    run, _ = search()
    best = max(record.accuracy for record in run.records if record.policy.uniform_scheme is None)
    _, told = search(budgets={"accuracy": "100%", "memory": f"{min(r.memory_bytes for r in run.records)}B"})
    assert best <= 1
    assert "none of the 12 policies that are trained will do" in told[0]


def test_the_same_budgets_again_say_nothing_of_them(search):
    search(budgets={"memory": "1MB"})
    assert search(budgets={"memory": "1MB"})[1] == []
