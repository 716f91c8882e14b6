"""The sampler that knows the costs, several fidelities and repeats, through the whole engine."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.engine import run_search
from mpsearch.search.list_sampler import ListSampler
from mpsearch.search.local_runner import InProcessRunner
from mpsearch.search.next_training import NextTraining
from mpsearch.search.policy_list import PolicyList
from mpsearch.search.run import load_run
from mpsearch.search.samplers import SAMPLERS, SamplerFactory

SEED_NOISE = 0.02
NAMES = ("w1a1", "w1.58a8", "w4a8", "w8a8", "w32a32")
# Places in NAMES. The last two cost more than the good one and score less; one of them has no few bits.
CHEAP, GOOD, POOR, DEAR = (1, 0, 1), (1, 2, 2), (1, 3, 2), (3, 4, 3)
MIXED = [CHEAP, (1, 2, 3), (0, 1, 2), (1, 1, 3), (0, 2, 3), (2, 1, 3)]


def codes_of(policy):
    return tuple(NAMES.index(scheme.name) for scheme in policy.values())


class Trained:
    """Scores by arithmetic: more bits and more steps are better, few bits gain more; a seed moves a score.

    `scores`: codes -> another score in full, that no seed moves.
    """

    def __init__(self, answer_with):
        self.jobs = []
        self.scores = None
        self._answer_with = answer_with

    def run_trial(self, task, baseline, policy, recipe, *, share=1.0, seed=0, on_progress=None):
        self.jobs.append((policy, share, seed))
        bits = np.array([min(scheme.weight_bits, 8) for scheme in policy.values()])
        luck = np.random.default_rng([seed, *bits.astype(int).tolist()]).normal(0, SEED_NOISE)
        full = 0.95 - 0.02 * np.exp(2 - bits).sum()
        full = full + luck if self.scores is None else self.scores.get(codes_of(policy), full)
        answer = self._answer_with(float(np.clip(full - 0.3 * (1 - share) * (bits.min() < 2), 0, 1)))
        return replace(answer, steps=recipe.steps_for(policy, share))


@pytest.fixture
def search(space_of, tmp_path, profile, answer_with, monkeypatch):
    fake = Trained(answer_with)
    monkeypatch.setattr("mpsearch.search.training_work.run_trial", fake.run_trial)
    monkeypatch.setattr("mpsearch.search.engine.score_front_on_test", lambda facts, *rest, **more: facts)

    def call(fidelities="[1]", repeats="auto", **changes):
        space = space_of(
            trial="{steps: 40, high_bit_steps: 10, batch_size: 32, calibration_samples: 32, bn_samples: 32, "
            f"fidelities: {fidelities}}}",
            search=f"{{trials: 30, workers: 0, sampler: mpsearch, sensitivity: none, repeats: {repeats}}}",
        )
        return run_search(**{"space": space, "out": tmp_path / "run", "profile": profile, **changes})

    call.fake = fake
    return call


def told(run):
    return [(r.number, r.policy, r.seed, r.origin, len(r.rungs), r.score) for r in run.trainings]


def test_a_noisy_search_trains_contested_policies_again_and_never_the_same_twice(search):
    run = search(trials=40)
    assert len(run.trainings) == 40
    assert len({(record.policy, record.seed) for record in run.trainings}) == 40
    assert any(record.seeds > 1 for record in run.records)


def test_repeats_that_are_off_are_off(search):
    assert all(record.seeds == 1 for record in search(repeats="off").records)


def test_nothing_is_weighed_where_nothing_may_begin_or_go_on(search, monkeypatch):
    weighed, choose = [], NextTraining.choose

    def watched(self, state, new):
        weighed.append(new is not None or bool(state.waiting))
        return choose(self, state, new)

    monkeypatch.setattr(NextTraining, "choose", watched)
    search(trials=11)
    assert len(weighed) >= 2
    assert all(weighed)


def test_waiting_trials_go_on_or_are_stopped_without_crossing_the_fidelities(search):
    run = search(fidelities="[0.25, 1]")
    sampled = [record for record in run.trainings if record.origin == "sampler"]
    assert {record.state for record in sampled} == {"complete", "stopped"}
    in_full = {policy for policy, share, _ in search.fake.jobs if share == 1}
    for record in run.trainings:
        expected = 0 if record.origin == "repeat" else 1
        assert len(record.rungs) == expected
        assert record.is_complete == (record.policy in in_full)
    anchors = [record for record in run.trainings if record.origin == "anchor"]
    assert all(record.is_complete for record in anchors)


def test_what_promises_too_little_is_stopped_and_few_bits_go_on_with_lower_scores(search, monkeypatch):
    listed = PolicyList(iter([*MIXED, GOOD, POOR, DEAR]))

    def make(seed, knowledge):
        return ListSampler(knowledge.policies, listed, seed=seed)

    monkeypatch.setitem(SAMPLERS, "mpsearch", SamplerFactory(make, most_told=500, uses_knowledge=True))
    search.fake.scores = {GOOD: 0.949, POOR: 0.88, DEAR: 0.9}
    run = search(fidelities="[0.25, 1]", repeats="off", trials=5 + 9)
    ended = {codes_of(record.policy): record for record in run.records}
    states = [ended[codes].state for codes in (CHEAP, GOOD, POOR, DEAR)]
    assert states == ["complete", "complete", "stopped", "stopped"]
    short = {codes: record.rungs[0].score for codes, record in ended.items()}
    assert short[CHEAP] < short[POOR] < short[DEAR]
    in_full = [codes_of(policy) for policy, share, _ in search.fake.jobs if share == 1]
    assert set(in_full) == {codes for codes, record in ended.items() if record.is_complete}
    assert in_full.index(GOOD) < in_full.index(CHEAP)  # eight have scores: worth decides, not places


@pytest.mark.parametrize("fidelities", ["[1]", "[0.25, 1]"])
def test_a_search_that_is_cut_off_goes_on_as_if_it_had_not_been(search, tmp_path, monkeypatch, fidelities):
    whole = search(fidelities=fidelities, out=tmp_path / "whole")
    wait, left = InProcessRunner.wait, iter(range(10**6))

    def cut(self):
        if next(left) % 9 == 8:
            raise KeyboardInterrupt
        return wait(self)

    monkeypatch.setattr(InProcessRunner, "wait", cut)
    for _ in range(20):
        try:
            search(fidelities=fidelities)
            break
        except KeyboardInterrupt:
            continue
    assert told(load_run(tmp_path / "run")) == told(whole)


def test_what_ran_when_a_search_was_cut_off_begins_again_whatever_is_worth_more(
    search, tmp_path, monkeypatch
):
    wait, left = InProcessRunner.wait, iter(range(14))

    def cut(self):
        if next(left) == 13:
            raise KeyboardInterrupt
        return wait(self)

    with monkeypatch.context() as patched:
        patched.setattr(InProcessRunner, "wait", cut)
        with pytest.raises(KeyboardInterrupt):
            search()
    (number,) = load_run(tmp_path / "run").open_numbers
    monkeypatch.setattr(NextTraining, "choose", lambda _self, state, new: new and state.records[0])
    run = search(trials=number + 4)
    numbers = [record.number for record in run.trainings]
    assert sorted(numbers) == list(range(number + 4))
    begun = next(record for record in run.trainings if record.number == number)
    assert begun.origin == "sampler"
    assert [record.origin for record in run.trainings if record.number > number] == ["repeat"] * 3
