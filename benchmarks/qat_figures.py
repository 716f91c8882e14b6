"""The figures of docs/qat.md as SVG: the same bytes for the same results and release of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
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
_FAR = 10  # points below 32 bits, from which on a linear axis would hide what is near
COLOURS = ("#1d1c1a", "#6d3fa0", "#b5482f", "#2f7f6d", "#8d8a85", "#c08a1e")


def figures(found: Mapping[str, Sequence[Line]]) -> dict[str, str]:
    """File name -> SVG; those without a line are left out."""
    drawn = {}
    if found["ranking"]:
        drawn["qat-ranking.svg"] = svg_text(_ranking(found["ranking"]))
    if found["bars"]:
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
    tables = list(dict.fromkeys(line["table"] for line in lines))
    with mpl.rc_context(dict(SETTINGS)):
        figure = Figure(figsize=_INCHES, layout="constrained")
        panels = figure.subplots(1, len(tables), squeeze=False)[0]
        for axes, table in zip(panels, tables, strict=True):
            of_table = [line for line in lines if line["table"] == table and line["lost"] is not None]
            rules = list(dict.fromkeys(line["label"].partition(";")[0] for line in of_table))
            for rule, colour in zip(rules, COLOURS, strict=False):
                of_rule = [line for line in of_table if line["label"].partition(";")[0] == rule]
                axes.errorbar(
                    [line["most_steps"] for line in of_rule],
                    [line["lost"] for line in of_rule],
                    yerr=[line["spread"] or 0 for line in of_rule],
                    color=colour, marker="o", markersize=3.5, linewidth=1.2, elinewidth=0.6,
                    label=rule.partition(",")[0],
                )  # fmt: skip
            lengths = sorted({line["most_steps"] for line in of_table})
            axes.set_xscale("log")
            axes.set_xticks(lengths, [str(length) for length in lengths])
            if max(line["lost"] for line in of_table) > _FAR:
                axes.set_yscale("symlog", linthresh=1)
                axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.set_title(table, fontsize=8.5)
            axes.set_xlabel("steps")
            is_points = not of_table or of_table[0]["measure"] == "score"
            axes.set_ylabel("points below 32 bits" if is_points else "nats above 32 bits")
            axes.legend(frameon=False, ncols=2 if len(rules) > 2 else 1)
    return figure


def svg_text(figure: Figure) -> str:
    file = io.StringIO()
    with mpl.rc_context(dict(SETTINGS)):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
