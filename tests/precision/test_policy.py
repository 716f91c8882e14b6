import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError, FormatError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES, scheme_named

policies = st.dictionaries(st.text(min_size=1), st.sampled_from(list(SCHEMES)), min_size=1).map(
    PrecisionPolicy
)


@given(policies)
def test_a_policy_survives_the_trip_through_names(policy):
    assert PrecisionPolicy.from_names(policy.names()) == policy


@given(policies)
def test_the_order_of_layers_changes_neither_equality_nor_hash_nor_key(policy):
    turned = PrecisionPolicy(dict(reversed(list(policy.items()))))
    assert turned == policy
    assert hash(turned) == hash(policy)
    assert turned.key == policy.key


def test_different_policies_differ_in_key():
    keys = {PrecisionPolicy.uniform(["a", "b"], scheme).key for scheme in SCHEMES.values()}
    assert len(keys) == len(SCHEMES)


def test_the_key_is_the_same_in_another_process():
    code = (
        "from mpsearch.precision.policy import PrecisionPolicy as P; print(P({'a': 'w1a1', 'b': 'w8a8'}).key)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == PrecisionPolicy({"b": "w8a8", "a": "w1a1"}).key


def test_an_unknown_scheme_is_rejected_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"one of w1a1, .*got 'w2a8'"):
        PrecisionPolicy({"a": "w2a8"})


def test_an_empty_policy_is_rejected():
    with pytest.raises(ConfigError, match="at least one layer"):
        PrecisionPolicy({})


@pytest.mark.parametrize("names", [None, [], "w1a1", {"a": 1}, {"a": None}, {"a": "w3"}, {}])
def test_names_of_the_wrong_form_are_a_format_error(names):
    with pytest.raises(FormatError):
        PrecisionPolicy.from_names(names)


def test_a_policy_cannot_be_changed():
    policy = PrecisionPolicy({"a": "w1a1"})
    with pytest.raises(TypeError):
        policy["a"] = FULL_PRECISION


def test_a_missing_layer_is_named_beside_those_there_are():
    with pytest.raises(KeyError, match=r"no layer 'x'.*it has a"):
        PrecisionPolicy({"a": "w1a1"})["x"]


def test_counts_and_uniformity():
    mixed = PrecisionPolicy({"a": "w1a1", "b": "w8a8", "c": "w8a8"})
    assert mixed.counts() == {scheme_named("w1a1"): 1, scheme_named("w8a8"): 2}
    assert mixed.uniform_scheme is None
    assert PrecisionPolicy.uniform(["a", "b"], FULL_PRECISION).is_full_precision
    assert mixed.summary == "1 w1a1 + 2 w8a8"
    assert PrecisionPolicy.uniform(["a", "b"], FULL_PRECISION).summary == "all-w32a32"


def test_schemes_are_ordered_from_fewest_to_most_bits():
    bits = [(scheme.weight_bits, scheme.activation_bits) for scheme in SCHEMES.values()]
    assert bits == sorted(bits)


def test_a_width_makes_another_policy_of_the_same_schemes():
    policy = PrecisionPolicy({"a": "w1a1", "b": "w8a8"})
    wide = policy.at_width(2)
    assert wide != policy
    assert len({policy, wide, policy.at_width(0.5), wide.at_width(2)}) == 3
    assert len({policy.key, wide.key, policy.at_width(0.5).key}) == 3
    assert wide.at_width(None) == policy
    assert wide.summary == "width 2: 1 w1a1 + 1 w8a8"
    assert PrecisionPolicy.from_names(wide.names(), 2) == wide


@pytest.mark.parametrize("width", [0, -1, True, "2", float("inf"), float("nan"), [1]])
def test_what_is_no_width_is_refused(width):
    with pytest.raises(FormatError, match="width of a policy must be a number above 0"):
        PrecisionPolicy.from_names({"a": "w1a1"}, width)
