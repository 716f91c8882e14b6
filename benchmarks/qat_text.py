"""The tables of `benchmarks/qat.py` as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qat_parts import TRIAL_SHARE

LEAST_TAU = 0.75

Line = Mapping[str, Any]


def printed(found: Mapping[str, Sequence[Line]]) -> str:
    """All parts, those without a line left out."""
    texts: dict[str, Callable[[Line], str]] = {"ranking": _ranking, "determinism": _determinism}
    lines: list[str] = []
    for part, of_part in found.items():
        if of_part:
            lines += ["", part, *(texts.get(part, _row)(line) for line in of_part)]
    return "\n".join(lines)


def mean_text(mean: float, spread: float | None) -> str:
    shown = f"{mean:.2f}".replace("-0.00", "0.00")
    return shown if spread is None else f"{shown} ± {spread:.2f}"


def share_text(line: Line) -> str:
    """How long policies were trained that are ranked against the whole."""
    if line["share"] == 0:
        return "calibrated only"
    whole = f"{line['long_steps']} steps"
    return f"{whole}, another seed" if line["share"] == 1 else f"{line['steps']} of {whole}"


def _row(line: Line) -> str:
    name = f"{line['table']}: {line['label']}"
    if line["lost"] is None:
        return f"{name:64} diverged"
    unit = "points" if line["measure"] == "score" else "nats"
    text = f"{name:64} {mean_text(line['lost'], line['spread'])} {unit} below 32 bits"
    if line["test_lost"] is not None:
        text += f", test {mean_text(line['test_lost'], line['test_spread'])}"
    text += f", {line['seeds']} of {line['seeds_wanted']} seeds"
    if line.get("gain") is not None:
        gained = f"{mean_text(line['gain'], line['gain_spread'])} points, {line['gain_nats']:.3f} nats"
        text += f"; over {line['against']}: {gained} ({line['verdict']})"
    if line["bar"] is not None:
        text += f"; bar {line['bar']:g}: {'met' if line['is_met'] else 'MISSED'}"
    return text


def _ranking(line: Line) -> str:
    tau = "no tau" if line["tau"] is None else f"tau {line['tau']:.2f}"
    interval = "" if line["low"] is None else f" ({line['low']:.2f} to {line['high']:.2f})"
    text = f"{line['table']}: {share_text(line):20} {tau}{interval}, {line['policies']} policies"
    if line["tau_loss"] is not None:
        text += f"; {line['tau_loss']:.2f} of the loss"
    if line["share"] == TRIAL_SHARE and line["tau"] is not None:
        text += f"; bar {LEAST_TAU}: {'met' if line['tau'] >= LEAST_TAU else 'MISSED'}"
    return text


def _determinism(line: Line) -> str:
    equal = "equal to the bit" if line["is_equal"] else "UNEQUAL"
    other = "another seed differs" if line["other_seed_differs"] else "ANOTHER SEED IS EQUAL"
    return f"{line['table']}: {line['label']}, {line['steps']} steps twice: {equal}; {other}"
