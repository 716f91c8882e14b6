"""The words, bars and symbols of the inspector."""

from __future__ import annotations

import dataclasses
import math

import pytest
from textual.color import Color

from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.ascii_letters import ascii_cells
from mpsearch.report.inspector.change_text import cost_change, range_text, verdict
from mpsearch.report.inspector.compare_text import comparison_head, comparison_rows
from mpsearch.report.inspector.cost_cache import CostCache
from mpsearch.report.inspector.key_bar import Key, key_line
from mpsearch.report.inspector.layer_rows import LayerTable, strip_lines
from mpsearch.report.inspector.palette import DARK, LIGHT, MONO
from mpsearch.report.inspector.policy_text import panel_text
from mpsearch.report.inspector.run_watch import Sight
from mpsearch.report.inspector.status_text import header_text
from mpsearch.report.inspector.view_state import Looks, scene_of
from mpsearch.search.score_difference import score_difference

QUIET = Sight(run=None, is_searching=False, running=0)


@pytest.fixture(scope="module")
def scene(run):
    return scene_of(run, run.budgets, Looks(x="latency", y="accuracy"))


def test_changes_carry_their_sign_and_unit():
    assert cost_change("s", -3.1e-6) == "−3.10 µs"
    assert cost_change("B", 2048) == "+2.05 KB"
    assert cost_change("J", 0.0) == "="
    assert range_text(0.977, 1.0) == "97.7–100"
    assert range_text(math.nan, math.nan) == ""


def test_the_verdict_never_claims_what_the_samples_cannot_tell():
    unclear = verdict("A", "B", score_difference(0.9866, 0.9911, 449))
    assert "B scores 0.45 points higher, but 449 samples cannot tell the two apart" in unclear
    clear = verdict("A", "B", score_difference(0.95, 0.9, 5000))
    assert clear.startswith("A scores 5.00 points higher than B (95% interval +")
    assert "the same" in verdict("A", "B", score_difference(0.9, 0.9, 500))
    assert "unknown" in verdict("A", "B", score_difference(2.0, 3.0, 500))


@pytest.mark.parametrize("width", [32, 34, 45, 60, 78])
def test_layer_rows_fill_the_width_and_align(run, scene, width):
    costs = CostCache()
    report = costs.report(run, run.records[7].policy)
    table = LayerTable(report, DARK, width=width, sort="call order")
    rows = ["".join(text for text, _ in table.row(place)) for place in range(len(table))]
    assert {len(row) for row in rows} == {len(table.heading())}
    assert len(rows[0]) <= width
    assert rows[0][0] in "x1t48F"


def test_layer_rows_sort_by_what_they_cost(run):
    report = CostCache().report(run, run.records[7].policy)
    table = LayerTable(report, MONO, width=78, sort="memory")
    heaviest = max(report.layers, key=lambda layer: layer.memory_bytes)
    assert heaviest.name in "".join(text for text, _ in table.row(0))


def test_a_strip_takes_several_lines_and_leaves_the_middle_out_beyond():
    schemes = [SCHEMES["w8a8"]] * 50
    assert [line.plain for line in strip_lines(schemes, MONO, width=20, most=3)] == [
        "8" * 20,
        "8" * 20,
        "8" * 10,
    ]
    short = strip_lines(schemes, MONO, width=20, most=1)
    assert [line.plain for line in short] == ["8888888888…888888888"]


@pytest.mark.parametrize("width", [33, 46, 78])
@pytest.mark.parametrize("air", ["none", "some", "all"])
def test_the_panel_keeps_within_its_width(run, scene, width, air):
    for record in run.records:
        text = panel_text(scene, record, DARK, width=width, marks=(record.number,), strip_height=2, air=air)
        lines = [line for line in text.plain.splitlines() if not line.startswith("failed:")]
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [58, 78, 200])
def test_the_header_keeps_within_its_width(scene, width):
    for sight in (
        QUIET,
        Sight(run=None, is_searching=True, running=3),
        Sight(run=None, is_searching=False, running=0, problem="no"),
    ):
        assert len(header_text(scene, sight, DARK, width).plain) <= width


def test_a_run_that_was_stopped_says_how_far_it_came(run):
    fewer = dataclasses.replace(run, records=run.records[:7])
    scene = scene_of(fewer, fewer.budgets, Looks(x="latency", y="accuracy"))
    assert header_text(scene, QUIET, DARK, 100).plain.endswith("stopped, 7 of 40 done")


def test_the_comparison_fits_80_columns_and_adds_up(run, scene):
    a, b = (run.trial(number) for number in scene.front_order[:2])
    head = comparison_head(scene, a, b, DARK, width=75).plain
    figures = [
        line for line in head.splitlines() if line.startswith(("accuracy", "test", "latency", "measured"))
    ]
    assert figures
    assert max(map(len, figures)) <= 75
    costs = CostCache()
    one, other = costs.report(run, a.policy), costs.report(run, b.policy)
    rows = comparison_rows(one, other, DARK, width=75, only_different=False)
    assert len(rows) == len(one.layers) + 2
    assert max(len(row.plain) for row in rows) <= 75
    different = comparison_rows(one, other, DARK, width=75, only_different=True)
    assert len(different) == 2 + sum(
        x.scheme != y.scheme for x, y in zip(one.layers, other.layers, strict=True)
    )


def test_a_failed_trial_is_compared_too(run, scene):
    text = comparison_head(scene, run.trial(38), run.trial(0), DARK, width=100).plain
    assert "A failed: the loss became NaN" in text
    assert "cannot tell" not in text


def test_the_keys_that_matter_most_stay_in_a_narrow_bar():
    keys = [Key("a", "first", "x", 1), Key("?", "help", "y", 9)]
    assert key_line(keys, DARK, 40).plain == "a first  ? help"
    assert key_line(keys, DARK, 8).plain == "? help"


def test_palettes_differ_in_colours_only_and_mono_has_none():
    assert "#" not in MONO.ink("front") + MONO.block(SCHEMES["w8a8"]) + MONO.bar(SCHEMES["w8a8"])
    assert MONO.ink("faint") == "dim"
    for palette in (DARK, LIGHT):
        ground = Color.parse(palette.background)
        for field in (
            "text",
            "dim",
            "front",
            "knee",
            "best",
            "uniform",
            "baseline",
            "budget",
            "accent",
            "loss",
        ):
            # 3 is what WCAG asks of large text and of parts of a picture.
            ratio = _contrast(Color.parse(getattr(palette, field)), ground)
            assert ratio >= 3, (palette.name, field, ratio)


def _contrast(one: Color, other: Color) -> float:
    def luminance(colour: Color) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_terminal_without_unicode_gets_one_letter_for_each(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("home", "m", "right", "left_square_bracket", "b")
        shown = screen_text(app)
        await pilot.press("escape", "question_mark")
        return shown + screen_text(app)

    text = drive(run, script, size=(120, 36))
    assert not {letter for letter in text if not letter.isascii() and ascii_cells(letter) == "?"}
    assert [len(ascii_cells(line)) for line in text.splitlines()] == [len(line) for line in text.splitlines()]
