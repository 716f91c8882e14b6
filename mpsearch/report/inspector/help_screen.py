"""All keys, what the mouse does, what the symbols mean."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.inspector.dialog import Dialog
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.precision_strip import SYMBOLS

KEYS: tuple[tuple[str, str, str], ...] = (
    ("Move", "← → h l", "along the front"),
    ("", "↑ ↓ k j", "to the nearest trial above, below"),
    ("", ", .", "through all trials, left and right"),
    ("", "home end", "to the ends of the front"),
    ("", "g", "to a trial by number or name"),
    ("", "t", "list of all trials, failed ones too"),
    ("", "pgup pgdn", "scroll the layers; o sorts them"),
    ("Look", "x y", "what an axis shows"),
    ("", "X Y", "its scale: automatic, linear, log"),
    ("", "z", "near the front, or all trials"),
    ("", "/", "filter; esc drops it"),
    ("", "b", "budgets; r the run's own; 0 none"),
    ("", "[ ]  { }", "move the budget of x, of y"),
    ("Use", "m", "mark; u drops the marks"),
    ("", "c", "compare A with B or the cursor"),
    ("", "e", "export the trial under the cursor"),
    ("", "T  q", "dark or light; quit"),
    ("Mouse", "click", "nearest trial; an axis' title"),
    ("", "drag", "a budget by its line or its axis"),
)
SYMBOL_ROWS: tuple[tuple[str, str, str], ...] = (
    ("★", "knee", "knee"),
    ("◉", "best", "best in budget"),
    ("●", "front", "on the front"),
    ("○", "over", "... over budget"),
    ("□", "uniform", "one scheme"),
    ("◆", "baseline", "32 bits"),
    ("•", "dim", "other trial"),
    ("×", "over", "over budget"),
    ("·", "faint", "filtered out"),
    ("◁", "dim", "past the axis"),
    ("A", "mark_a", "marked, A or B"),
    ("│", "accent", "95% of the score"),
    ("≈", "dim", "too close to call"),
)
_LEFT = 51


def help_text(palette: Palette, width: int) -> Text:
    """Two columns where they fit, else one after the other."""
    left = []
    for group, keys, does in KEYS:
        line = Text(f"{group:<6}", palette.ink("dim"), no_wrap=True)
        line.append(f"{keys:<10}", palette.ink("accent", "bold"))
        line.append(does, palette.ink("text"))
        left.append(line)
    right = [
        Text.assemble((symbol, palette.ink(ink)), (f"  {says}", palette.ink("dim")), no_wrap=True)
        for symbol, ink, says in SYMBOL_ROWS
    ]
    right += [
        Text.assemble((SYMBOLS[name], palette.block(scheme)), (f"  {name}", palette.ink("dim")), no_wrap=True)
        for name, scheme in SCHEMES.items()
    ]
    if width < _LEFT + 20:
        return Text("\n").join([*left, Text(), *right])
    lines = []
    for place in range(max(len(left), len(right))):
        line = left[place].copy() if place < len(left) else Text()
        line.pad_right(max(_LEFT + 1 - line.cell_len, 0))
        if place < len(right):
            line.append_text(right[place])
        lines.append(line)
    return Text("\n").join(lines)


class HelpDialog(Dialog[None]):
    DEFAULT_CSS = """
    HelpDialog > .box { width: 78; padding: 0 2; }
    HelpDialog Static { height: auto; }
    """
    BINDINGS = [("question_mark,q", "leave", "leave")]  # noqa: RUF012 - as Textual declares it

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette

    def compose(self) -> ComposeResult:
        with self.box("Keys and symbols", "esc closes"):
            yield Static(markup=False)

    def on_resize(self) -> None:
        self.query_one(Static).update(help_text(self._palette, min(self.size.width, 78) - 6))
