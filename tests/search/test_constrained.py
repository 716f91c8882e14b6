"""Where budgets decide, the front is the best within them, as brute force finds it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mpsearch.search.best_trial import best_of
from mpsearch.search.budgets import Budgets
from mpsearch.search.constrained import deciding_budgets, least_excess, total_excess
from mpsearch.search.front import Front
from mpsearch.search.front_keeper import FrontKeeper
from mpsearch.search.history import history_of
from mpsearch.search.objective import OBJECTIVES, objectives_named
from mpsearch.search.overrides import Overrides

REFERENCE = {"accuracy": 0.0, "latency": 1.0, "memory": 1000.0, "loss": 2.0}


@pytest.fixture
def records(begun, record_of):
    """Trials with coarse values, so that some are equal."""
    generator = np.random.default_rng(3)
    found = []
    for number in range(60):
        record = record_of(
            begun(number), score=generator.integers(1, 10) / 10, loss=generator.integers(1, 10) / 5
        )
        costs = replace(
            record.costs,
            latency_s=generator.integers(1, 10) / 10,
            memory_bytes=int(100 * generator.integers(1, 10)),
        )
        found.append(replace(record, costs=costs, ended=f"2026-01-01T00:{number:02d}:00.000+00:00"))
    return found


def front_of(records, names, budgets):
    objectives = objectives_named(names)
    reference = {name: REFERENCE[name] for name in names}
    return Front(records, objectives, budgets, reference, lambda *_: None)


@pytest.mark.parametrize(
    ("names", "decide"),
    [
        (["accuracy"], True),
        (["loss"], True),
        (["latency"], True),
        (["latency", "memory"], True),
        (["accuracy", "latency"], False),
    ],
)
def test_budgets_decide_with_one_objective_or_none_that_is_learnt(names, decide):
    budgets = Budgets(accuracy=0.5)
    assert (deciding_budgets(objectives_named(names), budgets) == budgets) is decide
    assert deciding_budgets(objectives_named(names), Budgets()) is None


def test_the_best_accuracy_within_budgets_is_the_front_with_all_that_are_equal(records):
    budgets = Budgets(memory_bytes=500, latency_s=0.5)
    within = [r for r in records if r.memory_bytes <= 500 and r.latency_s <= 0.5]
    most = max(r.score for r in within)
    front = front_of(records, ["accuracy"], budgets)
    assert {r.number for r in front.records} == {r.number for r in within if r.score == most}
    assert front.best().record == best_of(front.records, front.objectives)


def test_the_fastest_that_keeps_an_accuracy_is_the_front_where_nothing_is_learnt(records):
    front = front_of(records, ["latency"], Budgets(accuracy=0.8))
    least = min(r.latency_s for r in records if r.score >= 0.8)
    assert {r.latency_s for r in front.records} == {least}
    assert all(r.score >= 0.8 for r in front.records)
    assert front.best().record.latency_s == least


def test_where_no_trial_meets_the_budgets_the_nearest_is_the_front(records):
    budgets = Budgets(accuracy=0.99, memory_bytes=50)
    front = front_of(records, ["latency", "memory"], budgets)
    assert set(front.records) <= set(least_excess(records, budgets))
    least = min(total_excess(r, budgets) for r in records)
    assert all(total_excess(r, budgets) == least > 0 for r in front.records)


@pytest.mark.parametrize(
    "names", [["accuracy"], ["loss"], ["latency"], ["latency", "memory"], ["loss", "memory"]]
)
@pytest.mark.parametrize(
    "budgets",
    [Budgets(accuracy=0.8), Budgets(loss=0.3, memory_bytes=300), Budgets(accuracy=0.99, memory_bytes=50)],
)
def test_the_front_that_grows_is_that_of_all_trials_at_every_moment(records, names, budgets):
    objectives, reference = objectives_named(names), {name: REFERENCE[name] for name in names}
    deciding = deciding_budgets(objectives, budgets)
    keeper = FrontKeeper(objectives, reference, deciding=deciding)
    for place, record in enumerate(records, start=1):
        keeper = keeper.with_record(record)
        assert keeper.numbers == set(front_of(records[:place], names, budgets).numbers)


@pytest.mark.parametrize("names", [["latency"], ["accuracy"]])
def test_the_hypervolume_is_zero_until_the_budgets_are_met_and_never_falls(records, names):
    budgets = Budgets(accuracy=0.9, memory_bytes=300)
    objectives, reference = objectives_named(names), {name: REFERENCE[name] for name in names}
    history = history_of(records, objectives, reference, Overrides(), budgets)
    first = next(place for place, r in enumerate(records) if r.score >= 0.9 and r.memory_bytes <= 300)
    volumes = [point.hypervolume for point in history]
    assert volumes[:first] == [0.0] * first
    assert volumes[first] > 0
    assert all(before <= after for before, after in pairwise(volumes))


def test_of_one_objective_the_hypervolume_is_the_way_from_the_reference_to_the_ideal(records):
    for name, ideal in (("accuracy", 1.0), ("latency", 0.0), ("loss", 0.0)):
        keeper = FrontKeeper((OBJECTIVES[name],), {name: REFERENCE[name]}, records)
        best = OBJECTIVES[name].of(keeper.records[0])
        assert keeper.hypervolume == pytest.approx((best - REFERENCE[name]) / (ideal - REFERENCE[name]))


def test_a_loss_that_is_not_known_breaks_a_bound_on_it(records):
    unknown = replace(records[0], loss=None)
    budgets = Budgets(loss=9.0)
    assert not budgets.are_met_by(unknown.costs, unknown.accuracy, unknown.loss)
    assert budgets.are_met_by(records[0].costs, records[0].accuracy, records[0].loss)


def test_the_best_follows_the_objectives(records):
    assert best_of(records, objectives_named(["loss", "memory"])).loss == min(r.loss for r in records)
    assert best_of(records, objectives_named(["memory"])).memory_bytes == min(r.memory_bytes for r in records)
    best = best_of(records, objectives_named(["accuracy", "latency"]))
    equal = [r for r in records if r.score == max(r.score for r in records)]
    assert best.score == equal[0].score
    assert best.latency_s == min(r.latency_s for r in equal)
    assert best_of([], objectives_named(["accuracy"])) is None
