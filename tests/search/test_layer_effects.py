"""What each layer of a run loses and saves: verdicts, exact costs, references, and where none is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpsearch.errors import ConfigError, RunError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.costs import Costs
from mpsearch.search.layer_effects import FitQuality, layer_effects
from mpsearch.search.repeated_trials import pooled
from mpsearch.search.resolve import resolve
from mpsearch.search.space_file import parse_space

GROUPED = """
schema: 1
task: {name: digits}
layers:
  - {match: conv1, pin: w8a8}
  - {match: "block.*", schemes: [w1a1, w1.58a8, w4a8, w8a8], group: block}
  - {match: "*", schemes: [w1a1, w1.58a8, w4a8, w8a8]}
"""
LOST = {"w1a1": 0.10, "w1a8": 0.07, "w1.58a8": 0.04, "w4a8": 0.004, "w8a8": 0.001, "w32a32": 0.0}
SENSITIVE, ROBUST = "block.conv2", "head.fc1"


def scored(run, space=None, *, count=60, lost=LOST, noise=0.001):
    """The run with other trials: only `SENSITIVE` loses all of `lost`, the others a twentieth of it."""
    generator = np.random.default_rng(0)
    run = dataclasses.replace(run, space=space or run.space, validation_samples=5000, test_scores={})
    resolved = resolve(run.space, run.model)
    policies = list(resolved.anchors())
    while len(policies) < count:
        policies.append(resolved.policy([generator.integers(size) for size in resolved.sizes]))
    records = []
    for number, policy in enumerate(policies):
        loss = sum(lost[s.name] * (1 if layer == SENSITIVE else 0.05) for layer, s in policy.items())
        score = round((0.95 - loss + noise * generator.standard_normal()) * 5000) / 5000
        records.append(
            dataclasses.replace(
                run.records[0], number=number, policy=policy, score=min(score, 1.0),
                origin="anchor" if number < len(resolved.anchors()) else "sampler",
                costs=Costs.of(run.cost_model.evaluate(policy)),
            )
        )  # fmt: skip
    return dataclasses.replace(run, records=tuple(records))


@pytest.fixture
def run(finished_run):
    return scored(finished_run)


def test_the_sensitive_layer_must_stay_and_the_others_can_go_low(run):
    effects = layer_effects(run)
    sensitive = effects.of(SENSITIVE)
    assert sensitive.not_below is not None
    assert sensitive.not_below.weight_bits >= 4
    assert sensitive.can_go_to is None or sensitive.can_go_to.scheme.weight_bits >= 4
    assert {e.scheme.name for e in sensitive.lower if e.verdict == "costly"} >= {"w1a1", "w1a8", "w1.58a8"}
    for choice in effects.choices:
        if choice.choice != SENSITIVE:
            assert choice.can_go_to is not None
            assert choice.can_go_to.scheme.weight_bits <= 1.58
            assert choice.not_below is None


def test_below_a_costly_scheme_nothing_is_offered_unless_it_is_seen_to_be_safe(finished_run):
    odd = scored(finished_run, lost=LOST | {"w4a8": 0.08, "w1.58a8": 0.06})
    unseen = tuple(r for r in odd.records if r.policy[SENSITIVE].name not in {"w1a8", "w1a1"})
    sensitive = layer_effects(dataclasses.replace(odd, records=unseen)).of(SENSITIVE)
    verdicts = {effect.scheme.name: effect.verdict for effect in sensitive.lower}
    assert verdicts["w4a8"] == verdicts["w1.58a8"] == "costly"
    assert sensitive.not_below == SCHEMES["w8a8"]
    safe = scored(finished_run, lost=LOST | {"w4a8": 0.08, "w1a8": 0.0})
    sensitive = layer_effects(safe).of(SENSITIVE)
    assert sensitive.can_go_to.scheme == sensitive.not_below == SCHEMES["w1a8"]


def test_effects_are_those_that_the_scores_were_made_with(run):
    effects = layer_effects(run)
    for effect in effects.effects:
        true = -LOST[effect.scheme.name] * (1 if effect.choice == SENSITIVE else 0.05)
        assert effect.interval[0] - 0.002 <= true <= effect.interval[1] + 0.002
    assert effects.reference_accuracy == pytest.approx(0.95, abs=0.003)
    assert effects.fit.explained > 0.9
    assert effects.fit.rank_correlation > 0.9
    assert effects.fit.warning is None


def test_costs_saved_are_the_exact_differences_of_two_policies(run):
    effects = layer_effects(run)
    before = run.cost_report(effects.reference)
    for effect in effects.effects:
        after = run.cost_report(PrecisionPolicy({**effects.reference, effect.choice: effect.scheme}))
        assert effect.latency_saved_s == pytest.approx(before.latency_s - after.latency_s, abs=1e-15)
        assert effect.memory_saved_bytes == before.memory_bytes - after.memory_bytes
        assert effect.energy_saved_j == pytest.approx(before.energy_j - after.energy_j, abs=1e-15)
    joint = effects.together
    after = run.cost_report(joint.policy)
    assert joint.memory_saved_bytes == before.memory_bytes - after.memory_bytes
    for choice in effects.choices:
        expected = effects.reference[choice.choice] if choice.can_go_to is None else choice.can_go_to.scheme
        assert joint.policy[choice.choice] == expected


def test_every_choice_has_every_other_scheme_with_the_trials_that_took_it(run):
    effects = layer_effects(run)
    assert len(effects.effects) == 5 * (len(SCHEMES) - 1)
    for effect in effects.effects:
        seen = sum(r.is_complete and r.policy[effect.choice] == effect.scheme for r in run.records)
        assert effect.trials == seen


def test_the_reference_is_the_most_precise_uniform_policy_that_was_trained(run):
    assert layer_effects(run).reference.uniform_scheme == SCHEMES["w32a32"]
    without = dataclasses.replace(run, records=run.records[1:])
    effects = layer_effects(without)
    assert effects.reference.uniform_scheme == SCHEMES["w8a8"]
    assert effects.reference_trial == 1
    assert [e.scheme.name for e in effects.choices[0].lower] == ["w4a8", "w1.58a8", "w1a8", "w1a1"]


def test_effects_can_start_from_any_policy_and_then_also_go_up(run):
    reference = PrecisionPolicy.uniform(list(run.records[0].policy), SCHEMES["w1.58a8"])
    sensitive = layer_effects(run, reference).of(SENSITIVE)
    change = {effect.scheme.name: effect.accuracy_change for effect in sensitive.effects}
    assert change["w8a8"] > 0.02
    assert change["w1a1"] < -0.02
    assert [e.scheme.name for e in sensitive.lower] == ["w1a8", "w1a1"]


def test_a_stricter_tolerance_lets_fewer_layers_go_as_low(run):
    lowest = [
        sum(c.can_go_to is not None and c.can_go_to.scheme.weight_bits <= 1.58 for c in layer_effects(
            run, tolerance=tolerance
        ).choices)
        for tolerance in (0.0005, 0.02)
    ]  # fmt: skip
    assert lowest[0] < lowest[1]


def test_groups_are_one_choice_and_pinned_layers_none(finished_run):
    effects = layer_effects(scored(finished_run, parse_space(GROUPED, name="digits")))
    block = effects.of("group:block")
    assert block.layers == ("block.conv2", "block.conv3")
    assert effects.pinned == {"conv1": SCHEMES["w8a8"]}
    assert "conv1" not in {layer for choice in effects.choices for layer in choice.layers}
    with pytest.raises(ConfigError, match=r"group:block, head\.fc1"):
        effects.of("conv1")


def test_failed_trials_are_left_out(run):
    failed = [
        dataclasses.replace(r, state="failed", score=None, failure="NaN") if r.number % 7 == 6 else r
        for r in run.records
    ]
    effects = layer_effects(dataclasses.replace(run, records=tuple(failed)))
    assert effects.fit.failed == sum(not r.is_complete for r in failed) > 0
    assert effects.fit.trials == len(failed) - effects.fit.failed
    assert all(np.isfinite(effect.interval).all() for effect in effects.effects)


def test_a_mean_over_seeds_tells_more_than_a_single_training_of_that_score(finished_run):
    generator = np.random.default_rng(4)
    run = scored(finished_run, noise=0.02)
    best = run.records[0].policy
    lowered = [PrecisionPolicy({**best, SENSITIVE: scheme}) for scheme in list(SCHEMES.values())[:-1]]
    records = [
        dataclasses.replace(
            run.records[0],
            number=100 + seed + 10 * place,
            seed=seed,
            policy=policy,
            score=0.94 - LOST[policy[SENSITIVE].name] + 0.02 * generator.standard_normal(),
        )
        for place, policy in enumerate([best, *lowered])
        for seed in range(9)
    ]
    often = dataclasses.replace(run, records=pooled((*run.records[1:], *records)))
    once = dataclasses.replace(
        often, records=tuple(dataclasses.replace(record, trainings=()) for record in often.records)
    )
    told, untold = layer_effects(often), layer_effects(once)
    widths = [
        np.mean([effect.interval[1] - effect.interval[0] for effect in found.of(SENSITIVE).effects])
        for found in (told, untold)
    ]
    assert widths[0] < 0.95 * widths[1]
    assert told.fit.trials == untold.fit.trials == len(often.records)
    assert [effect.trials for effect in told.effects] == [effect.trials for effect in untold.effects]


def test_the_order_of_the_trials_does_not_matter(run):
    turned = dataclasses.replace(run, records=tuple(reversed(run.records)))
    assert layer_effects(turned).effects == layer_effects(run).effects


def test_too_few_trials_or_nothing_to_choose_are_said(run):
    with pytest.raises(RunError, match=r"at least 8 complete trials.*has 7.*mpsearch search"):
        layer_effects(dataclasses.replace(run, records=run.records[:7]))
    layers = 'layers:\n  - {match: "*", pin: w8a8}\n'
    pinned = parse_space(f"schema: 1\ntask: {{name: digits}}\n{layers}", name="digits")
    with pytest.raises(RunError, match="every layer is pinned"):
        layer_effects(dataclasses.replace(run, space=pinned))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        layer_effects(run, tolerance=1.5)


@pytest.mark.parametrize("score", [-1.5, 31.0])
def test_a_metric_that_leaves_0_to_1_is_refused_with_the_trial(run, score):
    records = (*run.records[:20], dataclasses.replace(run.records[20], score=score))
    with pytest.raises(RunError, match=rf"between 0 and 1; trial 20 has accuracy {score:.4g}"):
        layer_effects(dataclasses.replace(run, records=records))


def test_scores_that_no_sum_of_effects_explains_are_warned_of(run):
    generator = np.random.default_rng(3)
    noisy = [dataclasses.replace(r, score=float(generator.uniform(0.3, 0.9))) for r in run.records]
    fit = layer_effects(dataclasses.replace(run, records=tuple(noisy))).fit
    assert fit.explained < 0.3
    assert "Read the effects as hints" in fit.warning
    calm = FitQuality(
        trials=40, failed=0, samples=400, residual=0.005, sampling=0.005, spread=0.0051, explained=0.04,
        rank_correlation=0.1, scale="accuracy",
    )  # fmt: skip
    assert calm.warning is None


def test_equal_scores_are_no_trouble(run):
    equal = tuple(dataclasses.replace(record, score=1.0) for record in run.records)
    effects = layer_effects(dataclasses.replace(run, records=equal))
    assert (effects.fit.explained, effects.fit.rank_correlation) == (0.0, 0.0)
    assert effects.fit.warning is None  # nothing differs, so nothing is unexplained
    assert all(effect.verdict == "safe" for effect in effects.effects)
