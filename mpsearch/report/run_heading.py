"""What a run is: searched what, how far, and where its numbers come from."""

from __future__ import annotations

import math
from collections import Counter

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.report.execution_line import execution_line
from mpsearch.report.facts_grid import FactsGrid
from mpsearch.report.pareto_table import chosen_percentiles
from mpsearch.report.ranking_text import ranking_text
from mpsearch.report.seeds_text import repeats_text
from mpsearch.report.stopped_text import agreement_text
from mpsearch.report.units import (
    budgets_text,
    bytes_text,
    counted,
    interval_text,
    joules_text,
    percent_text,
    seconds_text,
)
from mpsearch.search.run import Run
from mpsearch.search.run_facts import BaselineScore
from mpsearch.search.rung_agreement import rung_agreements
from mpsearch.search.score_difference import baseline_interval
from mpsearch.search.score_ranking import score_ranking
from mpsearch.search.searching import is_searching


def run_heading(run: Run) -> RenderableType:
    """One line on the run, then where each kind of number comes from."""
    facts: list[tuple[str, Text | str]] = [
        ("front", _front(run)),
        ("score", _accuracy_origin(run)),
        ("latency", _latency_origin(run)),
    ]
    facts += [(f"@{device.name}", _profile_origin(device)) for device in run.further_profiles]
    facts.append(("ranking", ranking_text(score_ranking(run.space))))
    agreements = rung_agreements(run.records)
    if agreements:
        facts.append(("fidelities", "; ".join(map(agreement_text, agreements))))
    if run.measured:
        facts.append(("measured", _measured_origin(run)))
    if run.space.widths is None:
        facts.append(("32-bit", _baseline(run, run.baseline)))
    for width, base in sorted(run.baselines.items(), key=lambda pair: pair[0] or 0):
        if width is not None:
            mark = ", which others are compared with" if base is run.baseline else ""
            facts.append((f"32-bit, {width:g}x", _baseline(run, base) + mark))
    if run.budgets:
        decided = "; they decide who is on the front" if run.front.deciding is not None else ""
        facts.append(("budgets", budgets_text(run.budgets) + decided))
    if run.overrides:
        facts.append(("overrides", str(run.overrides)))
    if run.budgets or run.overrides:
        facts.append(("fitting", _fitting(run)))
    execution = execution_line(run.model)
    if execution is not None:
        facts.append(("model", execution))
    return Group(_title(run), FactsGrid(facts))


def _title(run: Run) -> Text:
    """How far the search is, and whether it goes on."""
    complete = sum(record.is_complete for record in run.trainings)
    planned = run.space.search.trials
    title = Text.assemble((run.space.name, "bold"), "  ")
    title.append(
        f"{len(run.trainings)} of {planned} trials"
        if len(run.trainings) < planned
        else counted(complete, "trial")
    )
    stopped = sum(record.is_stopped for record in run.records)
    if stopped:
        title.append(f", {stopped} stopped early", "dim")
    title.append(repeats_text(run.records), "dim")
    if complete:
        title.append(f", {len(run.front)} on the front")
    if is_searching(run.path):
        title.append("  searching now", "bold green")
    return title


def _front(run: Run) -> str:
    names = ", ".join(objective.name for objective in run.objectives)
    if not run.front.records:
        return f"none yet, of {names}"
    if len(run.objectives) > 1:
        return f"of {names}; hypervolume {run.hypervolume:.4f} of the reachable box"
    ties = "" if len(run.front) == 1 else f"; {len(run.front)} trials are equal in it"
    far = f"{run.hypervolume:.4f} of the way from the reference to the ideal"
    return f"the best {names}{' within the budgets' if run.budgets else ''}; {far}{ties}"


def _accuracy_origin(run: Run) -> str:
    text = f"{run.metric}, 95% interval from {run.validation_samples} validation samples"
    if run.test_scores:
        text += f"; test: {run.test_samples} others"
    seeds = sorted({training.seed for training in run.trainings})
    most = max((record.seeds for record in run.records), default=1)
    if seeds:
        each = "one training" if most == 1 else f"mean of 1 to {most} trainings"
        text += f"; {each} each, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds[:5]))}"
        text += f" and {len(seeds) - 5} more" if len(seeds) > 5 else ""
    return text + (", test of the first" if most > 1 and run.test_scores else "")


def _latency_origin(run: Run) -> str:
    percentiles = [o.name.removeprefix("latency_") for o in chosen_percentiles(run)]
    shown = " and ".join(["median", *percentiles])
    return f"predicted {shown}, 1 sample, {_profile_origin(run.profile)}"


def _profile_origin(profile: HardwareProfile) -> str:
    kernels = profile.fingerprint.kernels
    machine = profile.fingerprint.cpu_model + (f", {kernels[0]}" if kernels else "")
    return f"{counted(profile.threads, 'thread')}, profile {profile.name} ({machine})"


def _measured_origin(run: Run) -> str:
    """The conditions that most of the measurements share."""
    conditions = Counter((m.machine, m.isa, m.threads) for m in run.measured.values())
    (machine, isa, threads), count = conditions.most_common(1)[0]
    passes = sorted({m.repetitions for m in run.measured.values()})
    each = str(passes[0]) if len(passes) == 1 else f"{passes[0]} to {passes[-1]}"
    others = len(run.measured) - count
    elsewhere = f"; {others} on other settings" if others else ""
    return (
        f"{counted(len(run.measured), 'trial')}, median and quartiles of {each} passes, "
        f"{counted(threads, 'thread')} ({machine}, {isa}){elsewhere}"
    )


def _baseline(run: Run, base: BaselineScore) -> str:
    text = percent_text(base.score)
    low, high = baseline_interval(run, base)
    if not math.isnan(low):
        text += f" ({interval_text((low, high))})"
    if base.test_score is not None:
        text += f", test {percent_text(base.test_score)}"
    costs = base.costs
    further = "".join(f", {seconds_text(on.latency_s)} @{on.device}" for on in costs.devices)
    return (
        f"{text}, {seconds_text(costs.latency_s)}, {bytes_text(costs.memory_bytes)}, "
        f"{joules_text(costs.energy_j)}{further}"
    )


def _fitting(run: Run) -> Text:
    """How many trials meet what was asked for."""
    complete = [record for record in run.records if record.is_complete]
    feasible = sum(record.feasible for record in complete)
    if complete and not feasible:
        rules = " and ".join(
            name for name, rule in (("budgets", run.budgets), ("overrides", run.overrides)) if rule
        )
        return Text(f"No trial meets the {rules} yet. Search on, or loosen them.", "yellow")
    return Text(f"{feasible} of {len(complete)} trials fit", "dim")
