"""The page as one file: what is read is written here, what is drawn is drawn by its scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from mpsearch.report.markup import Markup, element, joined
from mpsearch.report.page.page_data import PageData
from mpsearch.report.page.sections import (
    commands_section,
    effects_section,
    failures_section,
    front_section,
    head,
    history_section,
    measured_section,
    notes_section,
    parallel_section,
    settings_section,
    time_section,
)
from mpsearch.report.page.settings import day_text
from mpsearch.report.page.trials_table import table_section
from mpsearch.search.run import Run
from mpsearch.search.run_facts import installed_version
from mpsearch.search.trial_record import now_utc

# In the order in which they need each other; all in one scope.
_SCRIPTS = (
    "format", "run", "selection", "tooltip", "chart", "scale", "front", "card", "table", "parallel",
    "effects", "breakdown", "measured", "history", "main",
)  # fmt: skip


def report_page(run: Run, *, created: str | None = None) -> str:
    """The whole page of a run: styles, scripts, Plotly and data inside, nothing to be fetched.

    `created`: when, ISO 8601; now unless given.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - slow to import

    data = PageData.of(run)
    sections = _sections(data)
    links = [element("a", title, href=f"#{name}") for name, title, _ in sections]
    scripts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return Template(_asset("page.html")).substitute(
        title=element("title", f"{run.space.name} · mpsearch"),
        css=_asset("page.css"),
        theme=_asset("theme.js"),
        links=joined(links),
        body=joined(head(data), [section for _, _, section in sections]),
        footer=_footer(run, created or now_utc()),
        data=script_json(data.to_json()),
        plotly=get_plotlyjs(),
        script=f'(function () {{\n"use strict";\n{scripts}}})();',
    )


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: no text in it can end the element or begin another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _sections(data: PageData) -> Sequence[tuple[str, str, Markup]]:
    """(anchor, title in the bar, section), those without content left out."""
    run = data.run
    failed = [record for record in run.records if record.is_failed]
    if not data.trials.numbers:
        shown = [("failed", "Failed", failures_section(data))] if failed else []
    else:
        shown = [
            ("front", "Front", front_section(data)),
            ("table", "Table", table_section(data)),
            ("policies", "Policies", parallel_section(data)),
            ("layers", "Layers", effects_section(data)),
            ("time", "Time", time_section(data)),
            ("measured", "Measured", measured_section(data)),
            ("progress", "Progress", history_section(data)),
            ("failed", "Failed", failures_section(data)),
        ]
        shown = shown if failed else shown[:-1]
    return [
        *shown,
        ("notes", "Notes", notes_section(data)),
        ("settings", "Settings", settings_section(data)),
        ("again", "Again", commands_section(data)),
    ]


def _footer(run: Run, created: str) -> Markup:
    version = f" {installed_version()}".rstrip()
    return element(
        "p",
        f"Made by mpsearch{version} on {day_text(created)} from {run.path}. This file holds all it shows.",
    )


def _asset(name: str) -> str:
    return (files("mpsearch.report.page") / "assets" / name).read_text(encoding="utf-8")
