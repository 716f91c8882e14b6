"""What `mpsearch bench` prints: the promise beside the measurement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mpsearch.report.units import bytes_text, counted, factor_text, percent_text, seconds_text, spread_text

if TYPE_CHECKING:  # it imports torch
    from mpsearch.export.verify import BenchReport

_NEAR = 0.15  # of the prediction: the target that a profile is judged by
_SURE = 0.99


def bench_view(report: BenchReport) -> RenderableType:
    """Latency, outputs, size; green where the promise is kept."""
    off = report.prediction_error
    same_threads = report.threads == report.predicted_threads
    kept = "green" if abs(off) <= _NEAR else "yellow"
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    threads = counted(report.threads, "thread")
    grid.add_row("runs", *_runtime_cells(report))
    grid.add_row(
        "predicted", seconds_text(report.predicted_latency_s), Text(f"profile {report.profile}", "dim")
    )
    grid.add_row(
        "measured",
        Text(spread_text(report.measured_latency_s, report.quartiles_s), "bold"),
        Text(f"{100 * off:+.1f}% against the prediction", kept if same_threads else "dim"),
    )
    for name, measured_s, predicted_s in (
        ("95 of 100 passes", report.measured_p95_s, report.predicted_p95_s),
        ("99 of 100 passes", report.measured_p99_s, report.predicted_p99_s),
    ):
        grid.add_row(
            name, f"within {seconds_text(measured_s)}", Text(f"predicted {seconds_text(predicted_s)}", "dim")
        )
    grid.add_row(
        "PyTorch, 32-bit",
        spread_text(report.torch_fp32_latency_s, report.torch_fp32_quartiles_s),
        Text(f"packed is {factor_text(report.torch_fp32_latency_s / report.measured_latency_s)} as fast"),
    )
    for row in _answers(report):
        grid.add_row(*row)
    grid.add_row(
        "memory", bytes_text(report.memory_bytes), Text(f"file {bytes_text(report.file_bytes)}", "dim")
    )
    grid.add_row(
        "compressed", bytes_text(report.compressed_bytes), Text("with its weights as zlib streams", "dim")
    )
    head = Text.assemble((report.model, "bold"), (f"  trial {report.trial} of {report.run}", "dim"))
    parts: list[RenderableType] = [
        head,
        grid,
        Text(f"One sample at a time, {threads}; median and quartiles.", "dim"),
    ]
    if not same_threads:
        note = f"The prediction is for {report.predicted_threads} thread(s): compare with --threads."
        parts.append(Text(note, "yellow"))
    return Group(*parts)


def _answers(report: BenchReport) -> Iterator[tuple[str, Text, Text]]:
    if report.agreement is None or report.score is None or report.expected_score is None:
        why = "the task gives other validation samples here than on export"
        yield "outputs", Text("not compared", "yellow"), Text(why, "dim")
        return
    yield (
        "outputs",
        Text(f"{percent_text(report.agreement)} agree", "green" if report.agreement >= _SURE else "yellow"),
        Text(f"largest difference {report.max_abs_error:.2g}, {report.n_samples} validation samples", "dim"),
    )
    yield (
        report.metric,
        Text(percent_text(report.score)),
        Text(f"the trial on the same samples: {percent_text(report.expected_score)}", "dim"),
    )


def _runtime_cells(report: BenchReport) -> tuple[Text, Text]:
    if report.is_compiled:
        return Text("compiled"), Text("one native plan", "dim")
    return Text("in torch", "yellow"), Text("kept there by " + "; ".join(report.eager_reasons), "dim")
