import itertools

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, zeros

from mpsearch.models.trace import trace_model
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.overrides import Overrides
from mpsearch.search.proposer import Proposer
from mpsearch.search.resolve import cost_model_of, resolve
from mpsearch.search.sampler_memory import SamplerMemory, ToldTrial, best_first, chosen
from mpsearch.search.samplers import GENERATION, SAMPLERS, SamplerFactory
from mpsearch.search.study import StoredTrial
from mpsearch.search.trial_record import TrialRecord

BATCH = 8
SEEDS = (0, 1, 2)
QUICK = ("tpe", "nsga2", "random")
EACH = (*QUICK, pytest.param("gp", marks=pytest.mark.slow))
SIGNS = np.array([-1.0, 1.0])


@pytest.fixture(scope="module")
def trace():
    layers = [nn.Linear(4 + place, 5 + place) for place in range(10)]
    return trace_model(nn.Sequential(*layers), (zeros(1, 4),))


@pytest.fixture
def known(space, trace, profile):
    return KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile))


@pytest.fixture
def proposer_of(space, known):
    """A function: a proposer over ten layers of five schemes."""

    def build(sampler, *, seed=0, history=(), budgets=None):
        return Proposer(
            known,
            known,
            objectives=space.objectives,
            budgets=budgets or Budgets(),
            overrides=Overrides(),
            sampler=SAMPLERS[sampler] if isinstance(sampler, str) else sampler,
            seed=seed,
            history=history,
        )

    return build


@pytest.fixture
def scored(known):
    """A function: the record of a trial, its score by arithmetic."""

    def build(begun):
        bits = [min(scheme.weight_bits, 8) for scheme in begun.policy.values()]
        score = 1 - sum(2.0**-b / (place + 1) for place, b in enumerate(bits)) / 2
        return TrialRecord(
            number=begun.number,
            policy=begun.policy,
            state="complete",
            score=score,
            loss=1 - score,
            costs=known.costs(begun.policy),
            feasible=True,
            seconds=0.0,
            steps=1,
            seed=0,
            origin=begun.origin,
            started="",
            ended="",
        )

    return build


@pytest.fixture
def search(proposer_of, scored, known):
    """A function: a proposer after so many trials, one after the other, and what a study would hold."""

    def build(sampler, trials, *, seed=0):
        proposer, stored = proposer_of(sampler, seed=seed), []
        anchors = list(known.resolved.anchors())
        for number in range(trials):
            begun = (
                proposer.begin(number, anchors[number], "anchor")
                if number < len(anchors)
                else proposer.propose(number)[0]
            )
            stored.append(ended(begun, scored))
            proposer.finish(stored[-1].record)
        return proposer, stored

    return build


def ended(begun, scored):
    return StoredTrial(
        policy=begun.policy, record=scored(begun), attributes=begun.attributes, number=begun.number
    )


def variety(policies):
    """Mean share of the layers in which two of the policies differ."""
    pairs = list(itertools.combinations(policies, 2))
    return sum(sum(a[layer] != b[layer] for layer in a) for a, b in pairs) / (len(pairs) * len(policies[0]))


@pytest.mark.parametrize("sampler", EACH)
def test_a_batch_asked_before_any_result_is_as_varied_as_a_sequence_and_repeats_nothing(
    search, proposer_of, scored, sampler
):
    of_batches, of_sequences = [], []
    for seed in SEEDS if sampler != "gp" else SEEDS[:1]:
        _, stored = search("random" if sampler == "gp" else sampler, 24, seed=seed)
        together, apart = (proposer_of(sampler, seed=seed, history=stored) for _ in range(2))
        batch = [together.propose(24 + place)[0].policy for place in range(BATCH)]
        assert len(set(batch)) == BATCH
        assert not set(batch) & (together.seen - set(batch))
        of_batches.append(variety(batch))
        sequence = []
        for place in range(BATCH):
            begun, _ = apart.propose(24 + place)
            apart.finish(scored(begun))
            sequence.append(begun.policy)
        of_sequences.append(variety(sequence))
    assert np.mean(of_batches) > 0.8 * np.mean(of_sequences)


@pytest.mark.parametrize("sampler", EACH)
def test_a_plain_study_asked_for_a_batch_gives_varied_policies(search, sampler):
    proposer, stored = search("random", 24)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=SAMPLERS[sampler](0))
    distributions = {
        choice.name: optuna.distributions.IntDistribution(0, len(choice.schemes) - 1)
        for choice in proposer.known.resolved.choices
    }
    for trial in stored:
        codes = proposer.known.resolved.codes(trial.policy).tolist()
        study.add_trial(
            optuna.create_trial(
                values=[trial.record.score, trial.record.latency_s, trial.record.memory_bytes],
                params=dict(zip(distributions, codes, strict=True)),
                distributions=distributions,
            )
        )
    batch = [study.ask(distributions).params for _ in range(BATCH)]
    assert len({tuple(params.values()) for params in batch}) == BATCH
    assert variety(batch) > 0.2


@pytest.mark.parametrize("sampler", QUICK)
def test_what_other_drivers_run_is_not_proposed_again(search, proposer_of, scored, sampler):
    ours, stored = search(sampler, 16)
    theirs = proposer_of(sampler, history=stored)
    running = [theirs.propose(16 + place)[0] for place in range(4)]
    for begun in running:
        ours.begin(begun.number, begun.policy, begun.origin)
    found = [ours.propose(20 + place)[0].policy for place in range(4)]
    assert not {begun.policy for begun in running} & set(found)
    for begun in running:
        ours.finish(scored(begun))
    assert ours.propose(24)[0].policy not in {*(begun.policy for begun in running), *found}


def test_a_trial_that_was_never_heard_of_counts_once_it_is_finished(search, proposer_of, scored):
    ours, stored = search("tpe", 16)
    begun, _ = proposer_of("tpe", history=stored).propose(16)
    ours.finish(scored(begun))
    assert ours.has_seen(begun.policy)
    assert ours.propose(17)[0].policy != begun.policy


@pytest.mark.parametrize("sampler", QUICK)
def test_a_long_search_proposes_the_same_after_a_restart(search, proposer_of, sampler):
    short = SamplerFactory(SAMPLERS[sampler].make, 30)
    for trials in (30, 31, 47, 60):
        proposer, stored = search(short, trials)
        assert proposer.propose(trials) == proposer_of(short, history=stored).propose(trials)


def test_a_proposal_that_was_tried_gives_way_to_its_neighbour(proposer_of, known):
    policy = known.resolved.anchors()[0]
    stubborn = SamplerFactory(lambda _seed, _knowledge: _Stubborn(known.resolved.codes(policy).tolist()), 100)
    proposer = proposer_of(stubborn)
    proposer.begin(0, policy, "anchor")
    for number in range(1, 21):
        begun, _ = proposer.propose(number)
        assert begun.origin == "random"
        assert sum(begun.policy[layer] != policy[layer] for layer in policy) <= 3


def test_anchors_become_parents_of_genetic_search(search):
    _, stored = search("nsga2", 21)
    assert [trial.attributes[GENERATION] for trial in stored] == [0] * 20 + [1]


def test_genetic_search_goes_on_after_hundreds_of_generations(search, proposer_of):
    _, stored = search("nsga2", 40)
    long = [
        StoredTrial(
            policy=trial.policy, record=trial.record, attributes={GENERATION: 100 * place}, number=place
        )
        for place, trial in enumerate(stored)
    ]
    begun, _ = proposer_of(SamplerFactory(SAMPLERS["nsga2"].make, 30), history=long).propose(40)
    assert begun.attributes[GENERATION] == 3900


@pytest.mark.parametrize("ended_trials", [100, 101, 119, 120, 250])
def test_a_sampler_is_told_a_bounded_number_of_trials(ended_trials):
    seen = []
    memory = memory_of(lambda _seed, _knowledge: _Watching(seen), 100)
    for number in range(ended_trials):
        memory.tell(told(number, (number % 7, number % 11)))
    memory.ask(0)
    assert seen == [min(ended_trials, 100 + ended_trials % 10)]


def test_running_trials_are_told_after_a_new_start():
    seen = []
    memory = memory_of(lambda _seed, _knowledge: _Watching(seen, running=True), 10)
    memory.begin(0, {"a": 1}, seed=0)
    for number in range(1, 30):
        memory.tell(told(number, (number, number)))
    memory.ask(0)
    memory.drop()
    assert seen == [1]
    memory.end(0)
    memory.ask(1)
    assert seen == [1, 0]


@given(
    values=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60),
    most=st.integers(4, 40),
)
@settings(max_examples=60, deadline=None)
def test_the_front_and_the_recent_are_kept_as_far_as_there_is_room(values, most):
    trials = [told(number, value) for number, value in enumerate(values)]
    kept = chosen(trials, SIGNS, most)
    assert kept == sorted(set(kept))
    assert len(kept) == min(most, len(trials))
    assert len(trials) - 1 in kept
    points = np.array(values) * SIGNS
    front = [
        row
        for row, point in enumerate(points)
        if not any((other <= point).all() and (other < point).any() for other in points)
    ]
    assert set(front) <= set(kept) or len(set(front) & set(kept)) >= most // 2


def test_trials_within_the_budgets_are_kept_before_better_ones_beyond():
    within = [told(number, (1, 9)) for number in range(5)]
    beyond = [told(number, (9, 1), memory=1.0) for number in range(5, 25)]
    assert {0, 1, 2, 3, 4} <= set(chosen([*within, *beyond], SIGNS, 10))


def test_refused_policies_take_at_most_a_quarter_where_there_are_scores():
    trials = [
        told(number, None if number >= 50 else (number, number), memory=float(number >= 50))
        for number in range(100)
    ]
    kept = chosen(trials, SIGNS, 40)
    assert sum(trials[place].values is None for place in kept) == 10


def test_the_front_comes_first_then_what_lies_least_behind_it():
    points = np.array([[5.0, 5.0], [0.0, 10.0], [10.0, 0.0], [3.0, 3.0], [4.0, 4.0]])
    assert best_first(points).tolist()[-2:] == [4, 0]
    assert set(best_first(points).tolist()[:3]) == {1, 2, 3}


def test_no_points_have_no_order():
    assert best_first(np.zeros((0, 2))).tolist() == []


def told(number, values, **violations):
    return ToldTrial(order=number, params={"a": 0}, values=values, violations=violations, notes={})


def memory_of(make, most_told):
    distributions = {"a": optuna.distributions.IntDistribution(0, 3)}
    return SamplerMemory(["maximize", "minimize"], distributions, SamplerFactory(make, most_told))


class _Watching(optuna.samplers.RandomSampler):
    """Notes how many trials the study has that have ended, or run beside the one that is asked for."""

    def __init__(self, seen, *, running=False):
        super().__init__(0)
        self._seen, self._running = seen, running

    def infer_relative_search_space(self, study, trial):
        states = [other.state for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        counted = (
            (optuna.trial.TrialState.RUNNING,)
            if self._running
            else (
                optuna.trial.TrialState.COMPLETE,
                optuna.trial.TrialState.PRUNED,
            )
        )
        self._seen.append(sum(state in counted for state in states))
        return {}


class _Stubborn(optuna.samplers.RandomSampler):
    """Proposes the same codes for ever."""

    def __init__(self, codes):
        super().__init__(0)
        self._codes = iter(codes)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return next(self._codes)
