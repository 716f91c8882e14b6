import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.search.budgets import Budgets
from mpsearch.search.costs import Costs

positive = st.none() | st.floats(1e-300, 1e300)
budgets = st.builds(
    Budgets,
    accuracy=st.none() | st.floats(0, 1),
    latency_s=positive,
    latency_p95_s=positive,
    latency_p99_s=positive,
    memory_bytes=positive,
    energy_j=positive,
)


def costs_of(*, latency_s, memory_bytes):
    return Costs(
        latency_s=latency_s,
        latency_p95_s=2 * latency_s,
        latency_p99_s=4 * latency_s,
        memory_bytes=memory_bytes,
        energy_j=1e-6,
    )


@given(budgets)
def test_budgets_survive_the_trip_through_text_exactly(given_budgets):
    assert Budgets.parse(given_budgets.texts()) == given_budgets


def test_budgets_are_read_with_their_units():
    parsed = Budgets.parse({"memory": "60KB", "latency": "400us", "energy": "5uJ", "accuracy": "90%"})
    assert parsed == Budgets(memory_bytes=60_000, latency_s=4e-4, energy_j=5e-6, accuracy=0.9)
    assert str(parsed) == "accuracy >= 90.00%, latency <= 400 us, memory <= 60.0 KB, energy <= 5.00 uJ"


def test_memory_may_be_a_number_of_bytes_but_no_other_budget_goes_without_its_unit():
    assert Budgets.parse({"memory": 60_000}).memory_bytes == 60_000
    for name in ("latency", "latency_p95", "latency_p99", "energy"):
        with pytest.raises(ConfigError, match="with a unit"):
            Budgets.parse({name: 400})


def test_an_unknown_budget_is_refused():
    with pytest.raises(ConfigError, match="got 'lateny'"):
        Budgets.parse({"lateny": "4us"})


def test_a_bound_is_met_by_what_equals_it():
    costs = costs_of(latency_s=4e-4, memory_bytes=60_000)
    assert Budgets.parse({"memory": "60KB", "latency": "400us", "accuracy": 0.9}).are_met_by(costs, 0.9)
    assert Budgets.parse({"latency_p95": "800us", "latency_p99": "1.6ms"}).are_met_by(costs, 0.9)
    assert not Budgets.parse({"latency_p95": "799us"}).are_met_by(costs, 0.9)
    assert not Budgets.parse({"memory": "59.9KB"}).are_met_by(costs, 0.9)
    assert not Budgets.parse({"accuracy": 0.91}).are_met_by(costs, 0.9)
    assert Budgets().are_met_by(costs, 0.0)
    assert not Budgets()


def test_violations_say_by_how_much():
    costs = costs_of(latency_s=8e-4, memory_bytes=30_000)
    asked = Budgets.parse({"memory": "60KB", "latency": "400us", "accuracy": 0.9})
    assert asked.violations(costs, 0.8) == pytest.approx({"latency": 1.0, "memory": -0.5, "accuracy": 0.1})
