"""The trials that did not come to a score: which, why, and how often for one reason."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.report.aligned_lines import AlignedLines
from mpsearch.report.facts_grid import paragraph
from mpsearch.report.precision_strip import precision_strip
from mpsearch.report.units import UNKNOWN, counted, wait_text
from mpsearch.search.failure_reason import reason_of
from mpsearch.search.run import Run
from mpsearch.search.searching import is_searching
from mpsearch.search.trial_record import TrialRecord

_STRIP = 24  # cells


def failed_table(run: Run) -> RenderableType:
    """How often each reason, then one row a failed trial; last the trials that never ended."""
    failures = [record for record in run.records if record.is_failed]
    parts: list[RenderableType] = []
    if failures:
        parts += [_counts(run, failures), Text(), _rows(run, failures)]
    else:
        parts.append(paragraph(("No trial has failed.", "green")))
    if run.open_numbers:
        parts += [*([Text()] if failures else []), paragraph((_open(run), "yellow"))]
    return Group(*parts)


def _counts(run: Run, failures: list[TrialRecord]) -> RenderableType:
    """The most frequent reason first, each in the words of its first trial."""
    words: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for record in failures:
        reason = reason_of(record.failure or "")
        counts[reason] += 1
        words.setdefault(reason, record.failure or "")
    trials, reasons = counted(len(run.trainings), "trial"), counted(len(counts), "reason")
    title = f"{len(failures)} of {trials} failed, for {reasons}"
    rows = [[Text(f"{count} ×"), Text(words[reason])] for reason, count in counts.most_common()]
    return Group(paragraph((title, "bold yellow")), AlignedLines(rows, justify="r"))


def _rows(run: Run, failures: list[TrialRecord]) -> RenderableType:
    titles = [Text(title, "bold") for title in ("trial", "precision", "took", "reason")]
    rows = [
        [
            Text(str(record.number)),
            precision_strip(record.policy, width=_STRIP, layers=run.layers),
            Text(wait_text(record.seconds) if record.seconds else UNKNOWN, "dim"),
            Text(record.failure or ""),
        ]
        for record in failures
    ]
    return AlignedLines([titles, *rows], justify="rlr")


def _open(run: Run) -> str:
    """What becomes of the trials that have begun and not ended."""
    numbers = ", ".join(map(str, run.open_numbers))
    one = len(run.open_numbers) == 1
    trials = f"Trial {numbers}" if one else f"Trials {numbers}"
    if is_searching(run.path):
        return f"{trials} {'runs' if one else 'run'} at this moment."
    return (
        f"{trials} {'was' if one else 'were'} running when the search was ended. The same "
        f"`mpsearch search` command runs {'it' if one else 'them'} to the end."
    )
