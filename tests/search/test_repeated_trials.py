"""Policies that are trained with several seeds: one point on the front, scored by the mean."""

from dataclasses import replace
from itertools import pairwise

import pytest

from mpsearch.errors import FormatError
from mpsearch.search.engine import run_search
from mpsearch.search.events import TrialFinished, TrialStarted
from mpsearch.search.front import Front
from mpsearch.search.history import run_history
from mpsearch.search.local_runner import InProcessRunner
from mpsearch.search.repeated_trials import PolicyScores, pooled, trainings_of
from mpsearch.search.run import load_run
from mpsearch.search.seed_spread import samples_worth, seed_spread
from mpsearch.search.trial_record import TrialRecord
from mpsearch.search.uncertainty import score_interval


@pytest.fixture
def repeat_of(record_of, begun):
    """A function: a further training of a record's policy."""

    def build(record, number, score, seed):
        again = replace(begun(number, origin="repeat"), policy=record.policy)
        return record_of(again, score=score, seed=seed)

    return build


@pytest.fixture
def trained(record_of, begun, repeat_of):
    """Trials 0 and 1, then 0 again with seeds 1 and 2."""
    first, other = record_of(begun(0), score=0.9), record_of(begun(1), score=0.8)
    return [first, other, repeat_of(first, 2, 0.84, 1), repeat_of(first, 3, 0.81, 2)]


def test_the_trainings_of_a_policy_are_pooled_to_their_mean_under_the_first_number(trained):
    point, other = pooled(trained)
    assert (point.number, point.seeds, point.score, point.accuracy) == (
        0,
        3,
        pytest.approx(0.85),
        point.score,
    )
    assert point.trainings == (trained[0], trained[2], trained[3])
    assert other == trained[1]
    assert other.seeds == 1


def test_trainings_of_pooled_records_are_all_that_went_in(trained):
    assert trainings_of(pooled(trained)) == trained
    assert pooled(pooled(trained)) == pooled(reversed(trained)) == pooled(trained)


def test_failed_and_stopped_trials_of_a_policy_stay_apart_from_its_score(trained, repeat_of):
    failed = replace(
        repeat_of(trained[0], 4, None, 3), state="failed", loss=None, failure="RuntimeError: once"
    )
    assert [record.number for record in pooled([*trained, failed])] == [0, 1, 4]


def test_a_second_training_with_the_same_seed_tells_nothing(trained, repeat_of):
    assert pooled([*trained, repeat_of(trained[0], 4, 0.1, 2)]) == pooled(trained)


def test_scores_that_come_one_by_one_pool_to_the_same(trained):
    scores = PolicyScores()
    seen = []
    for record in trained:
        seen.append(scores.is_repeat(record))
        scores.add(record)
    assert seen == [False, False, True, True]
    assert scores.records == pooled(trained)


def test_pooled_trainings_are_not_stored_and_not_read(trained):
    point = pooled(trained)[0]
    assert "trainings" not in point.to_dict()
    with pytest.raises(FormatError):
        TrialRecord.from_dict({**trained[0].to_dict(), "trainings": []})


def test_a_lucky_point_falls_to_its_mean_and_what_it_beat_is_on_the_front(trained, space):
    costs = trained[0].costs
    close = replace(trained[1], score=0.87, costs=replace(costs, memory_bytes=costs.memory_bytes + 1))

    def numbers(records):
        front = Front(pooled(records), space.objectives, space.budgets, {}, export=None)
        return set(front.numbers)

    assert numbers([trained[0], close]) == {0}
    assert numbers([trained[0], close, *trained[2:]]) == {0, 1}


def test_further_seeds_narrow_an_interval_but_never_beyond_what_the_samples_leave():
    widths = []
    for seeds in (1, 2, 3, 10, 1000):
        low, high = score_interval(0.9, samples_worth(400, seeds, 1e-3))
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    sampled = score_interval(0.9, 400)
    assert widths[-1] == pytest.approx(sampled[1] - sampled[0], rel=1e-3)


def test_the_spread_between_seeds_is_learnt_from_all_repeated_policies(trained):
    assert seed_spread(trained, 400) is None
    spread = seed_spread(pooled(trained), 400)
    share = (0.85 * 400 + 0.5) / 401
    squares = 0.05**2 + 0.01**2 + 0.04**2
    assert spread == pytest.approx((1 / 400 + squares / (share * (1 - share))) / 3)
    assert seed_spread(pooled([*trained, replace(trained[1], number=5, seed=1)]), 400) < spread


class Repeats:
    """In place of the comparison: from trial 6 on, every second trial trains the best policy again."""

    def __init__(self):
        self.asked = []

    def is_ready(self, state):
        return len(state.scores.records) >= 6

    def estimates(self, _state):
        return {}

    def choose(self, state, new):
        if new is None or len(state.records) % 2:
            return None
        best = max(state.scores.records, key=lambda r: (r.accuracy, -r.number))
        self.asked.append((best.policy, best.seeds))
        return None if best.policy in state.repeated else best


class Seeded:
    """Scores by arithmetic; the seed moves them, the more so the lower it is."""

    def __init__(self, answer_with):
        self.jobs = []
        self._answer_with = answer_with

    def run_trial(self, task, baseline, policy, recipe, *, share=1.0, seed=0, on_progress=None):
        self.jobs.append((policy, seed))
        bits = sum(min(scheme.weight_bits, 8) for scheme in policy.values())
        lucky = 0.2 * (len(policy.names()["0"]) % 2) if seed == 0 else 0.0
        return self._answer_with(min(1.0, 0.5 + bits / 100 + lucky))


@pytest.fixture
def seeded(answer_with, monkeypatch):
    fake = Seeded(answer_with)
    monkeypatch.setattr("mpsearch.search.training_work.run_trial", fake.run_trial)
    monkeypatch.setattr("mpsearch.search.engine.score_front_on_test", lambda facts, *rest, **more: facts)
    return fake


@pytest.fixture
def search(space, tmp_path, profile, seeded, monkeypatch):
    """`run_search` that repeats as `Repeats` says; keyword arguments replace the defaults."""
    monkeypatch.setattr("mpsearch.search.engine.next_training_of", lambda *_: Repeats())

    def call(**changes):
        return run_search(**{"space": space, "out": tmp_path / "run", "profile": profile, **changes})

    return call


def test_repeats_are_trials_with_seeds_of_their_own_and_no_new_points(search, seeded):
    run = search(trials=16)
    repeats = [record for record in run.trainings if record.origin == "repeat"]
    assert len(run.trainings) == 16
    assert len(repeats) >= 3
    assert len(run.records) == 16 - len(repeats) == len({record.policy for record in run.records})
    assert len({(record.policy, record.seed) for record in run.trainings}) == 16
    for record in run.records:
        assert [training.seed for training in record.every_training] == list(range(record.seeds))
    assert run.trial(repeats[0].number).number < repeats[0].number


def test_front_hypervolume_and_history_agree_on_the_means(search):
    run = search(trials=20)
    assert any(record.seeds > 1 for record in run.records)
    assert run_history(run)[-1].hypervolume == pytest.approx(run.hypervolume)
    assert len(run_history(run)) == 20
    means = {record.policy: record.accuracy for record in pooled(run.trainings)}
    assert all(point.accuracy == means[point.policy] for point in run.front)


def test_each_point_of_the_front_has_weights_also_one_that_a_repeat_put_there(search, tmp_path):
    events = []
    run = search(trials=20, on_event=events.append)
    told = [event for event in events if isinstance(event, TrialFinished)]
    assert set(told[-1].front) == set(run.front.numbers)
    assert told[-1].hypervolume == pytest.approx(run.hypervolume)
    kept = {int(path.stem) for path in (tmp_path / "run/checkpoints").iterdir()}
    assert kept >= set(run.front.numbers)
    assert any(set(one.front) - set(other.front) for one, other in pairwise(told))


def test_a_search_that_is_cut_off_repeats_the_same_policies(search, tmp_path, monkeypatch):
    whole = search(trials=18, out=tmp_path / "whole")
    wait = InProcessRunner.wait

    def cut(self):
        raise KeyboardInterrupt

    for trials in (7, 9, 12, 18):
        monkeypatch.setattr("mpsearch.search.local_runner.InProcessRunner.wait", cut)
        with pytest.raises(KeyboardInterrupt):
            search(trials=trials)
        monkeypatch.setattr("mpsearch.search.local_runner.InProcessRunner.wait", wait)
        search(trials=trials)
    run = load_run(tmp_path / "run")
    assert [(r.policy, r.seed, r.origin) for r in run.trainings] == [
        (r.policy, r.seed, r.origin) for r in whole.trainings
    ]


def test_events_say_that_a_trial_is_a_repeat(search):
    events = []
    search(trials=14, on_event=events.append)
    begun = [event.origin for event in events if isinstance(event, TrialStarted)]
    assert begun.count("repeat") >= 2


def test_a_repeat_that_fails_leaves_the_score_and_is_not_tried_with_the_same_seed_again(
    search, seeded, monkeypatch
):
    whole = seeded.run_trial

    def failing(task, baseline, policy, recipe, *, seed=0, **rest):
        if seed == 1:
            seeded.jobs.append((policy, seed))
            raise RuntimeError(f"seed 1 of {policy.summary}")
        return whole(task, baseline, policy, recipe, seed=seed, **rest)

    monkeypatch.setattr("mpsearch.search.training_work.run_trial", failing)
    run = search(trials=16)
    assert any(record.is_failed and record.seed == 1 for record in run.records)
    assert all(1 not in {t.seed for t in r.every_training} for r in run.records if r.is_complete)
    assert len({(record.policy, record.seed) for record in run.trainings}) == 16
