"""What `mpsearch doctor` shows: findings in groups, and at the end all that there is to do."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mpsearch.report.aligned_lines import AlignedLines
from mpsearch.search.checkup import Checkup, Finding

_MARKS = {
    "ok": ("✓", "ok", "green"),
    "fact": ("", "", ""),
    "note": ("!", "!", "yellow"),
    "missing": ("✗", "x", "yellow"),
    "broken": ("✗", "X", "bold red"),
}
_STYLES = {"note": "yellow", "missing": "yellow", "broken": "red"}
_QUOTED = re.compile(r"`([^`]+)`")


class CheckupView:
    """One block a section, with the names of all sections in one column."""

    def __init__(self, checkup: Checkup) -> None:
        self.checkup = checkup

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(cell_len(finding.name) for finding in self.checkup.findings)
        for section in self.checkup.sections:
            yield Text(section.title, "bold")
            rows = [
                (_mark(one, options), Text(one.name, "dim"), Text(one.value, _STYLES.get(one.state, "")))
                for one in section.findings
            ]
            yield AlignedLines(rows, (2 if options.ascii_only else 1, width))
            yield Text()
        to_do = self.checkup.to_do
        if not to_do:
            yield Text("Everything is there.", "green")
            return
        yield Text("To do: some of it before any search" if self.checkup.is_broken else "To do", "bold")
        yield AlignedLines(
            [(_mark(one, options), _advice(one.advice or "")) for one in to_do],
            (2 if options.ascii_only else 1,),
        )


def _mark(finding: Finding, options: ConsoleOptions) -> Text:
    sign, plain, style = _MARKS[finding.state]
    return Text(plain if options.ascii_only else sign, style)


def _advice(text: str) -> Text:
    """A sentence, or a command to type."""
    if text.startswith("pip "):
        return Text(text, "cyan")
    advice = Text()
    for place, part in enumerate(_QUOTED.split(text)):
        advice.append(part, "cyan" if place % 2 else "")
    return advice
