"""One effect of a layer in words and numbers."""

from __future__ import annotations

from rich.text import Text

from mpsearch.precision.scheme import Scheme
from mpsearch.report.units import bytes_text, seconds_text
from mpsearch.search.layer_effects import JointEffect, LayerEffect, Verdict

# Colour says the verdict, and so does the mark: nothing is known by colour alone.
VERDICT_STYLES: dict[Verdict, str] = {"safe": "green", "unclear": "yellow", "costly": "red"}
VERDICT_MARKS: dict[Verdict, str] = {"safe": " ", "unclear": "?", "costly": "!"}
_SKEWED = 1.6  # times as far on one side as on the other, and
_SEEN = 0.002  # by enough to be seen
_TIMER_S = 5e-9  # sums of measured times differ by less than this for no reason
_GROUP = "group:"


def points(share: float, decimals: int = 1) -> str:
    """0.0123 -> "1.2": percentage points, whole ones from 9.95 on, never "-0.0"."""
    return _points(share, decimals if abs(100 * share) < 9.95 else 0)


def cost_text(effect: LayerEffect | JointEffect) -> str:
    """The points that are lost: "0.3 ± 0.1", or "0.3 (0.1 to 0.9)" where the interval is lopsided."""
    lost = -effect.accuracy_change
    low, high = -effect.interval[1], -effect.interval[0]
    decimals = 2 if high - low < 0.0016 else 1 if high - low < 0.16 else 0
    below, above = lost - low, high - lost
    if max(below, above) > _SKEWED * min(below, above) and abs(above - below) > _SEEN:
        return f"{_points(lost, decimals)} ({_points(low, decimals)} to {_points(high, decimals)})"
    return f"{_points(lost, decimals)} ± {_points((high - low) / 2, decimals)}"


def retrained_text(effect: LayerEffect) -> str:
    """The points that one training of this change may show as lost: "-0.4 to 0.9"."""
    low, high = -effect.retrained_interval[1], -effect.retrained_interval[0]
    return f"{_points(low, 1)} to {_points(high, 1)}"


def _points(share: float, decimals: int) -> str:
    text = f"{100 * share:.{decimals}f}"
    return text.removeprefix("-") if not float(text) else text


def scheme_words(scheme: Scheme) -> str:
    """As people say it: "1.58 bit", "1 bit", "1 bit in and out", "32-bit float"."""
    if scheme.is_full_precision:
        return "32-bit float"
    text = f"{scheme.weight_bits:g} bit"
    return f"{text} with 1-bit activations" if scheme.activation_bits == 1 else text


def saved_words(effect: LayerEffect | JointEffect) -> str:
    """As in "saves 112 KB, 41 µs"; what it adds where it saves nothing."""
    saved, added = [], []
    for value, text in (
        (float(effect.memory_saved_bytes), bytes_text(abs(effect.memory_saved_bytes))),
        (
            effect.latency_saved_s if abs(effect.latency_saved_s) >= _TIMER_S else 0.0,
            seconds_text(abs(effect.latency_saved_s)),
        ),
        *(
            (saved_s if abs(saved_s) >= _TIMER_S else 0.0, f"{seconds_text(abs(saved_s))} on {device}")
            for device, saved_s in effect.latency_saved_on.items()
        ),
    ):
        if value > 0:
            saved.append(text)
        elif value < 0:
            added.append(text)
    told = [f"saves {', '.join(saved)}"] if saved else []
    told += [f"adds {', '.join(added)}"] if added else []
    return " but ".join(told) or "saves nothing"


def effect_words(effect: LayerEffect) -> Text:
    """As in "layer4.0.conv2: 1.58 bit costs 0.3 ± 0.1 points and saves 112 KB, 41 µs"."""
    return Text.assemble(
        (choice_name(effect.choice), "bold"),
        f": {scheme_words(effect.scheme)} ",
        (change_words(effect), VERDICT_STYLES[effect.verdict]),
        f" and {saved_words(effect)}",
    )


def change_words(effect: LayerEffect | JointEffect) -> str:
    """As in "costs 0.3 ± 0.1 points", or "gains 0.2 ± 0.4 points" where that is expected."""
    text = cost_text(effect)
    if text.startswith("-") and "±" in text:
        return f"gains {text.removeprefix('-')} points"
    return f"costs {text} points"


def choice_name(name: str) -> str:
    """A group without its prefix."""
    return name.removeprefix(_GROUP)
