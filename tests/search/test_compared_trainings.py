"""The sampler that knows the costs, several fidelities and repeats, through the whole engine."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.engine import run_search
from mpsearch.search.local_runner import InProcessRunner
from mpsearch.search.next_training import NextTraining
from mpsearch.search.run import load_run

SEED_NOISE = 0.02


class Trained:
    """Scores by arithmetic: more bits and more steps are better, few bits gain more; a seed moves a score."""

    def __init__(self, answer_with):
        self.jobs = []
        self._answer_with = answer_with

    def run_trial(self, task, baseline, policy, recipe, *, share=1.0, seed=0, on_progress=None):
        self.jobs.append((policy, share, seed))
        bits = np.array([min(scheme.weight_bits, 8) for scheme in policy.values()])
        lost = 0.02 * np.exp(2 - bits).sum() + 0.3 * (1 - share) * (bits.min() < 2)
        luck = np.random.default_rng([seed, *bits.astype(int).tolist()]).normal(0, SEED_NOISE)
        answer = self._answer_with(float(np.clip(0.95 - lost + luck, 0, 1)))
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


def test_waiting_trials_go_on_without_crossing_the_fidelities(search):
    run = search(fidelities="[0.25, 1]")
    assert {record.state for record in run.trainings} <= {"complete", "stopped"}
    for record in run.trainings:
        expected = 0 if record.origin == "repeat" else 1
        assert len(record.rungs) == expected
    anchors = [record for record in run.trainings if record.origin == "anchor"]
    assert all(record.is_complete for record in anchors)


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
