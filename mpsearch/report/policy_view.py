"""One policy on a screen: its scores and costs, its layers, and what others have more or less."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.cost.cost_report import CostReport
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.report.facts_grid import FactsGrid, paragraph
from mpsearch.report.landmarks import landmarks
from mpsearch.report.layer_ruler import layer_ruler
from mpsearch.report.policy_changes import (
    NamedTrial,
    change_interval_text,
    change_table,
    noise_text,
)
from mpsearch.report.policy_table import layer_table
from mpsearch.report.precision_strip import PrecisionStrip, precision_legend
from mpsearch.report.seeds_text import seeds_text, trainings_text
from mpsearch.report.stopped_text import stopped_text
from mpsearch.report.units import (
    bytes_text,
    counted,
    factor_text,
    interval_text,
    joules_text,
    number_text,
    percent_text,
    seconds_text,
    spread_text,
)
from mpsearch.report.unquantized_text import unquantized_text
from mpsearch.report.width_text import width_text, widths_text
from mpsearch.search.best_trial import best_of
from mpsearch.search.objective import first_cost
from mpsearch.search.run import Run
from mpsearch.search.score_difference import baseline_difference
from mpsearch.search.trial_record import TrialRecord

_ACROSS = 50  # layers in one line of the strip
_NEXT = {
    "latency": ("next faster", "next slower"),
    "memory": ("next smaller", "next larger"),
    "energy": ("next thriftier", "next hungrier"),
    "compressed": ("next smaller", "next larger"),
}


def policy_view(run: Run, record: TrialRecord) -> RenderableType:
    """What `mpsearch show` prints."""
    report = run.cost_report(record.policy)
    landmark = landmarks(run).get(record.number)
    title = Text.assemble((run.space.name, "bold"), "  ", (f"trial {record.number}", "bold"))
    if landmark is not None:
        title.append(f", {landmark.label}", "yellow" if landmark.kind == "knee" else "")
    parts: list[RenderableType] = [title, FactsGrid(_facts(run, record, report)), Text()]
    if record.failure:
        parts += [paragraph((f"failed: {record.failure}", "red")), Text()]
    elif record.is_stopped:
        parts += [paragraph((stopped_text(record), "yellow")), Text()]
    on_devices = {device: run.cost_report(record.policy, device) for device in run.devices}
    parts += [layer_table(report, run.model_at(record.policy.width), on_devices), Text()]
    parts.append(precision_legend(list(set(record.policy.values()))))
    others = companions(run, record)
    if others and record.is_complete:
        parts += [
            Text(),
            paragraph(
                ("the others", "bold"),
                (f": what they have more or less than trial {record.number}", "dim"),
            ),
            Text(),
            change_table(run, record, others),
        ]
    if run.model.unquantized:
        parts += [Text(), unquantized_text(run.model)]
    return Group(*parts)


def companions(run: Run, record: TrialRecord) -> list[NamedTrial]:
    """Its neighbours on the front, or the trial that beats it; then knee, best and uniform policies."""
    found: list[NamedTrial] = []
    if record.number in run.front:
        found += _neighbours(run, record)
    elif record.is_complete:
        found += _better(run, record)
    found += [
        NamedTrial(name=landmark.label, record=run.trial(number))
        for number, landmark in landmarks(run).items()
    ]
    unique = {named.record.number: named for named in reversed(found)}
    kept = [named for named in found if unique.get(named.record.number) is named]
    return [named for named in kept if named.record.number != record.number]


def _neighbours(run: Run, record: TrialRecord) -> list[NamedTrial]:
    """Those before and after it in the order of the front, which is that of its first cost."""
    if len(run.objectives) == 1:  # all on the front are equal in it
        names = ("as good", "as good")
    else:
        names = _NEXT[first_cost(run.objectives).kind.split("_")[0]]
    place = run.front.numbers.index(record.number)
    found = []
    if place > 0:
        found.append(NamedTrial(name=names[0], record=run.front.records[place - 1]))
    if place + 1 < len(run.front):
        found.append(NamedTrial(name=names[1], record=run.front.records[place + 1]))
    return found


def _better(run: Run, record: TrialRecord) -> list[NamedTrial]:
    """The best trial of the front that is no worse in any objective."""
    better = [
        other
        for other in run.front.records
        if all(o.sign * o.of(other) <= o.sign * o.of(record) for o in run.objectives)
    ]
    best = best_of(better, run.objectives)
    return [] if best is None else [NamedTrial(name="beats it", record=best)]


def _facts(run: Run, record: TrialRecord, report: CostReport) -> list[tuple[str, Text | str]]:
    base = run.baseline.costs
    facts: list[tuple[str, Text | str]] = [("precision", _strip(run, record))]
    if record.policy.width is not None:
        facts.insert(0, ("width", _width(run, record)))
    if record.is_complete:
        facts.append(("score", _score(run, record)))
    if record.number in run.test_scores:
        interval = interval_text(run.test_interval(record.number))
        facts.append(
            (
                "test",
                f"{percent_text(run.test_scores[record.number])}, 95% interval {interval} from "
                f"{run.test_samples} samples{', of the first training' if record.seeds > 1 else ''}",
            )
        )
    facts.append(("latency", _latency(run, record, report)))
    measured = run.measured.get(record.number)
    if measured is not None:
        off = measured.latency_s / record.latency_s - 1
        text = (
            f"{spread_text(measured.latency_s, measured.quartiles_s)}, median and quartiles of "
            f"{measured.repetitions} passes, {100 * off:+.0f}% from predicted; PyTorch at 32 bits "
            f"{seconds_text(measured.torch_fp32_latency_s)} ({measured.machine}, {measured.isa}, "
            f"{measured.created[:10]})"
        )
        facts.append(("measured", text))
    facts += [(f"@{device.name}", _on_device(run, record, device)) for device in run.further_profiles]
    facts += [
        (
            "memory",
            f"{bytes_text(record.memory_bytes)}, {factor_text(base.memory_bytes / record.memory_bytes)} "
            f"smaller than 32 bits; peak activations {bytes_text(report.peak_activation_bytes)} at 32 bits",
        ),
        (
            "energy",
            f"{joules_text(record.energy_j)}, {factor_text(base.energy_j / record.energy_j)} less than 32 "
            "bits, estimated from a table of operations",
        ),
        (
            "trial",
            f"{_standing(run, record)}; {record.steps} steps in {record.seconds:.1f} s, "
            f"{trainings_text(record)}, {_loss_text(record)}proposed by {_ORIGINS[record.origin]}",
        ),
    ]
    return facts


def _loss_text(record: TrialRecord) -> str:
    """The task's loss, in its own unit: nats where that is cross-entropy."""
    return "" if record.loss is None else f"loss {record.loss:.3f} on validation, "


_ORIGINS = {
    "anchor": "the list of uniform policies",
    "sampler": "the sampler",
    "random": "chance, where the sampler had nothing new",
    "repeat": "what another seed tells",
}


def _strip(run: Run, record: TrialRecord) -> Text:
    """All layers, with their numbers above, in lines of `_ACROSS`."""
    order = run.layers
    whole = PrecisionStrip.of(record.policy, layers=order).text()
    lines = []
    for start in range(0, len(order), _ACROSS):
        part = whole[start : start + _ACROSS]
        lines += [Text(layer_ruler(len(part), first=start + 1), "dim"), part]
    return Text("\n").join(lines)


def _width(run: Run, record: TrialRecord) -> str:
    """Which width it is, and what its model scores at 32 bits."""
    width = record.policy.width
    base = run.baselines[width]
    return (
        f"{width_text(record.policy)}, where 32 bits score {percent_text(base.score)} in "
        f"{seconds_text(base.costs.latency_s)} and {bytes_text(base.costs.memory_bytes)}; compared with "
        f"{widths_text(run, '32 bits')}"
    )


def _score(run: Run, record: TrialRecord) -> str:
    interval = run.interval(record)
    text = f"{percent_text(record.accuracy)} {run.metric}"
    if any(name == "loss" for name in (*run.budgets.bounds(), *(o.name for o in run.objectives))):
        text += f", loss {number_text(record.loss)}"
    text += f", mean of {seeds_text(record)}" if record.seeds > 1 else ""
    if math.isnan(interval[0]):
        return f"{text} on {run.validation_samples} validation samples"
    difference = baseline_difference(run, record)
    return (
        f"{text}, 95% interval {interval_text(interval)} from {run.validation_samples} validation samples; "
        f"{100 * difference.change:+.2f} points to 32 bits ({change_interval_text(difference.interval)}): "
        f"{noise_text(difference)}"
    )


def _latency(run: Run, record: TrialRecord, report: CostReport) -> str:
    profile = run.profile
    guessed = sum(layer.origin != "measured" for layer in report.layers)
    origin = "every layer timed" if not guessed else f"{guessed} of {len(report.layers)} layers interpolated"
    factor = factor_text(run.baseline.costs.latency_s / record.latency_s)
    threads = counted(profile.threads, "thread")
    return (
        f"{seconds_text(record.latency_s)} predicted median (p95 {seconds_text(record.latency_p95_s)}, "
        f"p99 {seconds_text(record.latency_p99_s)}), {factor} faster than 32 bits; 1 sample, {threads}, "
        f"profile {profile.name} ({profile.fingerprint.cpu_model}), {origin}"
    )


def _on_device(run: Run, record: TrialRecord, profile: HardwareProfile) -> str:
    """Latency and energy on a further device."""
    costs, base = record.on(profile.name), run.baseline.costs.on(profile.name)
    return (
        f"{seconds_text(costs.latency_s)} predicted median (p95 {seconds_text(costs.latency_p95_s)}, "
        f"p99 {seconds_text(costs.latency_p99_s)}), {factor_text(base.latency_s / costs.latency_s)} faster "
        f"than 32 bits; {counted(profile.threads, 'thread')} ({profile.fingerprint.cpu_model}); energy "
        f"{joules_text(costs.energy_j)}"
    )


def _standing(run: Run, record: TrialRecord) -> str:
    if record.number in run.front:
        return f"{run.front.numbers.index(record.number) + 1} of {len(run.front)} on the front"
    return "not on the front"
