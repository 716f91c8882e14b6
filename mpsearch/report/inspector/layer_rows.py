"""The layers of a policy, one row each: scheme, and share of latency and of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

from mpsearch.cost.cost_report import CostReport
from mpsearch.precision.scheme import Scheme
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.precision_strip import SYMBOLS
from mpsearch.report.units import bytes_text, seconds_text

LayerSort = Literal["call order", "latency", "memory"]
SORTS: tuple[LayerSort, ...] = ("call order", "latency", "memory")
_PERCENT = 4
_VALUE = 9
_SCHEME = 8
_LEAST_NAME, _LEAST_BAR, _WIDEST_BAR = 6, 3, 14
_EIGHTHS = " ▏▎▍▌▋▊▉█"
REST = "outside of layers"


@dataclass(frozen=True, slots=True)
class _Columns:
    name: int
    scheme: int
    value: int
    bar: int


def _columns(width: int, names: Sequence[str]) -> _Columns:
    """What fits: first the names, then scheme names, then values, then longer bars."""
    longest = max((len(name) for name in names), default=_LEAST_NAME)
    fixed = 2 + 2 * (1 + _LEAST_BAR + _PERCENT)
    left = width - fixed - min(longest, 13)
    scheme = _SCHEME if left >= _SCHEME else 0
    left -= scheme
    value = _VALUE if left >= 2 * _VALUE else 0
    left -= 2 * value
    name = min(longest, 13) + max(min(longest - 13, left), 0)
    if scheme:  # the row for what lies outside of layers has a long name and no scheme
        name = max(name, min(len(REST) - scheme, width))
    name = max(min(name, width - fixed - scheme - 2 * value), _LEAST_NAME)
    rest = width - 2 - name - scheme - 2 * (value + 1 + _PERCENT)
    return _Columns(name, scheme, value, max(min(rest // 2, _WIDEST_BAR), 1))


def bar(share: float, width: int) -> str:
    """A share of 1 as a bar, to an eighth of a cell; anything above 0 leaves a trace."""
    eighths = round(max(min(share, 1.0), 0.0) * width * 8)
    full, part = divmod(max(eighths, 1) if share > 0 else 0, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(width)


def shortened(name: str, width: int) -> str:
    """The end of a long name tells layers apart: keep it."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def strip_lines(schemes: Sequence[Scheme], palette: Palette, *, width: int, most: int) -> list[Text]:
    """One cell a layer on up to `most` lines; what does not fit is left out of the middle, as "…"."""
    room = width * most
    shown: list[Scheme | None] = list(schemes)
    if len(schemes) > room:
        tail = (room - 1) // 2
        shown = [*schemes[: room - 1 - tail], None, *schemes[len(schemes) - tail :]]
    lines = []
    for start in range(0, len(shown), max(width, 1)):
        line = Text(no_wrap=True)
        for scheme in shown[start : start + width]:
            if scheme is None:
                line.append("…", palette.ink("dim"))
            else:
                line.append(SYMBOLS[scheme.name], palette.block(scheme))
        lines.append(line)
    return lines


def layer_heading(report: CostReport, palette: Palette, *, width: int, sort: LayerSort) -> Text:
    """The titles over the columns, naming the order of the rows."""
    columns = _columns(width, [layer.name for layer in report.layers])
    part = columns.value + columns.bar + _PERCENT
    count = len(report.layers)
    title = f"{count} layer" + ("s" if count != 1 else "")
    room = 2 + columns.name + columns.scheme
    by = {"call order": "", "latency": "latency", "memory": "memory"}[sort]
    titles = [f"{name} ▾" if name == by else name for name in ("latency", "memory")]
    text = f"{title:<{room}}" + "".join(f" {name:>{part}}" for name in titles)
    return Text(text[:width], palette.ink("dim"))


def layer_rows(report: CostReport, palette: Palette, *, width: int, sort: LayerSort) -> list[Text]:
    """Shares are of the whole pass and of the whole model; the last row is what belongs to no layer."""
    columns = _columns(width, [layer.name for layer in report.layers])
    latency_s, memory = report.latency_s or 1.0, report.memory_bytes or 1.0
    layers = list(report.layers)
    if sort != "call order":
        layers.sort(key=lambda la: -(la.latency_s if sort == "latency" else la.memory_bytes))
    rows = []
    for layer in layers:
        row = Text(no_wrap=True)
        row.append(SYMBOLS[layer.scheme.name], palette.block(layer.scheme))
        row.append(f" {shortened(layer.name, columns.name):<{columns.name}}", palette.ink("text"))
        if columns.scheme:
            row.append(f" {layer.scheme.name:<{columns.scheme - 1}}", palette.ink("dim"))
        ink = palette.bar(layer.scheme)
        _append_share(row, columns, palette, layer.latency_s / latency_s, seconds_text(layer.latency_s), ink)
        _append_share(row, columns, palette, layer.memory_bytes / memory, bytes_text(layer.memory_bytes), ink)
        rows.append(row)
    label_width = 1 + columns.name + columns.scheme
    rest = Text(f" {shortened(REST, label_width):<{label_width}}", palette.ink("dim"), no_wrap=True)
    dim = palette.ink("dim")
    _append_share(
        rest, columns, palette, report.remainder_latency_s / latency_s,
        seconds_text(report.remainder_latency_s), dim,
    )  # fmt: skip
    _append_share(
        rest, columns, palette, report.other_memory_bytes / memory, bytes_text(report.other_memory_bytes), dim
    )
    return [*rows, rest]


def _append_share(row: Text, columns: _Columns, palette: Palette, share: float, value: str, ink: str) -> None:
    if columns.value:
        row.append(f"{value:>{columns.value}}", palette.ink("text"))
    percent = f"{100 * share:.0f}%"
    row.append(" " + bar(share, columns.bar), ink)
    row.append(f"{percent:>{_PERCENT}}", palette.ink("dim"))
