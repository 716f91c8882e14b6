"""The inspector's colours: one palette for dark, one for light, one without any colour."""

from __future__ import annotations

from dataclasses import dataclass

from textual.color import Color
from textual.theme import Theme

from mpsearch.precision.scheme import Scheme
from mpsearch.report.precision_strip import scheme_colour

_BAR_STRENGTH = 0.72


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours by what they mean; an empty one leaves the terminal's own.

    `text`, `dim` and `faint` are three strengths of the same ink. Everything that a colour says is said by a
    symbol or a word too.
    """

    name: str
    is_dark: bool
    background: str
    surface: str
    border: str
    text: str
    dim: str
    faint: str
    accent: str
    front: str
    knee: str
    best: str
    uniform: str
    baseline: str
    over: str
    over_background: str
    budget: str
    mark_a: str
    mark_b: str
    gain: str
    loss: str

    @property
    def has_colour(self) -> bool:
        return bool(self.background)

    def ink(self, field: str, *attributes: str) -> str:
        """A Rich style of that colour; without colours `faint` and `dim` are what a terminal calls dim."""
        colour: str = getattr(self, field)
        faded = ("dim",) if not self.has_colour and field in {"dim", "faint", "over"} else ()
        return " ".join((*faded, *attributes, *((colour,) if colour else ()))) or "none"

    def block(self, scheme: Scheme) -> str:
        """One cell of a layer: dark letters on the scheme's colour, or reversed where there is none."""
        return f"#101010 on {scheme_colour(scheme)}" if self.has_colour else "reverse"

    def bar(self, scheme: Scheme) -> str:
        """The ink of a bar that belongs to a layer of that scheme: its colour, a little quieter."""
        if not self.has_colour:
            return "none"
        return Color.parse(self.background).blend(Color.parse(scheme_colour(scheme)), _BAR_STRENGTH).hex

    def theme(self) -> Theme:
        """What Textual's style sheet needs of it."""
        if not self.has_colour:
            default = "ansi_default"
            return Theme(
                name=self.name, ansi=True, primary=default, secondary=default, warning=default, error=default,
                success=default, accent=default, foreground=default, background=default, surface=default,
                panel=default, boost=default, variables={**_MONO_VARIABLES, **self._variables(default)},
            )  # fmt: skip
        return Theme(
            name=self.name, dark=self.is_dark, primary=self.accent, secondary=self.uniform,
            warning=self.budget, error=self.loss, success=self.front, accent=self.accent,
            foreground=self.text, background=self.background, surface=self.surface, panel=self.surface,
            variables=self._variables(""),
        )  # fmt: skip

    def _variables(self, default: str) -> dict[str, str]:
        names = ("border", "dim", "faint", "accent", "loss")
        own = {f"ink-{name}": getattr(self, name) or default for name in names}
        bar, ground = self.border or default, self.background or default
        scrollbar = {
            "scrollbar": bar, "scrollbar-hover": self.dim or default,
            "scrollbar-active": self.accent or default,
            "scrollbar-background": ground, "scrollbar-background-hover": ground,
            "scrollbar-background-active": ground, "scrollbar-corner-color": ground,
        }  # fmt: skip
        return {**own, **scrollbar}


_MONO_VARIABLES = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "border-blurred": "ansi_default",
    "screen-selection-background": "ansi_default",
    "screen-selection-foreground": "ansi_default",
    "block-cursor-foreground": "ansi_default",
    "block-cursor-background": "ansi_default",
    "block-cursor-text-style": "reverse",
    "input-cursor-background": "ansi_default",
    "input-cursor-foreground": "ansi_default",
    "input-cursor-text-style": "reverse",
    "input-selection-background": "ansi_default",
    "input-selection-foreground": "ansi_default",
}

DARK = Palette(
    name="mpsearch-dark", is_dark=True, background="#14171d", surface="#1b1f27", border="#323945",
    text="#d6dae2", dim="#8b93a3", faint="#4c5462", accent="#8ab4ff", front="#86c98b", knee="#f2c96d",
    best="#5fd3bc", uniform="#74b6cc", baseline="#9aa5e8", over="#8f5f5c", over_background="#1a171c",
    budget="#dd9068", mark_a="#f48fb1", mark_b="#c4a7ff", gain="#86c98b", loss="#e0796f",
)  # fmt: skip
LIGHT = Palette(
    name="mpsearch-light", is_dark=False, background="#fbfaf7", surface="#f1efe9", border="#cfcbc0",
    text="#2a2d33", dim="#666b75", faint="#b4b1a7", accent="#1f56c4", front="#2c7a39", knee="#9c6200",
    best="#00766a", uniform="#1c7286", baseline="#4150a6", over="#c08a84", over_background="#f4eee8",
    budget="#b0501b", mark_a="#b42a66", mark_b="#6f3bb5", gain="#2c7a39", loss="#b23c31",
)  # fmt: skip
MONO = Palette(
    name="mpsearch-mono", is_dark=True, background="", surface="", border="", text="", dim="", faint="",
    accent="", front="", knee="", best="", uniform="", baseline="", over="", over_background="", budget="",
    mark_a="", mark_b="", gain="", loss="",
)  # fmt: skip
PALETTES: dict[str, Palette] = {palette.name: palette for palette in (DARK, LIGHT, MONO)}
