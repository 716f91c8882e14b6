"""The lines of `benchmarks/search.py` as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from search_problem import SHARES

Line = Mapping[str, Any]


def printed(lines: Sequence[Line]) -> str:
    """A block for each table, goal and costs, with a row a sampler."""
    blocks = [_block(title, list(members)) for title, members in groupby(lines, key=_title)]
    return "\n\n".join(blocks)


def count_text(value: float | None, most: int) -> str:
    """A number of trials, or that there were not enough of them."""
    return f"> {most}" if value is None else f"{value:g}"


def label_of(line: Line) -> str:
    """The sampler, and what is unusual in how it was replayed."""
    name, proxy = line["sampler"], line["proxy"]
    if line["fidelities"]:
        way = "several fidelities" if len(line["fidelities"]) > 1 else "in full"
        return f"{name}, {way}{'' if line['repeats'] else ', no repeats'}"
    is_usual = proxy in ("ptq", "one-layer") or (proxy == "none" and name != "mpsearch")
    return name if is_usual else f"{name}, {'no' if proxy == 'none' else proxy} proxy"


def _title(line: Line) -> str:
    drawn = f"{line['cost_tables']} drawn cost tables"
    costs = drawn if line["costs"] == "drawn" else f"{line['costs']} costs"
    shown = "" if line["is_noisy"] else ", mean scores shown"
    objectives = ", ".join(line["objectives"])
    return f"{line['table']}: {line['goal']}, {costs}{shown} ({objectives})"


def _block(title: str, lines: Sequence[Line]) -> str:
    if lines[0]["goal"] == "budgets":
        heads = ["sampler", "seeds", "to answer", "quartiles", "by budget", "ask ms"]
        rows = [
            [
                label_of(line),
                str(line["seeds"]),
                count_text(line["trials_to_answer"], line["most_trials"]),
                _range(line["trials_to_answer_quartiles"]),
                " ".join(
                    count_text(value, line["most_trials"]) for value in line["trials_to_answer_by_budget"]
                ),
                f"{line['ask_ms']:.1f}",
            ]
            for line in lines
        ]
    else:
        heads = [
            "sampler", "seeds", *(f"{100 * share:g}%" for share in SHARES), "quartiles of 99%", "s to 99%",
            "after 25", "chosen", "regret", "ask ms",
        ]  # fmt: skip
        least = lines[0]["clairvoyant_trials_to"]
        rows = [
            *(_front_row(line) for line in lines),
            ["(all scores known)", "", *(f"{least[str(share)]:g}" for share in SHARES), *[""] * 6],
        ]
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    text = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [heads, *rows]
    ]
    return "\n".join([title, *text])


def _front_row(line: Line) -> list[str]:
    seconds = line["seconds_to"]["0.99"]
    known = [value for value in line["regret_under_budgets"] if value is not None]
    return [
        label_of(line),
        str(line["seeds"]),
        *(count_text(line["trials_to"][str(share)], line["most_trials"]) for share in SHARES),
        _range(line["trials_to_quartiles"]["0.99"]),
        "" if seconds is None else f"{seconds:.1f}",
        f"{100 * line['hypervolume_after_25']:.2f}%",
        f"{100 * line['chosen_hypervolume_after_25']:.2f}%",
        f"{max(known):.2f}" if len(known) == len(line["regret_under_budgets"]) else "none fits",
        f"{line['ask_ms']:.1f}",
    ]


def _range(quartiles: Sequence[float | None]) -> str:
    low, high = ("" if value is None else f"{value:g}" for value in quartiles)
    return f"{low} to {high}" if low and high else f"{low} to more" if low else "more"
