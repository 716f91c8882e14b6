import pytest

from mpsearch.cli.budget_options import budgets_from
from mpsearch.errors import ConfigError

NONE = {
    "max_memory": None,
    "max_latency": None,
    "max_latency_p95": None,
    "max_latency_p99": None,
    "max_energy": None,
    "max_compressed_size": None,
    "max_loss": None,
    "min_accuracy": None,
}


def test_a_bound_may_be_given_for_each_machine():
    given = {**NONE, "max_latency": ["400us", "pi5=2ms"], "max_energy": ["pi5=9uJ"], "max_memory": "60KB"}
    assert budgets_from(**given).bounds() == {
        "latency": 4e-4,
        "memory": 60_000,
        "energy@pi5": 9e-6,
        "latency@pi5": 2e-3,
    }


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (["1us", "2us"], "must be given once; got latency <= 1us and 2us"),
        (["pi5=1us", "pi5=2us"], "got latency@pi5 <= 1us and 2us"),
        (["my pi=1us"], "letters, digits"),
        (["pi5=1KB"], "A duration must be"),
        (["pi5="], "A duration must be"),
    ],
)
def test_a_bound_that_cannot_be_is_refused(bounds, told):
    with pytest.raises(ConfigError, match=told):
        budgets_from(**{**NONE, "max_latency": bounds})
