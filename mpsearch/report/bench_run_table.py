"""What `mpsearch bench RUN` prints: the promise of each trial beside its measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.report.facts_grid import FactsGrid
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.landmarks import Landmark, landmarks
from mpsearch.report.layer_ruler import layer_key
from mpsearch.report.pareto_table import strip_column
from mpsearch.report.precision_strip import precision_legend, precision_strip
from mpsearch.report.units import (
    UNKNOWN,
    ColumnUnit,
    counted,
    factor_text,
    percent_text,
    seconds_text,
    spread_text,
)
from mpsearch.report.width_text import width_columns
from mpsearch.search.fidelity import NEAR, Fidelity, fidelity, is_promised
from mpsearch.search.measured import MeasuredLatency
from mpsearch.search.run import Run
from mpsearch.search.run_folder import RunFolder

BENCH_RUN_SCHEMA = 1
_SURE = 0.99
_STRIP = 24  # cells, in a line
_NOISY = 0.15  # interquartile range over median, as the timer judges


def measured_line(run: Run, measured: MeasuredLatency) -> Text:
    """One trial, as soon as it is measured."""
    record = run.trial(measured.number)
    digits = len(str(max(r.number for r in run.records)))
    return Text.assemble(
        (f"trial {record.number:<{digits}}  ", "bold"),
        precision_strip(record.policy, width=_STRIP, layers=run.layers),
        f"  predicted {seconds_text(record.latency_s)}, "
        f"measured {spread_text(measured.latency_s, measured.quartiles_s)}  ",
        _error_text(run, measured),
    )


def bench_run_view(run: Run, measured: Sequence[MeasuredLatency], *, is_kept: bool) -> RenderableType:
    """A table, fastest first; below it how far the predictions are off, and on what it was measured."""
    rows = sorted(measured, key=lambda m: (m.latency_s, m.number))
    records = [run.trial(m.number) for m in rows]
    order = run.layers
    named = landmarks(run)
    unit = ColumnUnit.fitting("s", [x for m in rows for x in (m.latency_s, run.trial(m.number).latency_s)])
    beside = ColumnUnit.fitting("s", [m.torch_fp32_latency_s for m in rows])
    agreements = [UNKNOWN if m.agreement is None else percent_text(m.agreement, 1).rstrip("%") for m in rows]
    columns: list[Column | StretchColumn] = [
        Column(title="trial", cells=[str(m.number) for m in rows]),
        *width_columns(run, records),
        strip_column(run, records),
        Column(title="predicted", unit=unit.name, cells=[unit.text(r.latency_s) for r in records]),
        Column(title="measured", unit=unit.name, cells=[unit.text(m.latency_s) for m in rows], style="bold"),
        Column(
            title="quartiles",
            unit=unit.name,
            cells=[f"{unit.text(m.quartiles_s[0])}–{unit.text(m.quartiles_s[1])}" for m in rows],
            importance=5,
            style="dim",
        ),
        Column(title="error", unit="%", cells=[_error_text(run, m, sign="") for m in rows]),
        Column(
            title="PyTorch",
            unit=f"32-bit, {beside.name}",
            cells=[beside.text(m.torch_fp32_latency_s) for m in rows],
            importance=3,
        ),
        Column(
            title="faster",
            unit="× PyTorch",
            cells=[factor_text(m.torch_fp32_latency_s / m.latency_s).rstrip("×") for m in rows],
            importance=4,
        ),
        Column(
            title="outputs",
            unit="% agree",
            cells=[_agreement_text(m, text) for m, text in zip(rows, agreements, strict=True)],
            importance=2,
        ),
        Column(
            title="",
            cells=[_note(m, named.get(m.number)) for m in rows],
            importance=1,
            justify="left",
        ),
    ]
    used = {scheme for record in records for scheme in record.policy.values()}
    heading = Text.assemble((run.space.name, "bold"), f"  {counted(len(rows), 'trial')} timed end to end")
    return Group(
        heading,
        Text(),
        FittedTable(columns=columns, rows=len(rows), tells_hidden=True),
        Text(),
        precision_legend(list(used)),
        layer_key(order),
        Text(),
        FactsGrid(_facts(run, rows, is_kept=is_kept)),
    )


def bench_run_json(run: Run, measured: Sequence[MeasuredLatency], *, is_kept: bool) -> dict[str, Any]:
    """`mpsearch bench RUN --json`. Units: by the suffix of the key; errors and agreement are shares of 1."""
    of_all = fidelity(run, measured)
    return {
        "schema": BENCH_RUN_SCHEMA,
        "run": str(run.path),
        "profile": {
            "name": run.profile.name,
            "threads": run.profile.threads,
            "machine": run.profile.fingerprint.cpu_model,
        },
        "trials": [
            {
                **{key: value for key, value in m.to_dict().items() if key != "schema"},
                "policy": run.trial(m.number).policy.names(),
                "width": run.trial(m.number).policy.width,
                "predicted_latency_s": run.trial(m.number).latency_s,
                "predicted_p95_s": run.trial(m.number).latency_p95_s,
                "predicted_p99_s": run.trial(m.number).latency_p99_s,
                "prediction_error": of_all.errors[m.number],
                "is_promised": is_promised(run.profile, m),
            }
            for m in measured
        ],
        "summary": of_all.to_dict(),
        "kept": is_kept,
    }


def conditions_text(run: Run, measured: MeasuredLatency) -> str | None:
    """Why the errors do not judge the profile: it speaks of another machine, or of other threads."""
    if is_promised(run.profile, measured):
        return None
    machine, threads = run.profile.fingerprint, run.profile.threads
    theirs = f"{machine.cpu_model}, {machine.kernels[0]}, {counted(threads, 'thread')}"
    ours = f"{measured.machine}, {measured.isa}, {counted(measured.threads, 'thread')}"
    return (
        f"The predictions are for {theirs}; this was measured on {ours}. The errors compare the two; they do "
        "not judge the profile."
    )


def _facts(run: Run, rows: Sequence[MeasuredLatency], *, is_kept: bool) -> list[tuple[str, Text | str]]:
    found = fidelity(run, rows)
    promised = all(is_promised(run.profile, m) for m in rows)
    facts: list[tuple[str, Text | str]] = [("error", _summary(found, promised=promised))]
    if found.rank_agreement is not None:
        tau = found.rank_agreement
        share = percent_text((1 + tau) / 2, 0)
        facts.append(
            (
                "order",
                f"{share} of all pairs come in the predicted order (Kendall's tau {tau:.2f})",
            )
        )
    first = rows[0]
    passes = sorted({m.repetitions for m in rows})
    each = str(passes[0]) if len(passes) == 1 else f"{passes[0]} to {passes[-1]}"
    facts.append(
        (
            "measured",
            f"median and quartiles of {each} passes, 1 sample each, {counted(first.threads, 'thread')} "
            f"({first.machine}, {first.isa}), in turns with PyTorch at 32 bits",
        )
    )
    if any(m.agreement is None for m in rows):
        facts.append(
            (
                "weights",
                "random where a trial's were not kept; blocks of zeros among trained ones would be faster",
            )
        )
    if is_kept:
        file = RunFolder(run.path).measured_file
        facts.append(("kept", f"in {file}: pareto, inspect and report show it"))
    told = next((text for m in rows if (text := conditions_text(run, m))), None)
    if told is not None:
        facts.append(("machine", Text(told, "yellow")))
    return facts


def _summary(found: Fidelity, *, promised: bool) -> Text:
    count = len(found.errors)
    worst = found.errors[found.worst]
    if count == 1:
        text = Text(f"{100 * worst:+.1f}% against the prediction")
    else:
        text = Text(
            f"median {100 * found.median_error:.1f}%, worst {100 * worst:+.1f}% (trial {found.worst})"
        )
    text.append(f"; {found.near} of {count} within {100 * NEAR:.0f}%")
    text.stylize(_verdict(found.near == count) if promised else "")
    return text


def _error_text(run: Run, measured: MeasuredLatency, sign: str = "%") -> Text:
    error = measured.latency_s / run.trial(measured.number).latency_s - 1
    style = _verdict(abs(error) <= NEAR) if is_promised(run.profile, measured) else "dim"
    return Text(f"{100 * error:+.1f}{sign}", style)


def _agreement_text(measured: MeasuredLatency, text: str) -> Text:
    return Text(text, "dim" if measured.agreement is None else _verdict(measured.agreement >= _SURE))


def _verdict(is_good: bool) -> str:  # noqa: FBT001 - green or yellow
    return "green" if is_good else "yellow"


def _note(measured: MeasuredLatency, landmark: Landmark | None) -> Text:
    text = Text("" if landmark is None else landmark.label)
    warnings = []
    if measured.agreement is None:
        warnings.append(("random weights", "dim"))
    if not measured.is_compiled:
        warnings.append(("in torch", "yellow"))
    low, high = measured.quartiles_s
    if high - low > _NOISY * measured.latency_s:
        warnings.append(("noisy", "yellow"))
    for words, style in warnings:
        text.append(", " if text else "")
        text.append(words, style)
    return text
