"""A run on one screen: what was searched, the front as a table and as a plot, what to type next."""

from __future__ import annotations

import shlex

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.report.facts_grid import paragraph
from mpsearch.report.failed_table import failed_table
from mpsearch.report.front_plot import front_plot
from mpsearch.report.landmarks import answer_name
from mpsearch.report.layer_ruler import layer_key
from mpsearch.report.pareto_table import pareto_table, table_rows
from mpsearch.report.precision_strip import precision_legend
from mpsearch.report.run_heading import run_heading
from mpsearch.report.scatter import Scatter
from mpsearch.report.stopped_text import unscored_text
from mpsearch.report.trial_selection import TrialSelection
from mpsearch.search.pick import pick_trial
from mpsearch.search.run import Run
from mpsearch.search.searching import is_searching


def run_overview(
    run: Run,
    *,
    selection: TrialSelection | None = None,
    plot: Scatter | None = None,
    failed: bool = False,
) -> RenderableType:
    """Heading, table, legends and plot (by default what is learnt against the run's first cost)."""
    wanted = selection or TrialSelection()
    failures = [record for record in run.records if record.is_failed]
    parts: list[RenderableType] = [run_heading(run), Text()]
    is_scored = any(record.is_complete for record in run.records)
    if not is_scored:
        parts.append(paragraph((_nothing_yet(run), "yellow")))
    else:
        parts += [_table(run, wanted), Text(), plot or front_plot(run, selection=wanted)]
    if failed or (failures and not is_scored):
        parts += [Text(), failed_table(run)]
    elif failures:
        told = f"{len(failures)} of {len(run.trainings)} trials failed; --failed says why."
        parts += [Text(), paragraph((told, "yellow"))]
    return Group(*parts)


def _table(run: Run, selection: TrialSelection) -> RenderableType:
    chosen, others = table_rows(run, selection)
    if not chosen and not others:
        return paragraph((_nothing_found(run, selection), "yellow"))
    used = {scheme for record in (*chosen, *others) for scheme in record.policy.values()}
    parts: list[RenderableType] = [pareto_table(run, selection)]
    if str(selection):
        whole = "scored" if selection.is_of_all else "on the front"
        count = sum(r.is_complete for r in run.records) if selection.is_of_all else len(run.front)
        parts.append(paragraph((f"{len(chosen)} of {count} {whole}: {selection}", "dim italic")))
    return Group(*parts, Text(), precision_legend(list(used)), layer_key(run.layers))


def _nothing_yet(run: Run) -> str:
    """Why there is no table, and what makes one."""
    if is_searching(run.path):
        return "No trial has finished yet; the search goes on. Look again in a moment."
    if run.records:
        is_bad = all(record.is_failed for record in run.records)
        why = "all of them failed" if is_bad else unscored_text(run.records).removeprefix(", ")
        return f"No trial has been scored: {why}. Look at why before searching on."
    return "No trial has finished yet. The same `mpsearch search` command goes on."


def _nothing_found(run: Run, selection: TrialSelection) -> str:
    elsewhere = sum(record.is_complete and selection.keeps(run, record) for record in run.records)
    if elsewhere and not selection.is_of_all:
        return f"No trial on the front meets {selection.filter}; {elsewhere} of the others do, see --all."
    return f"No trial meets {selection.filter}."


def next_step(run: Run, *, by_number: bool = False) -> Text:
    """The command that exports the knee; of one objective the best, where one meets the budgets.

    `by_number`: not by that name, which means another trial once the run is read again with its own budgets.
    """
    pick = "best" if answer_name(run) == "best" else "knee"
    if by_number:
        pick = str(pick_trial(run, pick).number)
    out = f"{run.name}-{pick}"
    command = (
        f"mpsearch export {shlex.quote(str(run.path))} --pick {pick} --format packed --out {shlex.quote(out)}"
    )
    return Text.assemble(("next  ", "bold"), (command, "cyan"))
