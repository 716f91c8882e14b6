"""`mpsearch explain` at any width: the table, the plot of intervals, the sentences, the next command."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import shlex

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.effect_text import change_words, cost_text, points, saved_words
from mpsearch.report.explain_json import explain_json
from mpsearch.report.explain_summary import next_command
from mpsearch.report.explain_view import chosen_choices, explain_view
from mpsearch.report.forest_plot import ForestAxis, Whisker
from mpsearch.search.costs import Costs
from mpsearch.search.layer_effects import layer_effects
from mpsearch.search.overrides import Overrides
from mpsearch.search.resolve import resolve
from mpsearch.search.space_file import parse_space

SPACE = """
schema: 1
task: {name: digits}
layers:
  - {match: conv1, pin: w8a8}
  - {match: "block.*", schemes: [w1a1, w1.58a8, w4a8, w8a8], group: block}
  - {match: "*", schemes: [w1a1, w1.58a8, w4a8, w8a8, w32a32]}
"""
LOST = {"w1a1": 0.3, "w1.58a8": 0.12, "w4a8": 0.004, "w8a8": 0.0, "w32a32": 0.0}


@pytest.fixture
def run(finished_run):
    """The block must stay high; the head can go low."""
    generator = np.random.default_rng(0)
    run = dataclasses.replace(
        finished_run, space=parse_space(SPACE, name="digits"), validation_samples=5000, test_scores={}
    )
    resolved = resolve(run.space, run.model)
    policies = list(resolved.anchors())
    while len(policies) < 50:
        policies.append(resolved.policy([generator.integers(size) for size in resolved.sizes]))
    records = []
    for number, policy in enumerate(policies):
        loss = LOST[policy["block.conv2"].name] + 0.02 * LOST[policy["head.fc1"].name]
        records.append(
            dataclasses.replace(
                run.records[0], number=number, policy=policy, origin="anchor" if number < 5 else "sampler",
                score=round(5000 * (0.95 - loss + 0.001 * generator.standard_normal())) / 5000,
                costs=Costs.of(run.cost_model.evaluate(policy)),
            )
        )  # fmt: skip
    return dataclasses.replace(run, records=tuple(records))


@pytest.fixture
def effects(run):
    return layer_effects(run)


def shown(view, width: int, **options) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(view)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("every_scheme", [False, True])
def test_the_view_fits_and_names_every_choice(run, effects, width, every_scheme):
    text = shown(explain_view(run, effects, effects.choices, every_scheme=every_scheme), width)
    assert max(map(len, text.splitlines())) <= width
    for name in ("block (2)", "head.fc1", "head.fc2", "points lost", "pinned", "conv1"):
        assert name in text


def test_a_row_tells_what_it_costs_how_far_it_goes_and_what_that_saves(run, effects):
    text = shown(explain_view(run, effects, effects.choices), 160)
    head = next(line for line in text.splitlines() if line.startswith("head.fc1"))
    effect = effects.of("head.fc1").can_go_to
    assert f" {effect.memory_saved_bytes // 1000}." in head
    assert cost_text(effect) in head
    assert head.split()[-1] == str(effect.trials)
    block = next(line for line in text.splitlines() if line.startswith("block (2)"))
    assert re.search(r"1[12](\.\d)?!", block)  # ternary
    assert re.search(r"(29|30|31)!", block)


def test_the_sentences_say_who_goes_low_and_who_stays_high(run, effects):
    text = " ".join(shown(explain_view(run, effects, effects.choices), 120).split())
    assert re.search(r"head.fc1: 1.58 bit costs 0\.\d .*? points and saves 12\d KB", text)
    assert re.search(r"block: not below w4a8; 1.58 bit costs 1[12](\.\d)? ± \d(\.\d)? points", text)
    assert "lowering all of them at once costs" in text
    assert "block.conv2, block.conv3: one choice" in text


def test_colour_says_nothing_that_the_text_does_not(run, effects):
    view = explain_view(run, effects, effects.choices)
    plain = shown(view, 100)
    coloured = shown(view, 100, force_terminal=True, color_system="truecolor")
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    stripped = [line.rstrip() for line in Text.from_ansi(coloured).plain.splitlines()]
    assert stripped == [line.rstrip() for line in plain.splitlines()]


def test_a_fit_that_explains_badly_is_said_loudly(run):
    generator = np.random.default_rng(3)
    noisy = [dataclasses.replace(r, score=float(generator.uniform(0.3, 0.9))) for r in run.records]
    bad = dataclasses.replace(run, records=tuple(noisy))
    effects = layer_effects(bad)
    assert "Warning: Layer effects explain" in shown(explain_view(bad, effects, effects.choices), 120)


def test_overrides_of_the_run_are_told(run, effects):
    overridden = dataclasses.replace(run.space, overrides=Overrides.parse(pins=["head.fc2=w8a8"]))
    text = shown(explain_view(dataclasses.replace(run, space=overridden), effects, effects.choices), 100)
    assert "head.fc2 pinned to w8a8" in text


def test_layers_are_chosen_by_glob_group_or_member(effects):
    assert [c.choice for c in chosen_choices(effects, layers="head.*")] == ["head.fc1", "head.fc2"]
    for name in ("block", "group:block", "block.conv3"):
        assert [c.choice for c in chosen_choices(effects, layers=name)] == ["group:block"]
    with pytest.raises(ConfigError, match=r"Did you mean 'head\.fc."):
        chosen_choices(effects, layers="head.fc")
    with pytest.raises(ConfigError, match="conv1 cannot be chosen: the space pins it"):
        chosen_choices(effects, layers="conv1")


def test_layers_are_sorted_by_what_is_asked_for(effects):
    def names(order):
        return [choice.choice for choice in chosen_choices(effects, order=order)]

    assert names("model") == ["group:block", "head.fc1", "head.fc2"]
    assert names("name") == sorted(names("model"))
    assert names("accuracy")[0] == "group:block"
    assert names("memory")[0] == "head.fc1"
    saved = {c.choice: c.can_go_to.latency_saved_s for c in effects.choices if c.can_go_to}
    assert names("latency")[0] == max(saved, key=saved.get)


def test_the_next_command_forbids_what_surely_costs_too_much(run, effects):
    words = shlex.split(next_command(run, effects).plain.removeprefix("next"))
    assert words[:3] == ["mpsearch", "search", str(run.path)]
    assert words[words.index("--forbid") + 1] == "block.*=w1.58a8,w1a1"
    assert words[-2:] == ["--trials", "70"]
    parsed = Overrides.parse(forbid=[w for before, w in itertools.pairwise(words) if before == "--forbid"])
    assert not parsed.allows(run.records[4].policy)
    assert parsed.allows(run.records[0].policy)


def test_the_next_command_pins_where_nothing_costs_too_much(run):
    calm = tuple(dataclasses.replace(record, score=0.95) for record in run.records)
    command = next_command(run, layer_effects(dataclasses.replace(run, records=calm))).plain
    assert "--pin" in command
    assert "--forbid" not in command


def test_the_json_keeps_its_contract(run, effects):
    report = json.loads(json.dumps(explain_json(run, effects, effects.choices), allow_nan=False))
    assert report["schema"] == 1
    assert set(report) == {
        "schema", "run", "tolerance", "reference", "choices", "together", "pinned", "fit",
    }  # fmt: skip
    assert report["pinned"] == {"conv1": "w8a8"}
    assert set(report["reference"]["policy"]) == set(run.records[0].policy)
    block = report["choices"][0]
    assert (block["name"], block["layers"]) == ("group:block", ["block.conv2", "block.conv3"])
    assert (block["reference"], block["not_below"]) == ("w8a8", "w4a8")
    for effect in block["effects"]:
        low, high = effect["accuracy_change_interval"]
        assert low <= effect["accuracy_change"] <= high
        assert effect["verdict"] in {"safe", "unclear", "costly"}
        assert effect["scheme"] in SCHEMES
        assert effect["retrained_interval"][0] < effect["retrained_interval"][1]
        assert {"latency_saved_s", "memory_saved_bytes", "energy_saved_j", "trials"} <= set(effect)
    assert report["fit"]["warning"] is None


@pytest.mark.parametrize("width", [12, 30, 60])
def test_whiskers_lie_where_their_values_are(width):
    whisker = Whisker(low=-0.2, middle=0.4, high=1.4, style="green")
    axis = ForestAxis.fitted([whisker], limit=1.0)
    row = axis.row(whisker, width).plain
    assert len(row) == len(axis.ticks(width)) == width
    assert row.index("●") == axis.place(0.4, width)
    assert row.rstrip()[-1] in "─┼"
    assert row[axis.place(1.0, width)] == "┼"
    empty = axis.row(None, width).plain
    assert (empty[axis.place(0.0, width)], empty[axis.place(1.0, width)]) == ("│", "┊")


def test_a_wild_interval_ends_in_an_arrow_and_squashes_nobody():
    usual = [Whisker(low=-0.1, middle=0.1, high=0.3, style="") for _ in range(8)]
    wild = Whisker(low=20, middle=40, high=60, style="")
    axis = ForestAxis.fitted([*usual, wild], limit=0.5)
    assert axis.high < 5
    assert axis.row(wild, 40).plain.endswith(">")


def test_ticks_are_round_and_do_not_touch():
    ticks = ForestAxis(low=-0.3, high=2.2, limit=1.0).ticks(40)
    assert ticks.split() == ["0", "0.5", "1", "1.5", "2"]


@pytest.mark.parametrize(
    ("change", "interval", "text"),
    [
        (-0.003, (-0.004, -0.002), "0.3 ± 0.1"),
        (-0.003, (-0.012, -0.001), "0.3 (0.1 to 1.2)"),
        (0.0002, (-0.0009, 0.0013), "0.0 ± 0.1"),
        (-0.31, (-0.45, -0.2), "31 ± 12"),
        (-0.0004, (-0.0009, 0.0001), "0.04 ± 0.05"),
    ],
)
def test_costs_are_written_with_the_digits_that_their_interval_allows(effects, change, interval, text):
    effect = dataclasses.replace(effects.effects[0], accuracy_change=change, interval=interval)
    assert cost_text(effect) == text


def test_what_is_expected_to_score_better_gains(effects):
    better = dataclasses.replace(effects.effects[0], accuracy_change=0.002, interval=(-0.002, 0.006))
    assert change_words(better) == "gains 0.2 ± 0.4 points"
    worse = dataclasses.replace(better, accuracy_change=-0.002, interval=(-0.006, 0.002))
    assert change_words(worse) == "costs 0.2 ± 0.4 points"


def test_points_never_read_minus_nothing_and_savings_may_be_costs(effects):
    assert [points(share) for share in (-0.0001, 0.0123, 0.421)] == ["0.0", "1.2", "42"]
    effect = effects.effects[0]
    mixed = dataclasses.replace(effect, memory_saved_bytes=1500, latency_saved_s=-2e-6)
    assert saved_words(mixed) == "saves 1.50 KB but adds 2.00 µs"
    none = dataclasses.replace(effect, memory_saved_bytes=0, latency_saved_s=1e-9)  # below any timer
    assert saved_words(none) == "saves nothing"
