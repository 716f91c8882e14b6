"""The front alone as a picture for a paper or a pull request: PNG or SVG, the same bytes for the same run."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mpsearch.report.front_picture import FrontPicture, PictureMark, front_picture
from mpsearch.report.label_placement import placed_labels
from mpsearch.report.units import counted
from mpsearch.search.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FigureFormat = Literal["png", "svg"]

_INCHES = (6.8, 4.2)
_DOTS_PER_INCH = 220  # of a PNG
_INK, _QUIET, _FAINT, _KNEE, _BUDGET = "#1d1c1a", "#8d8a85", "#e4e1dc", "#6d3fa0", "#b5482f"
_FONT_POINTS = 8.5
# The font that comes with matplotlib; the salt names the parts of an SVG the same each time.
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": _FONT_POINTS,
    "svg.hashsalt": "mpsearch",
    "svg.fonttype": "path",
    "axes.unicode_minus": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How a mark is drawn; `size` in points."""

    marker: str
    size: float
    face: str
    edge: str
    rank: int


_TRIAL = _Look(marker="o", size=3.0, face="#c9c5bf", edge="none", rank=2)
_OVER_BUDGET = _Look(marker="x", size=3.4, face="#c9c5bf", edge="#c9c5bf", rank=2)
_FRONT = _Look(marker="o", size=5.0, face=_INK, edge="white", rank=5)
_LANDMARKS = {
    "uniform": _Look(marker="s", size=5.6, face="white", edge=_INK, rank=4),
    "baseline": _Look(marker="D", size=5.8, face=_INK, edge="white", rank=6),
    "best": _Look(marker="o", size=7.5, face="white", edge=_KNEE, rank=7),
    "knee": _Look(marker="*", size=13.0, face=_KNEE, edge="white", rank=8),
}


def front_figure(run: Run, format: FigureFormat, x: str | None = None, y: str | None = None) -> bytes:  # noqa: A002
    """The front with objective `x` across and `y` up; by default the run's first cost and accuracy.

    Intervals (95%) are thin bars on the front and the landmarks, budgets dashed lines. One run gives the same
    bytes each time, with the same release of matplotlib.

    Raises: ConfigError if there is no such objective, or both are the same.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    picture = front_picture(run, x, y)
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _frame(axes, picture)
        _draw(axes, picture)
        axes.set_title(_title(run), loc="left", color=_INK, fontsize=_FONT_POINTS + 1.5, pad=20)
        axes.annotate(
            _caption(run), (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", color=_QUIET,
            fontsize=_FONT_POINTS - 1.5,
        )  # fmt: skip
        figure.draw_without_rendering()  # settles the layout, which the labels need
        _label(axes, picture)
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
        stored = io.BytesIO()
        figure.savefig(stored, format=format, dpi=_DOTS_PER_INCH, metadata=metadata)
    return stored.getvalue()


def _title(run: Run) -> str:
    complete = sum(record.is_complete for record in run.trainings)
    return _literal(f"{run.space.name}: {complete} trials, {len(run.front)} on the front")


def _caption(run: Run) -> str:
    threads = counted(run.profile.threads, "thread")
    bars = f"bars: 95% intervals of {run.validation_samples} validation samples"
    parts = [bars, f"costs predicted for {threads} of {run.profile.fingerprint.cpu_model}"]
    if run.budgets:
        parts.append("\N{MULTIPLICATION SIGN} over budget")
    return _literal("; ".join(parts))


def _literal(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")


def _frame(axes: Axes, picture: FrontPicture) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    x_ticks, y_ticks = picture.x_axis.ticks(8), picture.y_axis.ticks(7)
    axes.set_xticks([place for place, _ in x_ticks], [text for _, text in x_ticks])
    axes.set_yticks([place for place, _ in y_ticks], [text for _, text in y_ticks])
    axes.set_xlabel(_literal(picture.x_axis.title), color=_INK, labelpad=6)
    axes.set_ylabel(_literal(picture.y_axis.title), color=_INK, labelpad=6)
    axes.grid(color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_QUIET, pad=5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)


def _draw(axes: Axes, picture: FrontPicture) -> None:
    quiet: dict[str, Any] = {"color": _BUDGET, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}
    words: dict[str, Any] = {"color": _BUDGET, "fontsize": _FONT_POINTS - 1.5}
    if picture.x_limit is not None:
        axes.axvline(picture.x_limit, **quiet)
        axes.annotate(
            "budget", (picture.x_limit, 1), (-3, -8), textcoords="offset points", ha="right", **words
        )
    if picture.y_limit is not None:
        axes.axhline(picture.y_limit, **quiet)
        axes.annotate(
            "budget", (1, picture.y_limit), (-3, 3), textcoords="offset points", ha="right", **words
        )
    if picture.stairs:
        across, up = zip(*picture.stairs, strict=True)
        axes.plot(across, up, color=_INK, linewidth=0.9, alpha=0.55, zorder=3)
    for mark in picture.marks:
        look = _look(mark)
        if mark.is_prominent:
            colour = _KNEE if look.rank == _LANDMARKS["knee"].rank else _QUIET
            bar: dict[str, Any] = {"color": colour, "linewidth": 0.7, "alpha": 0.7, "zorder": 2.5}
            if mark.y_ends is not None:
                axes.plot([mark.x, mark.x], mark.y_ends, **bar)
            if mark.x_ends is not None:
                axes.plot(mark.x_ends, [mark.y, mark.y], **bar)
        axes.plot(
            [mark.x], [mark.y], look.marker, markersize=look.size, markerfacecolor=look.face,
            markeredgecolor=look.edge, markeredgewidth=0.9, zorder=look.rank, clip_on=False,
        )  # fmt: skip


def _look(mark: PictureMark) -> _Look:
    if mark.landmark is not None:
        return _LANDMARKS[mark.landmark.kind]
    if mark.is_on_front:
        return _FRONT
    return _TRIAL if mark.is_feasible else _OVER_BUDGET


def _label(axes: Axes, picture: FrontPicture) -> None:
    """Names beside the landmarks, placed in points of the picture's own grid."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 - slow to import

    halo = [withStroke(linewidth=2.2, foreground="white")]
    box = axes.get_window_extent()
    figure = axes.get_figure(root=True)
    assert figure is not None
    points = 72 / figure.dpi
    width, height = box.width * points, box.height * points
    named = [(mark, mark.landmark) for mark in picture.marks if mark.landmark is not None]
    named.sort(key=lambda pair: -_LANDMARKS[pair[1].kind].rank)
    labels = placed_labels(
        [(mark.x * width, (1 - mark.y) * height, landmark.label) for mark, landmark in named],
        [(m.x * width, (1 - m.y) * height, 4.0 if m.is_prominent else 1.5) for m in picture.marks],
        size=_FONT_POINTS,
        width=width,
        height=height,
    )
    for label, (_, landmark) in zip(labels, named, strict=True):
        is_knee = landmark.kind == "knee"
        axes.annotate(
            label.text, (label.x / width, 1 - label.y / height), color=_KNEE if is_knee else _INK,
            fontweight="bold" if is_knee else "normal", zorder=9, annotation_clip=False, path_effects=halo,
        )  # fmt: skip
