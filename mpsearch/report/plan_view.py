"""What `mpsearch plan` shows: layers, policies, what they cost, who meets the budgets, how long it takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.aligned_lines import AlignedLines
from mpsearch.report.execution_line import execution_line
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.histogram import histogram_text
from mpsearch.report.precision_strip import SYMBOLS, precision_legend, precision_strip, scheme_style
from mpsearch.report.share_bar import share_bar
from mpsearch.report.units import (
    UNIT_TEXTS,
    budgets_text,
    bytes_text,
    count_text,
    counted,
    percent_text,
    seconds_text,
    wait_text,
)
from mpsearch.report.unquantized_text import unquantized_text
from mpsearch.search.budgets import Budgets
from mpsearch.search.estimate import Span, TimeEstimate
from mpsearch.search.objective import COMPRESSED_SIZE, is_learnt_named
from mpsearch.search.reach import BINS, CostReach, Share
from mpsearch.search.search_plan import SearchPlan

_STRIP = 12
_BAR = 10


def plan_view(plan: SearchPlan) -> RenderableType:
    """All of it, one part after the other."""
    parts: list[RenderableType] = [_heading(plan), Text(), _layers(plan)]
    parts += [Text(), *_policies(plan), Text(), CostTable(plan), *_cost_notes(plan)]
    if plan.space.budgets:
        parts += [Text(), *_budgets(plan)]
    parts += [Text(), *_time(plan.time, plan)]
    return Group(*parts)


def _heading(plan: SearchPlan) -> Text:
    task = plan.space.task
    arguments = ", ".join(f"{key}={value!r}" for key, value in task.args.items())
    text = Text.assemble((plan.space.name, "bold"))
    return text.append(f"  task {task.name}" + (f" ({arguments})" if arguments else ""), "dim")


def _layers(plan: SearchPlan) -> RenderableType:
    """What each layer may take, what stays at 32 bits and why, and how the model will run."""
    resolved, trace = plan.resolved, plan.trace
    layers = [trace.layer(name) for name in resolved.layers]
    group_of = {layer: c.name for c in resolved.choices if len(c.layers) > 1 for layer in c.layers}
    cells = []
    for name, schemes in resolved.schemes.items():
        cell = Text()
        for scheme in schemes:
            cell.append(SYMBOLS[scheme.name], scheme_style(scheme))
        cells.append(cell.append(" pinned" if name in resolved.pinned else "", "dim"))
    columns: list[Column | StretchColumn] = [
        Column(title="layer", cells=list(resolved.layers), justify="left"),
        Column(title="may take", cells=cells, justify="left"),
    ]
    if group_of:
        groups = [group_of.get(name, "").removeprefix("group:") for name in resolved.layers]
        columns.append(Column(title="group", cells=groups, justify="left", importance=4))
    columns += [
        Column(
            title="shape",
            cells=[str(la.calls[0]) for la in layers],
            justify="left",
            importance=1,
            style="dim",
        ),
        Column(title="MACs", cells=[count_text(layer.macs) for layer in layers], importance=2),
        Column(title="32-bit size", cells=[bytes_text(4 * la.weight_count) for la in layers], importance=3),
    ]
    used = {scheme for schemes in resolved.schemes.values() for scheme in schemes}
    parts: list[RenderableType] = [
        FittedTable(columns=columns, rows=len(layers)),
        Text(),
        precision_legend(list(used)),
    ]
    parts.append(Text())
    if resolved.widths:
        parts += [_widths(plan), Text()]
    if trace.unquantized:
        parts.append(unquantized_text(trace))
    if (line := execution_line(trace)) is not None:
        parts.append(line)
    return Group(*parts)


def _widths(plan: SearchPlan) -> RenderableType:
    """How large the model is at each width; the layers above are those of the width with a star."""
    traces = [plan.traces[width] for width in plan.resolved.widths]
    reference = next(iter(plan.traces))
    names = [f"{width:g}{'*' if width == reference else ''}" for width in plan.resolved.widths]
    columns = [
        Column(title="width", cells=names),
        Column(title="MACs", cells=[count_text(sum(la.macs for la in t.layers)) for t in traces]),
        Column(
            title="32-bit size",
            cells=[bytes_text(4 * sum(la.weight_count for la in t.layers)) for t in traces],
        ),
    ]
    return FittedTable(columns=columns, rows=len(traces))


def _policies(plan: SearchPlan) -> Iterator[RenderableType]:
    reach = plan.reach
    choices = counted(reach.choices, "free choice")
    choices += f" and {len(plan.resolved.widths)} widths" if plan.resolved.widths else ""
    policies = f"{amount_text(reach.policies)} {'policy' if reach.policies == 1 else 'policies'}"
    yield Text.assemble((policies, "bold"), f" from {choices}")
    if plan.space.overrides:
        yield Text(f"overrides: {plan.space.overrides}")
    for remark in plan.remarks:
        yield Text(remark, "yellow")


class CostTable:
    """What the policies cost: least, where they lie, greatest, and 32 bits beside them."""

    def __init__(self, plan: SearchPlan) -> None:
        self.plan = plan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        reaches = self.plan.reach.costs
        is_ascii = options.ascii_only

        def histograms(width: int) -> list[Text]:
            return [
                histogram_text(reach.histogram, width, inside=_inside(reach), is_ascii=is_ascii)
                for reach in reaches
            ]

        columns: list[Column | StretchColumn] = [
            Column(title="cost", cells=[_name(reach) for reach in reaches], justify="left", style="bold"),
            Column(title="least", cells=[_value(reach, reach.least, "≥") for reach in reaches]),
            Column(
                title="",
                cells=[_strip(reach.least_policy) for reach in reaches],
                importance=1,
                justify="left",
            ),
            StretchColumn(title="policies", cells=histograms, least=8, most=BINS),
            Column(title="greatest", cells=[_value(reach, reach.greatest, "≤") for reach in reaches]),
            Column(
                title="",
                cells=[_strip(reach.greatest_policy) for reach in reaches],
                importance=1,
                justify="left",
            ),
        ]
        if self.plan.full_precision is not None:
            whole = [self.plan.full_precision_value(reach.cost) for reach in reaches]
            cells = [UNIT_TEXTS[reach.cost.unit](value) for reach, value in zip(reaches, whole, strict=True)]
            columns.append(Column(title="32-bit", cells=cells, importance=2))
        yield FittedTable(columns=columns, rows=len(reaches))


def _cost_notes(plan: SearchPlan) -> Iterator[RenderableType]:
    profile = plan.profile
    on = f"on {counted(profile.threads, 'thread')}"
    if profile.origin == "quick":
        yield Text(
            f"latencies {on} measured just now, in {seconds_text(profile.seconds)}: medians are good to "
            "about a tenth, percentiles are rough",
            "dim",
        )
    elif profile.origin != "none":
        whose = "of this machine" if not profile.differences else "of another machine"
        yield Text(f"latencies {on} from profile {profile.name!r}, {whose}", "dim")
    if plan.further:
        names = " and ".join(f"{further.name!r}" for further in plan.further)
        yield Text(f"those behind an @ from profile{'s' if len(plan.further) > 1 else ''} {names}", "dim")
    if profile.interpolated_layers:
        layers = counted(profile.interpolated_layers, "layer")
        yield Text(f"the latency of {layers} is interpolated from other shapes", "dim")
    if any(not reach.is_exact for reach in plan.reach.costs):
        yield Text("≥ and ≤ are bounds: no policy lies outside of them, and the strip shows one near", "dim")
    if profile.origin == "none":
        unknown = ", ".join(name.replace("_", " ") for name in plan.unknown_costs) or "latency"
        yield Text.assemble(
            (f"{unknown}: not known yet, {profile.why}. ", "yellow"),
            (f"mpsearch profile --space {shlex.quote(plan.source)}", "cyan"),
            (" measures it; give the file with ", "yellow"),
            ("--hw", "cyan"),
        )


def _budgets(plan: SearchPlan) -> Iterator[RenderableType]:
    """Each bound alone, then all of them together."""
    rows: list[tuple[Text, Text, Text]] = []
    known = {reach.cost.name: reach for reach in plan.reach.costs if reach.bound is not None}
    for name, text in plan.space.budgets.texts().items():
        bound = Text(budgets_text(Budgets.parse({name: text})).replace("_", " "))
        if name in known:
            rows.append((_mark(known[name].is_reachable), bound, _met(known[name], plan)))
        elif is_learnt_named(name):
            rows.append((Text("?", "dim"), bound, Text("known only after training", "dim")))
        elif name == COMPRESSED_SIZE.name:
            rows.append((Text("?", "dim"), bound, Text("known once the 32-bit weights are trained", "dim")))
        else:
            rows.append((Text("?", "yellow"), bound, Text("known only with a profile", "yellow")))
    if plan.reach.together is not None:
        rows.append((_mark(plan.reach.is_feasible), Text("all together"), _together(plan)))
    yield Text("Budgets", "bold")
    yield AlignedLines(rows)
    if not plan.reach.is_feasible:
        yield Text.assemble(("No search would begin. ", "bold red"), budgets_words(plan.reach.problem or ""))


def _mark(is_met: bool) -> Text:  # noqa: FBT001
    return Text("✓", "green") if is_met else Text("✗", "bold red")


def _met(reach: CostReach, plan: SearchPlan) -> Text:
    assert reach.within is not None
    if not reach.is_reachable:
        least = UNIT_TEXTS[reach.cost.unit](reach.least)
        text = Text(f"out of reach: {'at least ' if not reach.is_exact else ''}{least}, with ")
        return text.append_text(_strip(reach.least_policy))
    return Text(_share_text(reach.within, plan.reach.policies))


def _together(plan: SearchPlan) -> Text:
    assert plan.reach.together is not None
    if not plan.reach.is_feasible:
        return Text("no policy meets them all")
    return Text(_share_text(plan.reach.together, plan.reach.policies))


def _share_text(share: Share, policies: int) -> str:
    """How many of the policies: counted, or estimated with its interval."""
    if share.is_exact:
        return f"{_percent(share.value)} of the policies ({share.met:,} of {policies:,})"
    low, high = share.interval
    if share.met == 0:
        return f"fewer than {_percent(high)} of the policies (none of {share.examined:,} at random)"
    return (
        f"{_percent(share.value)} of the policies ({_percent(low)} – {_percent(high)}, from "
        f"{share.examined:,} at random)"
    )


def _percent(share: float) -> str:
    """Two figures, of small shares too."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    decimals = 1 if share >= 0.01 else 2 if share >= 0.001 else 4
    return percent_text(share, decimals)


def _time(estimate: TimeEstimate | None, plan: SearchPlan) -> Iterator[RenderableType]:
    if estimate is None:
        if plan.reach.is_feasible:
            yield Text("Time  not estimated: --no-time", "dim")
        return
    yield _time_heading(estimate)
    total_s = estimate.total.likely_s
    yield AlignedLines(
        [
            (
                Text(part.name),
                Text(_short(part.span.likely_s)),
                Text(share_bar(part.span.likely_s / total_s if total_s else 0.0, _BAR), "cyan"),
                Text(part.detail.replace(" us", " µs"), "dim"),
            )
            for part in estimate.parts
        ],
        justify="lrll",
    )
    if plan.space.search.batch > 1:
        yield Text(
            f"for trials one by one: batches of {plan.space.search.batch} take less, which is not measured",
            "dim",
        )
    if plan.is_busy:
        yield Text(
            f"others compute on this machine (load {plan.load:.1f} on {plan.cores} cores): once they have "
            "finished, all of it is faster",
            "yellow",
        )
    for failure in estimate.failures:
        yield Text(f"a short trial failed, {failure}", "yellow")


def _time_heading(estimate: TimeEstimate) -> Text:
    text = Text.assemble(("Time  ", "bold"), ("about " + span_text(estimate.total), ""))
    force = estimate.workforce
    trials = counted(estimate.trials, "trial")
    threads = counted(force.threads, "thread")
    text.append(f"  {trials}, {force.workers} at a time on {threads} each", "dim")
    if force.workers > 1:
        _, likely, _ = force.gain
        text.append(f": taken as {likely:.1f} times as fast as one at a time, which is not measured", "dim")
    return text


def span_text(span: Span) -> str:
    """The likely duration, and its ends where they differ."""
    ends = (wait_text(span.least_s), wait_text(span.most_s))
    middle = wait_text(span.likely_s)
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} – {ends[1]})"


def _short(seconds: float) -> str:
    if seconds == 0:
        return "–"
    return "< 1 s" if seconds < 0.95 else wait_text(seconds)


def amount_text(count: int) -> str:
    """20736 -> "20,736"; 6**18 -> "1.0e+14"."""
    return f"{count:,}" if count < 10**9 else f"{count:.1e}"


def budgets_words(text: str) -> str:
    """An error's sentence in the signs of a table."""
    for written, read in ((" <= ", " ≤ "), (" us", " µs"), (" uJ", " µJ")):
        text = text.replace(written, read)
    return text


def _name(reach: CostReach) -> str:
    return reach.cost.name.replace("_", " ")


def _value(reach: CostReach, value: float, bound: str) -> str:
    text: str = UNIT_TEXTS[reach.cost.unit](value)
    return text if reach.is_exact else f"{bound} {text}"


def _strip(policy: PrecisionPolicy) -> Text:
    return precision_strip(policy, width=_STRIP)


def _inside(reach: CostReach) -> float:
    """How far along the way from least to greatest the budget lies."""
    if reach.bound is None or reach.greatest <= reach.least:
        return 1.0
    return (reach.bound - reach.least) / (reach.greatest - reach.least)
