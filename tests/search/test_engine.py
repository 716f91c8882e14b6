import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import BudgetError, ConfigError, FormatError, RunError, StorageError, TrialError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.engine import run_search
from mpsearch.search.events import (
    Notice,
    SearchFinished,
    SearchStarted,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.history import run_history
from mpsearch.search.objective import minimised
from mpsearch.search.run import load_run


@pytest.fixture
def search(space, tmp_path, profile, training):
    """`run_search` on the tiny space with training faked; keyword arguments replace the defaults."""

    def call(**changes):
        arguments = {"space": space, "out": tmp_path / "run", "profile": profile, **changes}
        return run_search(**arguments)

    return call


def policies(run):
    return [record.policy for record in run.records]


def test_the_uniform_policies_come_first_then_the_sampler(search):
    run = search()
    assert [r.origin for r in run.records] == ["anchor"] * 5 + ["sampler"] * 7
    assert [r.policy.uniform_scheme.name for r in run.records[:5]] == [
        "w32a32",
        "w8a8",
        "w4a8",
        "w1.58a8",
        "w1a1",
    ]
    assert [r.number for r in run.records] == list(range(12))


def test_no_policy_is_ever_trained_twice(search, training):
    search(trials=60)
    assert len(training.trained) == len(set(training.trained)) == 60


def test_the_front_is_mutually_non_dominated_and_holds_every_trial_that_none_dominates(search):
    run = search(trials=30)
    points = minimised(
        np.array([[getattr(r, o.field) for o in run.objectives] for r in run.records]), run.objectives
    )
    kept = [r.number for r, keep in zip(run.records, non_dominated(points), strict=True) if keep]
    assert sorted(run.front.numbers) == kept
    assert non_dominated(minimised(run.front.points(), run.objectives)).all()


def test_weights_are_kept_for_the_front_and_no_other_trial(search, tmp_path):
    run = search()
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {f"{number}.safetensors" for number in run.front.numbers}
    off_front = next(r.number for r in run.records if r.number not in run.front)
    assert run.checkpoint(run.front[0].number).exists()
    with pytest.raises(RunError, match="kept for the trials on the front"):
        run.checkpoint(off_front)


@pytest.mark.parametrize("sampler", ["mpsearch", "tpe", "nsga2", "gp", "random"])
def test_one_seed_gives_one_search(search, tmp_path, sampler):
    first = search(out=tmp_path / "a", sampler=sampler, seed=3)
    second = search(out=tmp_path / "b", sampler=sampler, seed=3)
    assert policies(first) == policies(second)
    assert [r.score for r in first.records] == [r.score for r in second.records]


def test_another_seed_gives_another_search(search, tmp_path):
    assert policies(search(out=tmp_path / "a", seed=1)) != policies(search(out=tmp_path / "b", seed=2))


@pytest.mark.parametrize("sampler", ["mpsearch", "tpe", "nsga2", "random"])
def test_a_search_in_pieces_equals_one_in_one_go(search, tmp_path, sampler):
    budgets = {"memory": "1000B"}
    whole = search(out=tmp_path / "whole", trials=40, sampler=sampler, budgets=budgets)
    for trials in (3, 7, 22, 23, 40):
        pieces = search(out=tmp_path / "pieces", trials=trials, sampler=sampler, budgets=budgets)
    assert policies(pieces) == policies(whole)


def test_a_finished_search_trains_nothing_more(search, training):
    search()
    training.trained.clear()
    assert len(search().records) == 12
    assert training.trained == []


def test_a_budget_that_no_policy_meets_is_refused_before_any_training(search, training, monkeypatch):
    def trained(*args, **kwargs):
        raise AssertionError("the baseline was trained")

    monkeypatch.setattr("mpsearch.search.preparation.trained_baseline", trained)
    with pytest.raises(BudgetError, match=r"smallest reachable memory is \d+ B, at all-w1"):
        search(budgets={"memory": "100B"})
    with pytest.raises(BudgetError, match=r"smallest reachable latency is .* at all-w1a1"):
        search(budgets={"latency": "1ns"})
    assert training.trained == []


def test_a_refused_search_leaves_no_folder_and_can_be_repeated(search, tmp_path):
    for _ in range(2):
        with pytest.raises(BudgetError):
            search(budgets={"memory": "100B"})
        assert not (tmp_path / "run").exists()
    assert search().records


def test_a_refused_search_leaves_a_folder_that_was_there_as_it_was(search, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(BudgetError):
        search(budgets={"memory": "100B"})
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / "log.txt").write_text("mine\n")
    with pytest.raises(BudgetError):
        search(budgets={"memory": "100B"})
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.txt"]
    (tmp_path / "run" / "thesis.txt").write_text("keep me")
    with pytest.raises(RunError, match=r"holds 'thesis.txt'"):
        search()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["log.txt", "thesis.txt"]


def test_a_refused_search_keeps_the_profile_that_it_measured(search, tmp_path, profile, monkeypatch):
    def measured(*, on_measured, **_):
        on_measured(profile)
        return profile

    monkeypatch.setattr("mpsearch.search.preparation.profile_machine", measured)
    with pytest.raises(BudgetError):
        search(profile=None, budgets={"memory": "100B"})
    assert (tmp_path / "run" / "profile.json").exists()
    monkeypatch.delattr("mpsearch.search.preparation.profile_machine")
    assert search(profile=None).records


def test_a_refused_continuation_takes_nothing_from_a_run(search, tmp_path):
    before = search()
    with pytest.raises(BudgetError):
        search(budgets={"memory": "100B"}, trials=20)
    assert search().records == before.records


def test_budgets_that_can_be_met_alone_but_not_together_are_refused(search, profile):
    # Where few bits are slow, small and fast exclude each other.
    slowest_first = {name: len(SCHEMES) - place for place, name in enumerate(SCHEMES)}

    def slowed(m):
        seconds = m.shape.layer.macs * slowest_first[m.shape.scheme.name] * 1e-8
        return replace(m, latency_s=seconds, quartiles_s=(seconds,) * 2, p95_s=seconds, p99_s=seconds)

    odd = replace(
        profile,
        measurements=tuple(slowed(m) if m.shape.layer else m for m in profile.measurements),
    )
    with pytest.raises(BudgetError, match="together"):
        search(profile=odd, budgets={"memory": "450B", "latency": "10us"})


def test_policies_that_are_known_to_cost_too_much_are_not_trained_but_anchors_are(search):
    run = search(budgets={"memory": "1000B"}, trials=40)
    chosen = [r for r in run.records if r.origin != "anchor"]
    assert chosen
    assert all(r.memory_bytes <= 1000 for r in chosen)
    assert any(r.memory_bytes > 1000 for r in run.records if r.origin == "anchor")
    assert {r.feasible for r in run.records if r.origin == "anchor"} == {True, False}


def test_a_space_that_is_exhausted_ends_the_search_and_says_so(search, space_of, training):
    events = []
    small = space_of(layers='[{match: "0", schemes: [w4a8, w8a8]}, {match: "*", pin: w8a8}]')
    run = search(space=small, trials=50, on_event=events.append)
    assert len(run.records) == 2
    assert events[-1].reason == "exhausted"
    assert "2 trials" in events[-1].message


def test_budgets_exhaust_a_space_too(search):
    events = []
    run = search(budgets={"memory": "560B"}, trials=100, on_event=events.append)
    assert len(run.records) < 100
    assert events[-1].reason == "exhausted"


def test_a_trial_that_fails_is_recorded_with_its_reason_and_the_search_goes_on(search, training, answer_with):
    def answer(place, policy):
        if place == 2:
            raise TrialError("The loss must stay finite; it was nan at step 1 of 2.")
        if place == 6:
            raise ZeroDivisionError("in the user's metric")
        return answer_with(math.nan) if place == 7 else None

    training.answer = answer
    run = search()
    failed = {r.number: r.failure for r in run.records if not r.is_complete}
    assert failed[2].startswith("TrialError: The loss must stay finite")
    assert failed[6] == "ZeroDivisionError: in the user's metric"
    assert "must be finite; got nan" in failed[7]
    assert len(run.records) == 12
    assert sorted(run.trials["state"].unique()) == ["complete", "failed"]
    assert all(number not in failed for number in run.front.numbers)


@pytest.mark.parametrize(("threads", "is_told"), [(1, False), (2, False), (3, True)])
def test_threads_that_the_profile_does_not_know_are_told(search, profile, threads, is_told):
    seen = []
    search(profile=replace(profile, threads=2), threads=threads, on_event=seen.append)
    told = [event.message for event in seen if isinstance(event, Notice) and "thread(s)" in event.message]
    assert [message[:36] for message in told] == ["Latencies are those of 2 thread(s), "] * is_told


def test_ten_failures_in_a_row_for_one_reason_stop_the_search_with_it(search, training):
    def answer(place, policy):
        raise TrialError(f"The loss must stay finite; it was nan at step {place}.")

    training.answer = answer
    with pytest.raises(TrialError, match=r"10 trials in a row.*it was nan at step 9"):
        search(trials=20)
    assert len(training.trained) == 10


def test_what_failed_while_everything_did_is_tried_again_once_that_is_mended(search, training):
    def answer(place, policy):
        if 1 <= place <= 10:
            raise MemoryError("the machine was full")

    training.answer = answer
    with pytest.raises(TrialError, match=r"same command again: their policies come again.*another --out"):
        search(trials=20)
    failed = training.trained[1:]
    assert len(failed) == 10
    training.answer = None
    again = search(trials=20)
    tried = training.trained[11:]
    uniform = {policy for policy in failed if policy.uniform_scheme is not None}
    assert uniform
    assert uniform <= set(tried)
    assert len(tried) == len(set(tried)) == 9
    assert {r.policy for r in again.records if r.is_complete} == {training.trained[0], *tried}


def test_a_policy_that_failed_alone_is_not_tried_again(search, training):
    def answer(place, policy):
        if place in (1, 2, 3):
            raise MemoryError("for this one")

    training.answer = answer
    search(trials=6)
    training.answer = None
    search(trials=12)
    assert len(training.trained) == len(set(training.trained)) == 12


def test_ten_failures_for_two_reasons_do_not_stop_it(search, training):
    def answer(place, policy):
        raise ValueError("this" if place % 2 else "that")

    training.answer = answer
    run = search(trials=20)
    assert len(run.records) == 20
    assert len(run.front) == 0
    assert run.hypervolume == 0


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(search, training, tmp_path):
    events = []

    def answer(place, policy):
        if place == 7:
            raise KeyboardInterrupt

    training.answer = answer
    with pytest.raises(KeyboardInterrupt):
        search(on_event=events.append)
    assert isinstance(events[-1], SearchFinished)
    assert events[-1].reason == "interrupted"
    assert "same command" in events[-1].resume
    assert len(load_run(tmp_path / "run").records) == 7
    training.answer = None
    run = search()
    assert [r.number for r in run.records] == list(range(12))
    # The one that ran when it was interrupted was begun again, not forgotten.
    assert policies(run)[7] == training.trained[7] == training.trained[8]


def test_time_that_is_over_ends_the_search_with_a_hint(search):
    events = []
    run = search(timeout_s=1e-9, on_event=events.append)
    assert run.records == ()
    assert events[-1].reason == "timeout"
    assert "same command" in events[-1].resume


def test_a_folder_of_another_search_is_refused_with_what_differs(search, space_of):
    search(trials=2)
    with pytest.raises(RunError, match=r"search.seed differs"):
        search(seed=7)
    with pytest.raises(RunError, match=r": trial.steps, .* differ\."):
        search(space=space_of(objectives="[accuracy, energy]", trial="{steps: 9}"))


def test_another_profile_in_the_same_folder_is_refused(search, profile):
    search(trials=2)
    with pytest.raises(RunError, match="keeps to one profile"):
        search(profile=replace(profile, name="other"))


def test_budgets_trials_and_workers_may_change_and_feasibility_is_judged_again(search):
    before = search(trials=8)
    assert all(r.feasible for r in before.records)
    after = search(trials=14, budgets={"memory": "1000B"})
    assert len(after.records) == 14
    assert {r.feasible for r in after.records[:8]} == {True, False}
    assert all(r.feasible == (r.memory_bytes <= 1000) for r in after.records)


def test_a_folder_with_other_files_is_refused(search, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"holds 'thesis.tex'"):
        search()
    assert (tmp_path / "run" / "thesis.tex").read_text() == "mine"


def test_a_file_that_a_killed_search_left_half_written_is_no_stranger_and_is_removed(search, tmp_path):
    (tmp_path / "run").mkdir()
    part = tmp_path / "run" / ".profile.json.0123abcd.part"
    part.write_text('{"sch')
    search(trials=2)
    assert not part.exists()


def test_a_full_disk_is_a_storage_error_and_nothing_is_lost(search, training, tmp_path, monkeypatch):
    search(trials=4)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mpsearch.atomic_file.os.fsync", full)
        with pytest.raises(StorageError, match=r"No space left.*Free some space"):
            search(trials=8)
    run = search(trials=8)
    assert [r.number for r in run.records] == list(range(8))


def test_a_truncated_database_is_a_format_error(search, tmp_path):
    search(trials=4)
    database = tmp_path / "run" / "study.db"
    database.write_bytes(database.read_bytes()[:5000])
    with pytest.raises(FormatError, match=r"study.db must be a whole SQLite database"):
        search(trials=8)
    with pytest.raises(FormatError, match=r"finished trials are read from trials.jsonl"):
        load_run(tmp_path / "run")


def test_trials_jsonl_is_made_to_agree_with_the_database(search, tmp_path):
    search(trials=4)
    lines = tmp_path / "run" / "trials.jsonl"
    whole = lines.read_text()
    lines.write_text(whole[: len(whole) // 2])
    search(trials=4)
    assert lines.read_text() == whole
    assert [json.loads(line)["number"] for line in whole.splitlines()] == [0, 1, 2, 3]


def test_a_run_without_its_database_is_read_from_trials_jsonl(search, tmp_path):
    before = search(trials=6)
    (tmp_path / "run" / "study.db").unlink()
    after = load_run(tmp_path / "run")
    assert after.records == before.records
    assert after.front.numbers == before.front.numbers


def test_trials_that_a_power_cut_took_from_the_database_come_back_from_trials_jsonl(
    search, tmp_path, training
):
    database = tmp_path / "run" / "study.db"
    search(trials=6)
    older = database.read_bytes()
    before = search(trials=9)
    for remains in (older, b""):
        database.write_bytes(remains)
        assert load_run(tmp_path / "run").records == before.records
        training.trained.clear()
        assert search(trials=9).records == before.records
        assert training.trained == []
        assert database.stat().st_size > len(older) / 2


def test_events_tell_the_story_in_order(search):
    events = []
    search(on_event=events.append)
    kinds = [type(event) for event in events]
    assert kinds.count(SearchStarted) == kinds.count(SearchFinished) == 1
    assert kinds.count(TrialStarted) == kinds.count(TrialFinished) == 12
    assert kinds.index(TrialStarted) < kinds.index(TrialProgress) < kinds.index(TrialFinished)
    finished = [event for event in events if isinstance(event, TrialFinished)]
    assert [event.finished for event in finished] == list(range(1, 13))
    volumes = [event.hypervolume for event in finished]
    assert volumes == sorted(volumes)
    assert events[-1].reason == "done"


def test_the_hypervolume_that_events_tell_is_that_of_the_run(search):
    events = []
    run = search(on_event=events.append)
    last = [event for event in events if isinstance(event, TrialFinished)][-1]
    assert last.hypervolume == pytest.approx(run.hypervolume)
    assert last.best.number == run.front.best().number
    assert set(last.front) == set(run.front.numbers)
    assert last.knee == run.front.knee().number


def test_a_search_that_goes_on_tells_what_is_there(search):
    search(trials=9)
    events = []
    run = search(trials=12, on_event=events.append)
    started = next(event for event in events if isinstance(event, SearchStarted))
    assert started.history == run_history(run)[:9]
    assert started.hypervolume == started.history[-1].hypervolume
    assert len(started.records) == started.finished == 9
    for record in run.records:
        for cost in ("latency_s", "memory_bytes", "energy_j"):
            low, high = getattr(started.least_costs, cost), getattr(started.greatest_costs, cost)
            assert low <= getattr(record, cost) <= high


@pytest.mark.parametrize(
    "setting",
    [{"trials": 0}, {"trials": 2.5}, {"workers": -1}, {"seed": -1}, {"sampler": "tp"}, {"timeout_s": 0}],
)
def test_settings_out_of_range_are_refused(search, setting):
    with pytest.raises(ConfigError):
        search(**setting)


@pytest.mark.parametrize("address", ["", "nonsense", "host:", "host:99999", "ray://host:10001"])
def test_an_address_that_is_none_is_refused_before_anything_is_read_or_written(search, tmp_path, address):
    events = []
    with pytest.raises(ConfigError, match="got '"):
        search(ray=address, workers=None, on_event=events.append)
    assert not events
    assert not (tmp_path / "run").exists()


def test_a_single_objective_is_searched_too(search, space_of):
    run = search(space=space_of(objectives="[accuracy]"), budgets={"memory": "1200B"})
    assert len(run.records) == 12
    within = [record for record in run.records if record.memory_bytes <= 1200]
    assert {record.score for record in run.front.records} == {max(record.score for record in within)}
