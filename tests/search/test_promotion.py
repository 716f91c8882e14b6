"""Several fidelities: which trials go on, that none waits, and that a kill takes nothing from it."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpsearch.errors import ConfigError, RunError
from mpsearch.pareto.dominance import dominates
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.costs import Costs
from mpsearch.search.engine import run_search
from mpsearch.search.events import RungFinished, SearchStarted, TrialFinished, TrialStarted
from mpsearch.search.given_settings import with_settings
from mpsearch.search.promotion import Climber, Ladder, order, regime_of
from mpsearch.search.run import load_run
from mpsearch.search.runner import Runner
from mpsearch.search.space_file import parse_space
from mpsearch.search.trial_job import Outcome
from mpsearch.search.trial_record import Rung

SHARES = (0.1, 0.3, 1.0)


@pytest.fixture
def space(space_of):
    return space_of(
        trial="{steps: 20, high_bit_steps: 10, batch_size: 32, calibration_samples: 32, bn_samples: 32, "
        "fidelities: [0.1, 0.3, 1]}",
        search="{sampler: tpe, trials: 40, workers: 0}",
    )


class Trained:
    """Scores policies by arithmetic: more bits and more steps are better, few bits gain more from steps."""

    def __init__(self, answer_with):
        self.jobs = []
        self.before = None
        self._answer_with = answer_with

    def run_trial(self, task, baseline, policy, recipe, *, share=1.0, seed=0, on_progress=None):
        if self.before is not None:
            self.before(len(self.jobs), policy, share)
        self.jobs.append((policy, share))
        return replace(self._answer_with(score_of(policy, share)), steps=recipe.steps_for(policy, share))


def score_of(policy, share):
    bits = np.array([min(scheme.weight_bits, 8) for scheme in policy.values()])
    noise = float(sum(bits * [1, 2, 3]) % 7) / 70
    return float(np.clip(0.5 + 0.05 * bits.mean() - 0.4 * (1 - share) * (bits.min() < 2) + noise, 0, 1))


@pytest.fixture
def trained(answer_with, monkeypatch):
    fake = Trained(answer_with)
    monkeypatch.setattr("mpsearch.search.training_work.run_trial", fake.run_trial)
    monkeypatch.setattr("mpsearch.search.engine.score_front_on_test", lambda facts, *rest, **more: facts)
    return fake


@pytest.fixture
def search(space, tmp_path, profile, trained):
    """`run_search` on the tiny space with three fidelities; keyword arguments replace the defaults."""

    def call(**changes):
        return run_search(**{"space": space, "out": tmp_path / "run", "profile": profile, **changes})

    return call


def climber(number, score, latency=1.0, schemes=("w8a8",), origin="sampler", rungs=1):
    costs = Costs(
        latency_s=latency, latency_p95_s=latency, latency_p99_s=latency, memory_bytes=100, energy_j=1.0
    )
    policy = PrecisionPolicy.from_names({f"l{place}": name for place, name in enumerate(schemes)})
    scored = tuple(
        Rung(share=share, score=score, loss=0.1, seconds=1.0, steps=1, ended="2026-01-01T00:00:00+00:00")
        for share in SHARES[:rungs]
    )
    return Climber(number=number, policy=policy, costs=costs, origin=origin, rungs=scored)


def ladder_of(space, climbers):
    ladder = Ladder(space)
    for one in climbers:
        ladder.enter(one, waits=True)
    return ladder


def test_only_the_best_third_of_a_rung_goes_on(space):
    climbers = [climber(number, score=number / 10) for number in range(9)]
    ladder = ladder_of(space, climbers)
    gone = []
    while (best := ladder.deserving()) is not None:
        gone.append(ladder.leave(best.number).number)
    assert gone == [8, 7, 6]
    assert sorted(ladder.waiting) == [0, 1, 2, 3, 4, 5]


def test_two_trials_are_too_few_for_one_to_go_on_and_a_third_decides(space):
    ladder = ladder_of(space, [climber(0, 0.9), climber(1, 0.5)])
    assert ladder.deserving() is None
    ladder.enter(climber(2, 0.1), waits=True)
    assert ladder.deserving().number == 0


def test_a_rung_is_judged_by_all_objectives(space):
    slow, fast, between = climber(0, 0.9, latency=3.0), climber(1, 0.2, latency=1.0), climber(2, 0.1, 2.0)
    ladder = ladder_of(space, [slow, fast, between, *(climber(n, 0.05, 4.0) for n in (3, 4, 5))])
    assert {ladder.leave(ladder.deserving().number).number for _ in range(2)} == {0, 1}
    assert ladder.deserving() is None


def test_few_bits_are_never_held_against_many(space):
    many = [climber(number, 0.9) for number in range(6)]
    few = [climber(number, 0.1, schemes=("w1a8",)) for number in range(6, 9)]
    ladder = ladder_of(space, [*many, *few])
    gone = [ladder.leave(ladder.deserving().number).number for _ in range(3)]
    assert sum(number >= 6 for number in gone) == 1
    assert ladder.deserving() is None


@pytest.mark.parametrize(
    ("schemes", "regime"),
    [(("w1a1", "w8a8"), 1), (("w1a8", "w1.58a8"), 1), (("w1.58a8", "w4a8"), 1.58), (("w4a8", "w32a32"), 2)],
)
def test_a_regime_is_that_of_the_lowest_weights(schemes, regime):
    assert regime_of(climber(0, 0.5, schemes=schemes).policy) == regime


def test_uniform_policies_always_go_on_first_and_take_no_places(space):
    anchors = [climber(number, 0.01, latency=9.0, origin="anchor") for number in range(4)]
    ladder = ladder_of(space, [*(climber(number, 0.5) for number in range(4, 7)), *anchors])
    gone = [ladder.leave(ladder.deserving().number).number for _ in range(5)]
    assert gone == [0, 1, 2, 3, 4]
    assert ladder.deserving() is None


def test_the_highest_rung_comes_first(space):
    low = [climber(number, 0.5 + number / 100) for number in range(3)]
    high = [climber(number, 0.1, rungs=2) for number in range(3, 6)]
    ladder = ladder_of(space, [*low, *high])
    assert ladder.deserving().number in (3, 4, 5)


def test_trials_that_went_on_count_on_their_rung_and_those_that_were_stopped_take_no_place(space):
    ladder = Ladder(space)
    for number in range(6):
        ladder.enter(climber(number, score=number / 10), waits=False)
    assert ladder.deserving() is None
    ladder.enter(climber(6, 0.05), waits=True)
    assert ladder.deserving() is None  # of 7 two go on: 5 and 4 have
    ladder.stop(5)
    ladder.stop(4)
    ladder.stop(3)
    assert ladder.deserving() is None
    ladder.stop(2)
    assert ladder.deserving().number == 6


def test_one_that_waits_and_is_stopped_waits_no_more_and_leaves_its_place(space):
    ladder = ladder_of(space, [climber(number, score=number / 10) for number in range(6)])
    ladder.stop(5)
    ladder.stop(4)
    assert sorted(ladder.waiting) == [0, 1, 2, 3]
    assert ladder.deserving().number == 3


def test_what_budgets_or_overrides_exclude_does_not_go_on_and_counts_for_nothing(space):
    bounded = with_settings(space, budgets={"latency": "2s"})
    dear = [climber(number, 0.9, latency=3.0) for number in range(6)]
    assert ladder_of(bounded, dear).deserving() is None
    mixed = ladder_of(bounded, [*dear, *(climber(number, 0.1) for number in (6, 7))])
    assert mixed.deserving() is None
    mixed.enter(climber(8, 0.2), waits=True)
    assert mixed.deserving().number == 8


def test_who_meets_the_accuracy_that_is_asked_for_comes_before_who_does_not(space):
    bounded = with_settings(space, budgets={"accuracy": "50%"})
    fast = [climber(number, 0.3, latency=0.1) for number in (0, 1)]
    assert ladder_of(bounded, [*fast, climber(2, 0.6, latency=5.0)]).deserving().number == 2
    assert ladder_of(space, [*fast, climber(2, 0.6, latency=5.0)]).deserving().number in (0, 2)


points = st.lists(st.tuples(*[st.integers(0, 6).map(float)] * 3, st.booleans()), min_size=1, max_size=25)


@given(points)
def test_no_point_comes_before_one_that_dominates_it(rows):
    values, feasible = np.array([row[:3] for row in rows]), np.array([row[3] for row in rows])
    ordered = list(order(values, feasible))
    assert sorted(ordered) == list(range(len(rows)))
    for place, one in enumerate(ordered):
        for later in ordered[place + 1 :]:
            assert not (feasible[later] and not feasible[one])
            if feasible[later] == feasible[one]:
                assert not dominates(values[later], values[one])


def test_every_policy_is_trained_for_the_lowest_share_and_only_some_for_more(search, trained):
    run = search()
    counts = Counter(share for _, share in trained.jobs)
    complete = [record for record in run.records if record.is_complete]
    assert len(run.records) == counts[0.1] == 40
    assert 5 + 2 <= len(complete) == counts[1.0] < counts[0.3] < 30
    assert {record.state for record in run.records} == {"complete", "stopped"}
    for record in run.records:
        assert [rung.share for rung in record.rungs] == list(SHARES[: len(record.rungs)])
        assert record.seconds >= sum(rung.seconds for rung in record.rungs)
        assert (record.score is not None) == record.is_complete
        assert len(record.rungs) == 2 or record.is_stopped
        assert all(rung.score == score_of(record.policy, rung.share) for rung in record.rungs)


def test_uniform_policies_go_through_all_fidelities(search, trained):
    run = search()
    assert all(record.is_complete for record in run.records if record.origin == "anchor")
    assert [share for _, share in trained.jobs[:15]] == list(SHARES) * 5


def test_a_stopped_trial_is_on_no_front_and_keeps_no_weights(search, tmp_path):
    run = search(budgets={"accuracy": "1%"})
    stopped = [record for record in run.records if record.is_stopped]
    assert stopped
    assert not any(record.feasible or record.number in run.front for record in stopped)
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {f"{number}.safetensors" for number in run.front.numbers}
    assert load_run(tmp_path / "run").records == run.records


def test_the_first_trial_of_a_rung_is_on_disk_before_the_next_job_begins(search, trained, tmp_path):
    def rungs_on_disk(place, policy, share):
        if not place:
            return
        with closing(sqlite3.connect(tmp_path / "run" / "study.db")) as study:
            rows = study.execute("SELECT value_json FROM trial_user_attributes WHERE key = 'rungs'")
            stored = sum(len(json.loads(text)) for (text,) in rows)
        assert stored == sum(done < 1 for _, done in trained.jobs)

    trained.before = rungs_on_disk
    search(trials=15)
    assert len(trained.jobs) > 20


def test_events_tell_each_rung_and_how_many_wait(search):
    events = []
    run = search(on_event=events.append)
    rungs = [event for event in events if isinstance(event, RungFinished)]
    finished = [event for event in events if isinstance(event, TrialFinished)]
    started = [event for event in events if isinstance(event, TrialStarted)]
    assert len(rungs) == sum(len(record.rungs) for record in run.records)
    assert len(started) == len(rungs) + sum(record.is_complete for record in run.records)
    assert [event.finished for event in finished] == list(range(1, 41))
    stopped = sum(record.is_stopped for record in run.records)
    assert max(event.waiting for event in rungs) >= stopped > 0 == finished[-1].waiting


@pytest.mark.parametrize(("sampler", "ends"), [("tpe", (4, 9, 13)), ("tpe", (27,)), ("nsga2", (1, 2, 19))])
def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(search, trained, tmp_path, sampler, ends):
    arguments = {"sampler": sampler, "budgets": {"memory": "1100B"}, "trials": 24}
    whole = search(out=tmp_path / "whole", **arguments)
    for end in ends:

        def kill(place, policy, share, end=end):
            if place == end:
                raise KeyboardInterrupt

        trained.jobs.clear()
        trained.before = kill
        with pytest.raises(KeyboardInterrupt):
            search(**arguments)
    trained.before = None
    assert told(search(**arguments)) == told(whole)


def told(run):
    """What a search has found, without its times."""
    return [
        (r.number, r.policy, r.state, r.score, r.origin, r.steps, [(g.share, g.score) for g in r.rungs])
        for r in run.records
    ]


def test_trials_that_wait_are_there_again_after_a_kill_and_the_view_is_told(search, trained):
    def kill(place, policy, share):
        if place == 30:
            raise KeyboardInterrupt

    trained.before = kill
    events = []
    with pytest.raises(KeyboardInterrupt):
        search(on_event=events.append)
    waiting = [event for event in events if isinstance(event, TrialStarted)][-1].waiting
    trained.before = None
    search(on_event=events.append)
    assert [event.waiting for event in events if isinstance(event, SearchStarted)] == [0, waiting]
    assert waiting > 3
    assert len(trained.jobs) == len(set(trained.jobs))  # nothing was trained twice


def test_time_that_is_over_stops_what_waits_and_more_trials_go_on(search, trained, monkeypatch):
    left = iter([False] * 30)
    monkeypatch.setattr("mpsearch.search.clock.Clock.is_over", property(lambda clock: next(left, True)))
    events = []
    run = search(on_event=events.append)
    assert events[-1].reason == "timeout"
    assert sum(record.is_stopped for record in run.records) > 3
    monkeypatch.setattr("mpsearch.search.clock.Clock.is_over", property(lambda clock: False))
    after = search()
    assert len(after.records) == 40
    assert after.records[: len(run.records)] == run.records


def test_an_exhausted_space_promotes_to_its_end(search, space_of, trained):
    small = space_of(
        layers='[{match: "0", schemes: [w4a8, w8a8]}, {match: "2", schemes: [w4a8, w8a8]}, '
        '{match: "*", schemes: [w4a8, w8a8]}]',
        trial="{steps: 20, high_bit_steps: 10, fidelities: [0.5, 1], calibration_samples: 32, "
        "bn_samples: 32}",
        search="{trials: 50, workers: 0}",
    )
    events = []
    run = search(space=small, on_event=events.append)
    assert events[-1].reason == "exhausted"
    assert "8 trials" in events[-1].message
    assert 2 + 2 <= sum(record.is_complete for record in run.records) < 8


def test_a_trial_that_fails_at_a_fidelity_fails_alone_and_keeps_its_rungs(search, trained):
    def fail(place, policy, share):
        if share == 0.3 and policy.uniform_scheme is None:
            raise ValueError("no")

    trained.before = fail
    run = search()
    failed = [record for record in run.records if record.is_failed]
    assert failed
    assert all(len(record.rungs) == 1 and record.failure == "ValueError: no" for record in failed)
    assert len(run.records) == 40


def test_a_run_keeps_to_its_fidelities(search):
    search(trials=2)
    with pytest.raises(RunError, match=r"trial.fidelities differs"):
        search(trials=2, fidelities=(0.5,))


def test_fidelities_may_be_given_without_the_last(space):
    assert with_settings(space, fidelities=(0.2,)).trial.fidelities == (0.2, 1.0)
    assert with_settings(space, fidelities=(1.0,)).trial.fidelities == (1.0,)
    assert parse_space(space.to_yaml()) == space
    with pytest.raises(ConfigError, match="shares of the steps that rise to 1"):
        with_settings(space, fidelities=(0.3, 0.2))


class SimulatedRunner(Runner):
    """Workers on a clock of their own; before each wait it proves that no free worker had anything to do."""

    def __init__(self, workers, durations, total):
        self.now = 0.0
        self.busy_s = 0.0
        self.waited_while_free = 0
        self._workers, self._durations, self._total = workers, durations, total
        self._jobs = []
        self.ladder = None
        self.begun = set()

    @property
    def capacity(self):
        return self._workers

    @property
    def running(self):
        return len(self._jobs)

    def submit(self, job):
        self.begun.add(job.number)
        duration = job.share * 100 ** self._durations.random()
        self._jobs.append((self.now + duration, duration, job))

    def wait(self):
        if self.running < self.capacity:
            self.waited_while_free += 1
            assert len(self.begun) == self._total, "a worker is idle while a policy may begin"
            assert self.ladder.deserving() is None, "a worker is idle while a trial may go on"
        job = min(self._jobs, key=lambda job: job[0])
        self._jobs.remove(job)
        self.now, duration, done = job
        self.busy_s += duration
        done.weights.write_bytes(b"weights")
        score = score_of(done.policy, done.share)
        return [Outcome(number=done.number, score=score, loss=0.1, seconds=duration, steps=1)]

    def close(self):
        self._jobs = []


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(workers=st.integers(1, 12), seed=st.integers(0, 1000))
def test_no_worker_is_idle_while_a_trial_may_go_on_or_begin(
    search, tmp_path_factory, monkeypatch, workers, seed
):
    runner = SimulatedRunner(workers, np.random.default_rng(seed), total=40)

    class Watched(Ladder):
        def __init__(self, space):
            super().__init__(space)
            runner.ladder = self

    monkeypatch.setattr("mpsearch.search.trial_loop.Ladder", Watched)
    monkeypatch.setattr("mpsearch.search.engine.open_runner", lambda *_: runner)
    run = search(out=tmp_path_factory.mktemp("run"), trials=40)
    assert len(run.records) == 40
    assert all(r.is_complete for r in run.records if r.origin == "anchor")
    # Only the end of a search leaves workers without work: less than the longest training.
    assert runner.busy_s >= workers * (runner.now - 2 * 100)
