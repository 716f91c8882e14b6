"""A new policy, one that waits, or another seed: which training is worth most for its effort."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.next_training import NextTraining, SearchState, next_training_of
from mpsearch.search.promotion import Climber
from mpsearch.search.repeated_trials import PolicyScores
from mpsearch.search.training_effort import training_effort
from mpsearch.search.trial_record import Rung
from tests.search.additive_policies import EVERY, policies_of, true_scores

NAMES = ("w1a1", "w4a8", "w8a8")
SHARES = (0.0, 0.25, 1.0)


def policy_of(codes):
    return PrecisionPolicy.from_names({f"layer{place}": NAMES[code] for place, code in enumerate(codes)})


def codes_of(policy):
    return np.array([NAMES.index(scheme.name) for scheme in policy.values()])


def rung(score, share=0.0):
    return Rung(share=share, score=score, loss=0.1, seconds=1.0, steps=1, ended="2026-01-01T00:00:00+00:00")


@pytest.fixture
def records(record_of, begun):
    """Thirty policies with a score in full; those with w1a1 scored 0.3 less after calibration."""
    generator = np.random.default_rng(1)
    rows = EVERY[generator.choice(81, 30, replace=False)]
    found = []
    for number, codes in enumerate(rows):
        score = float(true_scores(codes[None])[0] + 0.004 * generator.standard_normal())
        lower = score - (0.3 if (codes == 0).any() else 0.01)
        trial = replace(begun(number), policy=policy_of(codes))
        found.append(record_of(trial, score=score, loss=1 - score, rungs=(rung(lower),)))
    return found


@pytest.fixture
def next_training(space_of):
    def build(bounds=None, repeats="auto"):
        space = space_of(
            trial="{steps: 20, high_bit_steps: 10, batch_size: 32, calibration_samples: 32, bn_samples: 32, "
            "fidelities: [0, 0.25, 1]}",
            search=f"{{trials: 40, workers: 0, sampler: mpsearch, repeats: {repeats}}}",
        )
        knowledge = Knowledge(policies=policies_of(bounds), proxy=None, samples=400)
        reference = {"accuracy": 0.0, "latency": 88.0, "memory": 35.2}
        built = next_training_of(space, knowledge, reference, codes_of)
        assert isinstance(built, NextTraining)
        return built

    return build


def unseen(records):
    seen = {record.policy for record in records}
    return [policy for policy in map(policy_of, EVERY.tolist()) if policy not in seen]


def climber(number, policy, score, begun, record_of):
    costs = record_of(begun(0)).costs
    return Climber(number=number, policy=policy, costs=costs, origin="sampler", rungs=(rung(score),))


def state_of(records, waiting=(), **changes):
    return SearchState(
        records=records,
        scores=PolicyScores(records),
        waiting={one.number: one for one in waiting},
        **changes,
    )


def test_only_the_sampler_that_knows_the_costs_compares_and_only_where_a_score_is_sought(space_of):
    knowledge = Knowledge(policies=policies_of(), proxy=None, samples=400)
    reference = {"accuracy": 0.0, "latency": 1.0, "memory": 1.0}
    other = space_of(search="{sampler: tpe}")
    assert next_training_of(other, knowledge, reference, codes_of) is None
    assert next_training_of(other, None, reference, codes_of) is None


def test_it_is_ready_once_eight_policies_have_a_score(next_training, records):
    assert not next_training().is_ready(state_of(records[:7]))
    assert next_training().is_ready(state_of(records[:8]))


def test_a_short_score_is_translated_by_what_its_own_bit_regime_gained(
    next_training, records, begun, record_of
):
    low = next(policy for policy in unseen(records) if "w1a1" in policy.names().values())
    high = next(policy for policy in unseen(records) if "w1a1" not in policy.names().values())
    waiting = [climber(50, low, 0.5, begun, record_of), climber(51, high, 0.5, begun, record_of)]
    expected = next_training().estimates(state_of(records, waiting))
    assert expected[50].score > 0.7
    assert expected[51].score < 0.6
    assert all(estimate.variance > 0 for estimate in expected.values())


def test_of_those_that_wait_the_one_that_promises_most_goes_on(next_training, records, begun, record_of):
    first, *others = unseen(records)
    promising = [climber(60 + n, policy, 0.2, begun, record_of) for n, policy in enumerate(others[:6])]
    best = climber(50, first, 0.99, begun, record_of)
    better = next_training().choose(state_of(records, [*promising, best]), None)
    assert better is best


def test_none_goes_on_whose_short_score_rules_it_out(next_training, records, begun, record_of):
    costly = policy_of((2, 2, 2, 1))
    left = [record for record in records if record.policy != costly]
    hopeless = climber(50, costly, 0.88, begun, record_of)
    assert next_training().choose(state_of(left, [hopeless]), None) is None


def test_what_costs_more_than_a_budget_allows_never_goes_on(next_training, records, begun, record_of):
    policy = next(p for p in unseen(records) if (codes_of(p) > 0).all())
    best = climber(50, policy, 0.99, begun, record_of)
    assert next_training(bounds=[np.inf, 12.0]).choose(state_of(records, [best]), None) is None


def test_a_new_policy_that_promises_nothing_gives_way_to_another_seed(next_training, records):
    worst = max(unseen(records), key=lambda policy: codes_of(policy).sum())
    told = [*records, replace(records[0], number=99, policy=policy_of((2, 2, 2, 1)), score=0.99)]
    if worst == told[-1].policy:
        worst = sorted(unseen(told), key=lambda policy: codes_of(policy).sum())[-1]
    better = next_training().choose(state_of(told), worst)
    assert better is not None
    assert better.policy in {record.policy for record in told}
    assert next_training(repeats="off").choose(state_of(told), worst) is None


def test_a_policy_whose_further_seed_runs_is_not_given_a_second_one(next_training, records):
    worst = max(unseen(records), key=lambda policy: codes_of(policy).sum())
    first = next_training().choose(state_of(records), worst)
    assert first is not None
    second = next_training().choose(state_of(records, repeated=[first.policy]), worst)
    assert second is None or second.policy != first.policy


def test_a_policy_whose_further_seed_failed_is_not_given_another(next_training, records):
    worst = max(unseen(records), key=lambda policy: codes_of(policy).sum())
    first = next_training().choose(state_of(records), worst)
    assert first is not None
    failed = replace(
        first, number=99, state="failed", score=None, loss=None, seed=1, origin="repeat", failure="no score"
    )
    second = next_training().choose(state_of([*records, failed]), worst)
    assert second is None or second.policy != first.policy


def test_without_repeats_one_that_waits_has_to_be_worth_more_than_a_new_policy_only(
    next_training, records, begun, record_of
):
    compared = next_training(repeats="off")
    worst = max(unseen(records), key=lambda policy: codes_of(policy).sum())
    between = []
    for policy in unseen(records):
        one = climber(50, policy, 0.7, begun, record_of)
        state = state_of(records, [one])
        prospects = compared._prospects(state)
        codes = np.array([codes_of(policy), codes_of(worst)])
        rates = prospects.of_policies(codes) / [compared._effort(policy, 1), compared._effort(worst, 0)]
        if policy != worst and rates[1] < rates[0] < compared._contested(prospects, state)[0]:
            between.append(policy)
            assert compared.choose(state, worst) is one
    assert between


def test_the_32_bit_model_is_not_trained_so_no_further_seed_of_it_is_worth_anything(next_training, records):
    worst = max(unseen(records), key=lambda policy: codes_of(policy).sum())
    first = next_training().choose(state_of(records), worst)
    unseeded = replace(first, policy=PrecisionPolicy.uniform(first.policy.keys(), "w32a32"))
    codes = {unseeded.policy: codes_of(first.policy)}
    chosen = next_training()
    chosen._codes_of = lambda policy: codes[policy] if policy in codes else codes_of(policy)
    others = [record for record in records if record.number != first.number]
    second = chosen.choose(state_of([*others, unseeded]), worst)
    assert second is None or second.policy != unseeded.policy


def test_effort_grows_with_steps_and_counts_what_is_around_them(next_training, space_of):
    recipe = space_of(
        trial="{steps: 20, high_bit_steps: 10, batch_size: 32, calibration_samples: 32, bn_samples: 32}"
    ).trial
    low, high = policy_of((0, 0, 0, 0)), policy_of((2, 2, 2, 2))
    assert training_effort(recipe, low, 0.0, samples=64) == pytest.approx((32 + 32 + 64) / 32 / 3)
    assert training_effort(recipe, low, 1.0, samples=64) == pytest.approx(20 + (32 + 32 + 128) / 32 / 3)
    assert training_effort(recipe, high, 1.0, samples=64) == pytest.approx(10 + (32 + 32 + 128) / 32 / 3)
