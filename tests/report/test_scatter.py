import io

import pytest
from rich.console import Console

from mpsearch.report.axis import Axis, Quantity
from mpsearch.report.scatter import Mark, Scatter
from mpsearch.report.units import percent_text, seconds_text

LATENCY = Quantity(name="latency", text=seconds_text)
ACCURACY = Quantity(name="accuracy", text=percent_text, is_fraction=True)
MARKS = [
    Mark(x=5e-5, y=0.80, kind="front", is_on_front=True),
    Mark(x=1e-4, y=0.90, kind="knee", label="knee 7", is_on_front=True),
    Mark(x=2e-4, y=0.70, kind="trial"),
    Mark(x=9e-4, y=0.95, kind="front", is_on_front=True),
    Mark(x=8e-4, y=0.92, kind="baseline", label="32-bit"),
    Mark(x=4e-4, y=0.85, kind="uniform", label="all w8a8"),
]


def drawn(marks, *, width=80, encoding="utf-8", **options) -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    Console(file=stream, width=width).print(Scatter(marks, x=LATENCY, y=ACCURACY, **options))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_it_fits_any_width_and_labels_the_knee(width):
    lines = drawn(MARKS, width=width)
    assert max(map(len, lines)) <= width
    assert any("knee 7" in line for line in lines)


def test_a_cheaper_mark_is_further_left_and_a_better_one_further_up():
    lines = drawn(MARKS)
    at = {
        symbol: next((line.index(symbol), row) for row, line in enumerate(lines) if symbol in line)
        for symbol in "★◆□"
    }
    assert at["★"][0] < at["□"][0] < at["◆"][0]
    assert at["◆"][1] < at["★"][1] < at["□"][1]


def test_axes_say_what_they_show_with_units():
    text = "\n".join(drawn(MARKS))
    assert "accuracy" in text
    assert "latency (log)" in text
    assert "µs" in text
    assert "%" in text


def test_without_unicode_it_is_plain_ascii():
    text = "\n".join(drawn(MARKS, encoding="ascii"))
    assert text.isascii()
    assert "K" in text
    assert "knee 7" in text


def test_a_budget_is_a_line():
    assert sum("┊" in line for line in drawn(MARKS, x_limit=3e-4)) > 5


def test_a_budget_off_the_plot_is_told():
    text = "\n".join(drawn(MARKS, x_limit=1.0))
    assert "┊" not in text
    assert "budget 1 s of latency: off the plot" in text


def test_an_accuracy_budget_is_a_line_across():
    assert any(line.count("┄") > 20 for line in drawn(MARKS, y_limit=0.88))


FAR = [
    Mark(x=8e-6, y=0.97, kind="front", is_on_front=True, hint="3"),
    Mark(x=1e-5, y=0.98, kind="knee", label="knee 7", is_on_front=True),
    Mark(x=9e-5, y=0.99, kind="baseline", label="32-bit", is_on_front=True),
    Mark(x=9e-6, y=0.20, kind="trial"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_lies_far_from_the_front_is_pinned_to_the_edge_with_its_value(encoding):
    lines = drawn(FAR, encoding=encoding)
    right, down = ("▸", "▾") if encoding == "utf-8" else (">", "v")
    body = lines[1:-4]  # without title, axis, its ticks and title, legend
    assert any(line.endswith(right) for line in body)
    assert any(down in line for line in body[-1:])
    text = "\n".join(lines)
    assert "32-bit 90" in text
    assert "2 beyond the edge" in text
    assert lines[-1].isascii() or encoding == "utf-8"


def test_two_costs_are_better_down_and_left():
    energy = Quantity(name="energy", text=seconds_text)
    stream = io.StringIO()
    Console(file=stream, width=80).print(Scatter(FAR, x=LATENCY, y=energy))
    assert "↙ better" in stream.getvalue()


def test_hints_and_labels_never_run_into_each_other():
    crowd = [
        Mark(x=1e-6 * (k + 10), y=0.9 + 0.002 * k, kind="front", is_on_front=True, hint=f"T{k:02d}")
        for k in range(30)
    ]
    crowd.append(Mark(x=2.5e-5, y=0.93, kind="knee", label="knee 99", is_on_front=True))
    for width in (40, 80, 150):
        lines = drawn(crowd, width=width)
        assert max(map(len, lines)) <= width
        words = " ".join(lines).replace("●", " ").split()
        assert all(len(word) == 3 for word in words if word.startswith("T"))
        assert "knee" in words


@pytest.mark.parametrize(("x_scale", "shown"), [("log", "latency (log)"), ("linear", "latency →")])
def test_the_scale_can_be_asked_for(x_scale, shown):
    assert any(shown in line for line in drawn(MARKS, x_scale=x_scale))


def test_one_mark_or_equal_marks_or_none_are_drawn_too():
    assert drawn([])
    assert drawn([Mark(x=1.0, y=1.0, kind="knee")])
    assert drawn([Mark(x=0.0, y=0.0, kind="front")] * 3)


def test_a_range_above_ten_takes_a_logarithmic_scale_and_keeps_the_order():
    assert Axis.fitted(LATENCY, [1e-5, 2e-5]).kind == "linear"
    assert Axis.fitted(LATENCY, [1e-5, 2e-5], "log").kind == "log"
    assert Axis.fitted(LATENCY, [0.0, 2e-5], "log").kind == "linear"
    axis = Axis.fitted(LATENCY, [1e-5, 1e-3])
    assert axis.kind == "log"
    assert axis.place(1e-4) == pytest.approx(0.5)


def test_accuracies_near_one_are_drawn_by_their_error():
    axis = Axis.fitted(ACCURACY, [0.1, 0.8, 0.99, 1.0])
    assert axis.kind == "log error"
    places = [axis.place(value) for value in (0.1, 0.8, 0.9, 0.99, 1.0)]
    assert places == sorted(places)
    assert axis.place(0.99) - axis.place(0.9) == pytest.approx(axis.place(0.9) - axis.place(0.0), rel=0.01)


def test_a_narrow_axis_still_has_two_ticks():
    for most in (2, 3):
        assert len(Axis.fitted(LATENCY, [7.93e-6, 10.6e-6]).ticks(most)) >= 2


@pytest.mark.parametrize("values", [[1e-5, 1.7e-5], [1e-5, 1e-3], [3.0, 3.0], [0.0, 5.0], [1e-9, 1e3]])
def test_ticks_are_inside_rising_and_not_more_than_asked_for(values):
    ticks = Axis.fitted(LATENCY, values).ticks(6)
    places = [place for place, _ in ticks]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert len(ticks) <= 6
