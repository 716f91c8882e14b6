"""A run as a notebook shows it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import mpsearch
from mpsearch.report.front_svg import front_svg
from mpsearch.report.notebook import run_html, strip_html

EXAMPLE = Path(__file__).parents[2] / "runs" / "digits-example"


def tags(text):
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(text)
    return found


def test_a_run_and_its_front_show_a_table_and_a_plot():
    run = mpsearch.load_run(EXAMPLE)
    for shown in (run, run.front):
        names = [tag for tag, _ in tags(shown._repr_html_())]
        assert names.count("table") == 1
        assert names.count("svg") == 1
        assert names.count("tr") == 1 + len(run.front)
    assert "40 trials" in run._repr_html_()
    assert "40 trials, 11 on the front of" not in run.front._repr_html_()


def test_a_run_with_other_budgets_still_shows_itself():
    run = mpsearch.load_run(EXAMPLE)
    assert "budget" in run.with_budgets(mpsearch.Budgets.parse({"latency": "9us"}))._repr_html_()


def test_there_are_no_scripts_and_no_style_sheets(finished_run):
    names = {tag for tag, _ in tags(run_html(finished_run, heading=True))}
    assert not names & {"script", "style", "link", "iframe", "img"}


def test_texts_take_the_colour_of_the_page(finished_run):
    shown = tags(run_html(finished_run, heading=True))
    assert all(a["fill"] == "currentColor" for tag, a in shown if tag == "text")
    assert next(a for tag, a in shown if tag == "table")["style"].startswith("color:inherit")


def test_the_strip_has_a_coloured_cell_with_a_letter_for_each_layer(finished_run):
    policy = finished_run.front.knee().policy
    cells = [a for tag, a in tags(strip_html(policy, tuple(policy))) if "title" in a]
    assert [cell["title"] for cell in cells] == [f"{name}: {scheme}" for name, scheme in policy.items()]
    assert all("background:#" in cell["style"] for cell in cells)


def test_names_are_text_and_never_markup(finished_run):
    odd = replace(finished_run, space=replace(finished_run.space, name="<script>x</script>"))
    shown = run_html(odd, heading=True)
    assert "script" not in {tag for tag, _ in tags(shown)}
    assert "&lt;script&gt;" in shown


def test_the_plot_is_an_svg_with_a_mark_for_each_trial_and_a_description(finished_run):
    svg = ElementTree.fromstring(front_svg(finished_run))
    space = "{http://www.w3.org/2000/svg}"
    complete = [record for record in finished_run.records if record.is_complete]
    marks = [part for name in ("circle", "path", "rect") for part in svg.findall(f"{space}{name}")]
    assert len(marks) == len(complete)
    assert f"{len(complete)} trials" in svg.find(f"{space}title").text
    texts = [text.text for text in svg.findall(f"{space}text")]
    assert "32-bit" in texts
    assert any("knee" in text for text in texts)


@pytest.mark.parametrize("trials", [0, 1])
def test_a_run_that_has_just_begun_shows_itself(finished_run, trials):
    shown = run_html(replace(finished_run, records=finished_run.records[:trials]), heading=True)
    assert ("No trial has finished yet" in shown) == (trials == 0)


def test_a_long_front_is_cut_and_says_how_to_get_the_rest(finished_run):
    copies = [replace(finished_run.records[0], number=number) for number in range(100)]
    shown = run_html(replace(finished_run, records=tuple(copies)), heading=False)
    assert "60 more: run.front.to_dataframe()" in shown
