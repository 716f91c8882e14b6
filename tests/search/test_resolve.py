import numpy as np
import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.models.trace import trace_model
from mpsearch.search.resolve import all_codes, resolve

LAYERS = ("0", "2", "4")


def test_the_first_rule_that_matches_decides(space_of, trace):
    space = space_of(layers='[{match: "0", pin: w8a8}, {match: "*", schemes: [w1a1, w4a8]}]')
    resolved = resolve(space, trace)
    assert {name: scheme.name for name, scheme in resolved.pinned.items()} == {"0": "w8a8"}
    assert [choice.name for choice in resolved.choices] == ["2", "4"]
    assert resolved.policies == 4


def test_rules_may_match_by_operator(space_of, trace):
    space = space_of(layers="[{operator: linear, schemes: [w4a8, w1a1]}]")
    assert resolve(space, trace).policies == 8


def test_layers_of_a_group_share_one_scheme(space_of, trace):
    space = space_of(
        layers='[{match: "[02]", schemes: [w1a1, w4a8], group: a}, '
        '{match: "*", schemes: [w4a8, w8a8, w32a32]}]'
    )
    resolved = resolve(space, trace)
    assert resolved.policies == 6
    assert resolved.policy([1, 0]).names() == {"0": "w4a8", "2": "w4a8", "4": "w4a8"}


def test_codes_and_policies_are_inverse(space, trace):
    resolved = resolve(space, trace)
    every = np.concatenate(list(all_codes(resolved)))
    assert len(every) == resolved.policies == 125
    assert len({resolved.policy(codes) for codes in every}) == 125
    for codes in every[::7]:
        assert (resolved.codes(resolved.policy(codes)) == codes).all()


def test_a_policy_of_another_space_has_no_codes(space_of, trace):
    wide, narrow = (
        resolve(space_of(), trace),
        resolve(space_of(layers='[{match: "*", schemes: [w1a1, w8a8]}]'), trace),
    )
    with pytest.raises(ConfigError, match="must share one of w1a1, w8a8"):
        narrow.codes(wide.policy([2, 2, 2]))


def test_anchors_take_the_nearest_scheme_where_their_own_is_not_allowed(space_of, trace):
    space = space_of(
        layers='[{match: "0", schemes: [w4a8, w8a8]}, {match: "*", schemes: [w1a1, w8a8, w32a32]}]'
    )
    anchors = [anchor.names() for anchor in resolve(space, trace).anchors()]
    assert anchors == [
        {"0": "w8a8", "2": "w32a32", "4": "w32a32"},
        {"0": "w8a8", "2": "w8a8", "4": "w8a8"},
        {"0": "w4a8", "2": "w8a8", "4": "w8a8"},
        {"0": "w4a8", "2": "w1a1", "4": "w1a1"},
    ]


def test_a_space_without_a_choice_has_one_policy(space_of, trace):
    resolved = resolve(space_of(layers='[{match: "*", pin: w4a8}]'), trace)
    assert resolved.policies == 1
    assert [anchor.uniform_scheme.name for anchor in resolved.anchors()] == ["w4a8"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ('[{match: "0", pin: w8a8}]', r"'2' \(linear\) is matched by none. Add a last rule"),
        ('[{match: "zero", pin: w8a8}, {match: "*", pin: w8a8}]', r"none.*The model has 0, 2, 4 \(linear\)"),
        ('[{operator: linea, pin: w8a8}, {match: "*", pin: w8a8}]', r"`operator: linea`.*mean 'linear'"),
        ('[{match: "*", pin: w8a8}, {match: "2", pin: w4a8}]', r"rules above it have taken: 2. Move it up"),
        ('[{match: "0", schemes: [w1a1, w8a8], group: g}, {match: "*", schemes: [w1a1, w4a8], group: g}]',
         r"group 'g' must allow the same schemes"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_the_model_are_refused(space_of, trace, layers, message):
    with pytest.raises(ConfigError, match=message):
        resolve(space_of(layers=layers), trace)


def test_a_last_rule_for_all_may_have_nothing_left_to_do(space_of, trace):
    space = space_of(
        layers='[{operator: linear, schemes: [w1a1, w8a8]}, {match: "*", schemes: [w8a8, w32a32]}]'
    )
    assert resolve(space, trace).policies == 8


def test_a_model_without_quantizable_layers_is_refused_with_the_reasons(space):
    trace = trace_model(nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3)), (torch.ones(2, 3),))
    with pytest.raises(ConfigError, match=r"it has none: 0 \(BatchNorm1d\): normalization .*; 1 \(LayerNorm"):
        resolve(space, trace)
