"""The measured ranking of a built-in task is found for its spaces, and for those only."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from mpsearch.report.ranking_text import ranking_text
from mpsearch.search import score_ranking as module
from mpsearch.search.score_ranking import MeasuredRanking, measured_rankings, score_ranking
from mpsearch.search.space import TaskReference
from mpsearch.search.space_file import load_space
from mpsearch.training.recipe import TrialRecipe


def measured(steps, **settings):
    recipe = TrialRecipe(batch_size=50, **settings)
    return MeasuredRanking(
        task="digits",
        args={"model": "cnn"},
        steps=steps,
        long_steps=2000,
        policies=48,
        tau=0.8,
        low=0.7,
        high=0.9,
        settings=asdict(recipe),
    )


@pytest.fixture
def space():
    return load_space("digits")


@pytest.fixture
def table(monkeypatch):
    """A function: the table holds these."""
    return lambda *rows: monkeypatch.setattr(module, "measured_rankings", lambda: rows)


def test_the_measurement_with_the_most_steps_that_trials_have_too_is_taken(space, table):
    table(measured(40), measured(200), measured(400))
    assert space.trial.steps == 200
    found = score_ranking(space)
    assert found.measured.steps == 200
    assert found.differing == ()
    assert score_ranking(replace(space, trial=replace(space.trial, steps=30))) is None


def test_another_task_model_or_batch_size_has_no_measurement(space, table):
    table(measured(200))
    others = (
        replace(space, task=TaskReference(name="cifar10", args={"model": "cnn"})),
        replace(space, task=TaskReference(name="digits", args={"model": "mlp"})),
        replace(space, trial=replace(space.trial, batch_size=64)),
    )
    assert [score_ranking(other) for other in others] == [None, None, None]
    elsewhere = TaskReference(name="digits", args={"model": "cnn", "data": "/here"})
    assert score_ranking(replace(space, task=elsewhere)) is not None


def test_settings_that_were_others_are_named(space, table):
    table(measured(200, ternary="absmean", temperature=3.0))
    assert score_ranking(space).differing == ("temperature", "ternary")
    assert ranking_text(score_ranking(space)).endswith("; measured with other temperature, ternary")


def test_fewer_steps_of_high_bits_than_were_measured_are_named(space, table):
    table(measured(200, high_bit_steps=400))  # 40 of them at the trial's share
    assert space.trial.high_bit_steps == 40
    assert score_ranking(space).differing == ()
    shorter = replace(space, trial=replace(space.trial, high_bit_steps=39))
    assert score_ranking(shorter).differing == ("high_bit_steps",)


def test_a_setting_that_the_measurement_does_not_know_was_at_its_default(space, table):
    old = asdict(TrialRecipe(batch_size=50))
    del old["augment"]
    table(replace(measured(200), settings=old))
    assert score_ranking(space).differing == ()
    augmented = replace(space, trial=replace(space.trial, augment=True))
    assert score_ranking(augmented).differing == ("augment",)


def test_the_text_names_the_policies_both_lengths_and_the_interval(space, table):
    table(measured(200))
    assert ranking_text(score_ranking(space)) == (
        "200 steps rank 48 random policies of this model like 2000 do: tau 0.80 (0.70 to 0.90)"
    )
    assert ranking_text(None) == "not measured for this task and recipe"


def test_the_table_of_the_package_can_be_read():
    for row in measured_rankings():
        assert -1 <= row.low <= row.tau <= row.high <= 1
        assert 0 < row.steps < row.long_steps
