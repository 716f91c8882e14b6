"""A front as an SVG inside of a page: in the colour of the text around it, so light or dark as that is."""

from __future__ import annotations

from collections.abc import Callable

from mpsearch.report.front_picture import FrontPicture, PictureMark, front_picture
from mpsearch.report.label_placement import placed_labels
from mpsearch.report.markup import Markup, element
from mpsearch.search.run import Run

WIDTH, HEIGHT = 720, 380
KNEE_COLOUR = "#8a5cc7"  # reads on white and on black
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 14, 48
_FONT = 11


def front_svg(run: Run, cost: str | None = None) -> Markup:
    """Accuracy against `cost`: trials, front, intervals of the front, landmarks by name, budgets.

    Raises: ConfigError if there is no such cost.
    """
    picture = front_picture(run, cost)
    inner: list[Markup] = [*_frame(picture), *_limits(picture)]
    line = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in picture.stairs)
    inner.append(element("polyline", points=line, fill="none", stroke="currentColor", stroke_opacity=0.45))
    order = sorted(picture.marks, key=lambda mark: (mark.is_on_front, mark.landmark is not None))
    inner += [_interval(mark) for mark in order if mark.is_on_front and mark.y_ends]
    inner += [_symbol(mark) for mark in order]
    inner += _labels(picture)
    names = f"{picture.y_axis.quantity.name} against {picture.x_axis.quantity.name}"
    title = f"{names}: {len(picture.marks)} trials, {len(run.front)} on the front"
    return element(
        "svg",
        element("title", title),
        inner,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_label=title,
        font_family="system-ui, sans-serif",
        font_size=_FONT,
        style="max-width:100%;height:auto;overflow:hidden",
    )


def _x(place: float) -> float:
    return _LEFT + place * (WIDTH - _LEFT - _RIGHT)


def _y(place: float) -> float:
    return HEIGHT - _BOTTOM - place * (HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str = "start", **attributes: str | float) -> Markup:
    return element(
        "text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill="currentColor", **attributes
    )


def _line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float) -> Markup:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return element("line", stroke="currentColor", **ends, **attributes)


def _frame(picture: FrontPicture) -> list[Markup]:
    """Grid, ticks and titles."""
    parts = []
    for place, text in picture.x_axis.ticks(8):
        parts.append(_line(_x(place), _y(0), _x(place), _y(1), stroke_opacity=0.1))
        parts.append(_text(_x(place), _y(0) + 16, text, "middle", fill_opacity=0.75))
    for place, text in picture.y_axis.ticks(6):
        parts.append(_line(_x(0), _y(place), _x(1), _y(place), stroke_opacity=0.1))
        parts.append(_text(_x(0) - 8, _y(place) + 4, text, "end", fill_opacity=0.75))
    parts.append(_line(_x(0), _y(0), _x(1), _y(0), stroke_opacity=0.5))
    parts.append(_text(_x(0.5), HEIGHT - 8, picture.x_axis.title, "middle"))
    middle = f"rotate(-90 12 {_y(0.5):.1f})"
    parts.append(_text(12, _y(0.5), picture.y_axis.title, "middle", transform=middle))
    return parts


def _limits(picture: FrontPicture) -> list[Markup]:
    look: dict[str, str | float] = {"stroke_dasharray": "4 4", "stroke_opacity": 0.7}
    parts = []
    if picture.x_limit is not None:
        parts.append(_line(_x(picture.x_limit), _y(0), _x(picture.x_limit), _y(1), **look))
        parts.append(_text(_x(picture.x_limit) - 5, _y(1) + 10, "budget", "end", fill_opacity=0.75))
    if picture.y_limit is not None:
        parts.append(_line(_x(0), _y(picture.y_limit), _x(1), _y(picture.y_limit), **look))
        parts.append(_text(_x(1), _y(picture.y_limit) - 5, "budget", "end", fill_opacity=0.75))
    return parts


def _interval(mark: PictureMark) -> Markup:
    assert mark.y_ends is not None
    low, high = (min(max(end, 0.0), 1.0) for end in mark.y_ends)
    return _line(_x(mark.x), _y(low), _x(mark.x), _y(high), stroke_opacity=0.25)


def _star(x: float, y: float) -> Markup:
    wing = "M0-9 2.1-2.9 8.6-2.8 3.4 1.1 5.3 7.3 0 3.6-5.3 7.3-3.4 1.1-8.6-2.8-2.1-2.9Z"
    return element("path", d=wing, transform=f"translate({x:.1f} {y:.1f})", fill=KNEE_COLOUR)


def _diamond(x: float, y: float) -> Markup:
    return element(
        "path", d="M0-6 6 0 0 6-6 0Z", transform=f"translate({x:.1f} {y:.1f})", fill="currentColor"
    )


def _square(x: float, y: float) -> Markup:
    corner = {"x": f"{x - 4:.1f}", "y": f"{y - 4:.1f}"}
    return element("rect", **corner, width=8, height=8, fill="none", stroke="currentColor", stroke_width=1.4)


def _ring(x: float, y: float) -> Markup:
    centre = {"cx": f"{x:.1f}", "cy": f"{y:.1f}"}
    return element("circle", **centre, r=6, fill="none", stroke=KNEE_COLOUR, stroke_width=2.4)


_LANDMARKS: dict[str, Callable[[float, float], Markup]] = {
    "knee": _star,
    "best": _ring,
    "baseline": _diamond,
    "uniform": _square,
}


def _symbol(mark: PictureMark) -> Markup:
    x, y = _x(mark.x), _y(mark.y)
    if mark.landmark is not None:
        return _LANDMARKS[mark.landmark.kind](x, y)
    radius, opacity = (4, 1.0) if mark.is_on_front else (2.5, 0.35)
    centre = {"cx": f"{x:.1f}", "cy": f"{y:.1f}"}
    return element("circle", **centre, r=radius, fill="currentColor", fill_opacity=opacity)


def _labels(picture: FrontPicture) -> list[Markup]:
    named = [(mark, mark.landmark) for mark in picture.marks if mark.landmark is not None]
    order = list(_LANDMARKS)
    named.sort(key=lambda pair: order.index(pair[1].kind))
    labels = placed_labels(
        [(_x(mark.x), _y(mark.y), landmark.label) for mark, landmark in named],
        [(_x(mark.x), _y(mark.y), 5.0 if mark.is_prominent else 2.0) for mark in picture.marks],
        size=_FONT,
        width=WIDTH,
        height=HEIGHT - _BOTTOM,
    )
    return [_text(label.x, label.y, label.text) for label in labels]
