"""What the events of a search add up to."""

from __future__ import annotations

import dataclasses

import pytest

from mpsearch.report.budget_status import budget_statuses
from mpsearch.report.search_state import NEW_S, SearchState
from mpsearch.search.budgets import Budgets
from mpsearch.search.events import StageStarted, TrialFinished, TrialProgress, TrialStarted


def after(events) -> SearchState:
    state = SearchState(clock=lambda: 0.0)
    for event in events:
        state.update(event)
    return state


def test_it_ends_up_with_what_the_run_holds(finished_run, search_story):
    state = after(search_story(finished_run))
    assert state.finished == len(finished_run.records)
    assert set(state.front) == set(finished_run.front.numbers)
    assert state.knee == finished_run.front.knee().number
    assert state.best.number == finished_run.front.best().number
    assert state.hypervolumes[-1] == pytest.approx(finished_run.hypervolume)
    assert [record.number for record in state.failures] == [29]
    assert state.running == []


def test_trials_of_earlier_calls_are_there_from_the_start(finished_run, search_story, search_started):
    whole = after(search_story(finished_run))
    resumed = after(search_story(finished_run, earlier=12))
    assert resumed.hypervolumes == pytest.approx(whole.hypervolumes)
    assert resumed.front == whole.front
    begun = after([search_started(finished_run, earlier=12)])
    assert begun.finished == len(begun.hypervolumes) == 12
    assert begun.best is not None


def test_the_rate_of_trials_trained_together_is_right_from_the_first_batch_on(finished_run, search_started):
    """Eight trials of one worker end together after 16 s, 2 s the share of each."""
    now = [0.0]
    state = SearchState(clock=lambda: now[0])
    state.update(dataclasses.replace(search_started(finished_run), batch=8, total=24))
    assert len(state.slots) == 8
    trained = [record for record in finished_run.records if record.is_complete and record.steps][:8]
    for record in trained:
        state.update(TrialStarted(number=record.number, policy=record.policy, origin=record.origin))
    now[0] = 16.0
    for finished, record in enumerate(trained, start=1):
        state.update(
            TrialFinished(
                record=dataclasses.replace(record, seconds=2.0),
                finished=finished, total=24, front=(), knee=None, hypervolume=0.0, best=None, waiting=0,
            )
        )  # fmt: skip
    assert state.trials_per_hour == pytest.approx(1800)
    assert state.estimate().left_s == pytest.approx(32)


def test_each_worker_keeps_its_place(finished_run, search_story):
    state = SearchState(clock=lambda: 0.0)
    places = {}
    for event in search_story(finished_run, workers=3):
        state.update(event)
        if isinstance(event, TrialStarted):
            numbers = [trial.number if trial else None for trial in state.slots]
            places[event.number] = numbers.index(event.number)
        if isinstance(event, TrialProgress) and event.number in places:
            assert state.slots[places[event.number]].number == event.number
        assert len(state.slots) <= 3
    assert set(places.values()) == {0, 1, 2}


def test_a_trial_is_new_on_the_front_for_some_seconds(finished_run, search_story):
    now = [0.0]
    state = SearchState(clock=lambda: now[0])
    for event in search_story(finished_run):
        state.update(event)
        if isinstance(event, TrialFinished) and event.on_front:
            assert event.record.number in state.new()
            now[0] += NEW_S + 1
            assert state.new() == frozenset()


def test_stages_are_timed(finished_run, search_started):
    now = [0.0]
    state = SearchState(clock=lambda: now[0])
    state.update(StageStarted(stage="task", detail="task digits"))
    now[0] = 3.0
    state.update(search_started(finished_run))
    now[0] = 10.0
    assert state.stage_s("task") == 3.0
    assert state.stage_s("search") == 7.0
    assert state.stage_s("test") is None


def test_budgets_tell_how_many_keep_them_the_best_of_these_and_the_nearest_miss(finished_run):
    records = finished_run.records
    memory = sorted(record.memory_bytes for record in records if record.is_complete)
    middle = memory[len(memory) // 2]
    budgets = Budgets(memory_bytes=middle, latency_s=1e-9)
    fits, never, together = _by_name(budgets, records)
    assert fits.met == sum(size <= middle for size in memory)
    assert fits.finished == len(memory)
    best = max((r for r in records if r.is_complete and r.memory_bytes <= middle), key=lambda r: r.accuracy)
    assert fits.best == best
    assert fits.nearest is None
    fastest = min((r for r in records if r.is_complete), key=lambda r: r.latency_s)
    assert (never.met, never.best, never.nearest) == (0, None, fastest)
    assert never.excess == pytest.approx(fastest.latency_s / 1e-9 - 1)
    assert (together.name, together.met) == (None, 0)


def _by_name(budgets, records):
    statuses = {status.name: status for status in budget_statuses(budgets, records)}
    return statuses["memory"], statuses["latency"], statuses[None]


def test_one_budget_needs_no_line_for_all_and_none_has_none(finished_run):
    assert [s.name for s in budget_statuses(Budgets(accuracy=0.5), finished_run.records)] == ["accuracy"]
    assert budget_statuses(Budgets(), finished_run.records) == ()
    (unknown,) = budget_statuses(Budgets(accuracy=0.5), [])
    assert (unknown.met, unknown.finished, unknown.nearest) == (0, 0, None)
