"""The figure of docs/search.md as SVG: the same bytes for the same results and release of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from qat_figures import SETTINGS, svg_text

Line = Mapping[str, Any]

_COLOURS = {
    "mpsearch": "#6d3fa0",
    "proxy-front": "#1d1c1a",
    "tpe-multivariate-warm": "#2f7f6d",
    "tpe-multivariate": "#7fc0ac",
    "gp-warm": "#c08a1e",
    "nsga2-20": "#b5482f",
    "random": "#8d8a85",
}
_LOWEST = 0.8
_PANEL_INCHES = (3.2, 2.6)


def figures(lines: Sequence[Line]) -> dict[str, str]:
    """File name -> SVG, none where nothing is measured."""
    return {"search-curves.svg": svg_text(_curves(lines))} if lines else {}


def _curves(lines: Sequence[Line]) -> Figure:
    """The share of the exact hypervolume over trials, a panel a table; medians over seeds."""
    tables = list(dict.fromkeys(line["table"] for line in lines))
    columns = min(2, len(tables))
    rows = -(-len(tables) // columns)
    width, height = _PANEL_INCHES
    with mpl.rc_context(dict(SETTINGS)):
        figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, table in zip(panels.flat, tables, strict=False):
            of_table = {line["sampler"]: line for line in lines if line["table"] == table}
            for sampler, colour in _COLOURS.items():
                if sampler in of_table:
                    curve = of_table[sampler]["curve"]
                    axes.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=1.2, label=sampler)
            axes.axhline(0.99, color="#8d8a85", linewidth=0.6, linestyle="--")
            axes.set_xscale("log")
            axes.set_ylim(_LOWEST, 1.002)
            axes.set_title(table, fontsize=8.5)
            axes.set_xlabel("trials")
        for axes in list(panels.flat)[len(tables) :]:
            axes.set_axis_off()
        for of_row in panels:
            of_row[0].set_ylabel("share of the exact hypervolume")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3, fontsize=7)
    return figure
