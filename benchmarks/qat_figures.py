"""The figures of docs/qat.md as SVG: the same bytes for the same results and release of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from qat_text import LEAST_TAU

Line = Mapping[str, Any]

SETTINGS: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "svg.hashsalt": "mpsearch",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_INCHES = (6.4, 3.4)
_WIDE_INCHES = (8.4, 3.6)
_APART = 1.5  # factor between lengths below which the text of one would touch the other's
_FAR = 10  # points below 32 bits, from which on a linear axis would hide what is near
COLOURS = ("#1d1c1a", "#6d3fa0", "#b5482f", "#2f7f6d", "#8d8a85", "#c08a1e")


def figures(found: Mapping[str, Sequence[Line]]) -> dict[str, str]:
    """File name -> SVG; those without a line are left out."""
    drawn = {}
    if found["ranking"]:
        drawn["qat-ranking.svg"] = svg_text(_ranking(found["ranking"]))
    if any(line["lost"] is not None for line in found["bars"]):
        drawn["qat-bars.svg"] = svg_text(_bars(found["bars"]))
    return drawn


def _ranking(lines: Sequence[Line]) -> Figure:
    """Kendall's tau over the share of the long fine-tune, with its interval."""
    with mpl.rc_context(dict(SETTINGS)):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(LEAST_TAU, color="#8d8a85", linewidth=0.8, linestyle="--")
        tables = list(dict.fromkeys(line["table"] for line in lines))
        for table, colour in zip(tables, COLOURS, strict=False):
            of_table = [
                line
                for line in lines
                if line["table"] == table and line["share"] < 1 and line["low"] is not None
            ]
            shares = [100 * line["share"] for line in of_table]
            taus = [line["tau"] for line in of_table]
            below = [line["tau"] - line["low"] for line in of_table]
            above = [line["high"] - line["tau"] for line in of_table]
            axes.errorbar(
                shares, taus, yerr=(below, above), color=colour, marker="o", markersize=3.5, linewidth=1.2,
                elinewidth=0.6, label=table,
            )  # fmt: skip
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks([0, 2, 5, 10, 20, 40], ["calibrated", "2%", "5%", "10%", "20%", "40%"])
        axes.minorticks_off()
        axes.set_xlabel("share of the long fine-tune")
        axes.set_ylabel("Kendall's tau with the long scores")
        axes.legend(frameon=False, loc="lower right")
    return figure


def _bars(lines: Sequence[Line]) -> Figure:
    """What each precision loses over the length of the fine-tune, a panel a model."""
    told = [(line, line["label"].partition(";")[0]) for line in lines if line["lost"] is not None]
    schemes = list(dict.fromkeys(_scheme(rule) for _, rule in told))
    colours = dict(zip(schemes, COLOURS, strict=False))
    tables = list(dict.fromkeys(line["table"] for line, _ in told))
    lengths = {
        table: sorted({line["most_steps"] for line, _ in told if line["table"] == table}) for table in tables
    }
    with mpl.rc_context(dict(SETTINGS)):
        figure = Figure(figsize=_WIDE_INCHES, layout="constrained")
        ratios = [1 + len(lengths[table]) for table in tables]
        panels = figure.subplots(1, len(tables), squeeze=False, width_ratios=ratios)[0]
        for axes, table in zip(panels, tables, strict=True):
            of_table = [(line, rule) for line, rule in told if line["table"] == table]
            for rule in dict.fromkeys(rule for _, rule in of_table):
                of_rule = [line for line, its in of_table if its == rule]
                axes.errorbar(
                    [line["most_steps"] for line in of_rule],
                    [line["lost"] for line in of_rule],
                    yerr=[line["spread"] or 0 for line in of_rule],
                    color=colours[_scheme(rule)], marker="o", markersize=3.5, linewidth=1.2, elinewidth=0.6,
                    linestyle=_line(_scheme(rule)),
                )  # fmt: skip
            axes.axhline(0, color="#8d8a85", linewidth=0.8, linestyle="--")
            axes.set_xscale("log")
            apart = [
                steps
                for steps in lengths[table]
                if not any(1 < its / steps < _APART for its in lengths[table])
            ]
            axes.set_xticks(apart, [_length_text(steps) for steps in apart])
            if max(line["lost"] for line, _ in of_table) > _FAR:
                axes.set_yscale("symlog", linthresh=1)
                axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.set_title(table, fontsize=8.5)
            axes.set_xlabel("steps")
            is_points = of_table[0][0]["measure"] == "score"
            axes.set_ylabel("points below 32 bits" if is_points else "nats above 32 bits")
        handles = [
            Line2D([], [], color=colours[scheme], marker="o", markersize=3.5, linestyle=_line(scheme))
            for scheme in schemes
        ]
        figure.legend(handles, schemes, frameon=False, loc="outside lower center", ncols=len(schemes))
    return figure


def _scheme(rule: str) -> str:
    """Of the inner layers."""
    return rule.partition(",")[0].removeprefix("all ")


def _line(scheme: str) -> str:
    """None between controls: each has the learning rate of those that it is a control of."""
    return "none" if scheme == "w32a32" else "-"


def _length_text(steps: int) -> str:
    return str(steps) if steps < 1000 else f"{steps / 1000:.2g}k"


def svg_text(figure: Figure) -> str:
    file = io.StringIO()
    with mpl.rc_context(dict(SETTINGS)):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
