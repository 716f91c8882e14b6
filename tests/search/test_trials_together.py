"""Whole searches whose workers train several policies together."""

from contextlib import suppress

import pytest

from mpsearch.search.engine import run_search
from mpsearch.search.events import Notice, SearchStarted, TrialProgress, TrialStarted
from mpsearch.search.run import load_run

TRIAL = "steps: 2, high_bit_steps: 1, batch_size: 32, calibration_samples: 32, bn_samples: 32"


@pytest.fixture
def search(space_of, tmp_path, profile):
    """A function: the run of a search of batches of four, and its events; `trial` are further settings."""

    def call(trial="", trials=9, is_last=lambda event: False):
        space = space_of(
            search=f"{{trials: {trials}, workers: 0, batch: 4}}", trial=f"{{{TRIAL}{trial and ', ' + trial}}}"
        )
        events = []

        def on_event(event):
            events.append(event)
            if is_last(event):
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            run_search(space=space, out=tmp_path / "run", profile=profile, on_event=on_event)
        return load_run(tmp_path / "run"), events

    return call


def begun(events):
    return [event.number for event in events if isinstance(event, TrialStarted)]


def test_a_search_of_batches_says_so_and_records_every_trial(search):
    run, events = search()
    (started,) = (event for event in events if isinstance(event, SearchStarted))
    assert (started.workers, started.batch) == (1, 4)
    assert [record.number for record in run.records] == list(range(9))
    assert len({record.policy for record in run.records}) == 9
    assert all(record.is_complete for record in run.records)
    assert begun(events) == list(range(9))


def test_a_batch_that_is_interrupted_is_taken_up_again_with_the_same_policies(search):
    halfway, events = search(is_last=lambda e: isinstance(e, TrialProgress) and e.number >= 4)
    assert [record.number for record in halfway.records] == [0, 1, 2, 3]
    lost = {e.number: e.policy for e in events if isinstance(e, TrialStarted) and e.number >= 4}
    assert lost.keys() == {4, 5, 6, 7}
    run, events = search()
    assert begun(events) == list(range(4, 9))
    assert [record.number for record in run.records] == list(range(9))
    assert {record.number: record.policy for record in run.records if record.number in lost} == lost


def test_calibration_alone_may_be_the_first_fidelity_of_a_batch(search):
    run, _ = search(trial="fidelities: [0, 1]")
    assert len(run.records) == 9
    for record in run.records:
        assert [(rung.share, rung.steps) for rung in record.rungs] == [(0.0, 0)]


def test_a_recipe_that_trains_one_policy_at_a_time_does_so_from_the_start(search):
    _, events = search(trial="ema: 0.9", trials=2)
    (started,) = (event for event in events if isinstance(event, SearchStarted))
    assert (started.workers, started.batch) == (1, 1)
    told = [event.message for event in events if isinstance(event, Notice)]
    assert any("one by one. `ema: 0.9` trains one policy at a time." in text for text in told)
