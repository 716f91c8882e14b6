"""Few policies show every step, in as many places as asked for."""

from collections import Counter

import pytest

from mpsearch.cost.layer_terms import needed_steps
from mpsearch.models.resnet import resnet20
from mpsearch.models.trace import trace_model
from mpsearch.plan.compile import compile_plan
from mpsearch.plan.fusion import fuse
from mpsearch.plan.group_table import group_tables
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling.covering import covering_policies


@pytest.fixture(scope="module")
def trace():
    import torch

    return trace_model(resnet20(), (torch.zeros(1, 3, 32, 32),))


def covered(trace, allowed, *, contexts, wanted=None, seed=0):
    fused = fuse(trace.graph)
    tables = group_tables(fused, allowed, batch=1)
    wanted = needed_steps(trace, allowed) if wanted is None else wanted
    policies = covering_policies(tables, allowed, wanted, contexts=contexts, seed=seed)
    plans = [[step.shape for step in compile_plan(fused, policy, batch=1)] for policy in policies]
    return policies, Counter(shape for plan in plans for shape in plan)


@pytest.mark.parametrize("contexts", [1, 2])
def test_every_step_of_a_resnet_is_shown_by_few_policies(trace, contexts):
    allowed = {layer.name: tuple(SCHEMES.values()) for layer in trace.layers}
    policies, shown = covered(trace, allowed, contexts=contexts)
    assert all(shown[step] >= contexts for step in needed_steps(trace, allowed))
    assert len(policies) <= 40 * contexts


def test_policies_stay_within_what_is_allowed_and_are_the_same_for_the_same_seed(trace):
    allowed = {layer.name: (SCHEMES["w1a8"], SCHEMES["w8a8"]) for layer in trace.layers}
    policies, _ = covered(trace, allowed, contexts=1, seed=3)
    assert all(policy[name] in allowed[name] for policy in policies for name in allowed)
    assert covered(trace, allowed, contexts=1, seed=3)[0] == policies


def test_steps_that_are_not_wanted_or_cannot_occur_ask_for_no_policy(trace):
    allowed = {layer.name: (SCHEMES["w8a8"],) for layer in trace.layers}
    elsewhere = needed_steps(trace, {layer.name: (SCHEMES["w32a32"],) for layer in trace.layers})
    only_there = set(elsewhere) - set(needed_steps(trace, allowed))
    assert covered(trace, allowed, contexts=1, wanted=tuple(only_there))[0] == []
