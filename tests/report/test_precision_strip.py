import io

import pytest
from rich.console import Console
from rich.text import Text

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.precision_strip import (
    SYMBOLS,
    PrecisionStrip,
    precision_legend,
    precision_strip,
    precision_text,
    scheme_colour,
)

POLICY = PrecisionPolicy({f"l{place}": scheme for place, scheme in enumerate(SCHEMES)})


def test_every_scheme_has_its_own_symbol_so_that_colour_is_not_needed():
    assert set(SYMBOLS) == set(SCHEMES)
    assert len(set(SYMBOLS.values())) == len(SCHEMES)
    assert precision_text(POLICY, tuple(POLICY)) == "x1t48F"


def test_every_scheme_has_its_own_colour():
    assert len({span.style for span in precision_strip(POLICY).spans}) == len(SCHEMES)


def test_a_deep_policy_is_compressed_evenly_and_its_ends_stay():
    policy = PrecisionPolicy({f"l{place}": "w8a8" if place in {0, 49} else "w4a8" for place in range(50)})
    strip = precision_strip(policy, width=25)
    assert strip.plain == "8" + 23 * "4" + "8"  # of an equal number in a cell, the rarer one shows
    assert precision_strip(policy, width=50).plain == "8" + 48 * "4" + "8"
    assert precision_strip(policy, width=13).cell_len == 13


def test_half_cells_show_every_layer_of_a_model_twice_as_deep_as_the_strip_is_wide():
    policy = PrecisionPolicy({f"l{place}": "w8a8" if place % 2 else "w1a1" for place in range(40)})
    strip = PrecisionStrip.of(policy, width=20)
    halves = strip.text(has_halves=True)
    assert halves.plain == 20 * "▌"
    colours = {(span.style.color.name, span.style.bgcolor.name) for span in halves.spans}
    assert colours == {(scheme_colour(SCHEMES["w1a1"]), scheme_colour(SCHEMES["w8a8"]))}


@pytest.mark.parametrize("width", [1, 3, 10, 24, 199, 200])
def test_a_strip_never_exceeds_its_width_and_every_cell_stands_for_as_many_layers(width):
    policy = PrecisionPolicy({f"l{place}": "w4a8" for place in range(200)})
    strip = PrecisionStrip.of(policy, width=width)
    assert strip.text().cell_len == strip.cells <= width
    assert strip.cells == -(-200 // strip.layers_a_cell)


def test_half_cells_are_drawn_only_where_colour_tells_them_apart():
    policy = PrecisionPolicy({f"l{place}": "w8a8" if place % 2 else "w1a1" for place in range(8)})

    def shown(**options):
        console = Console(width=20, file=io.StringIO(), force_terminal=True, **options)
        console.print(PrecisionStrip.of(policy, width=4))
        return Text.from_ansi(console.file.getvalue()).plain.strip()

    assert shown(color_system="truecolor") == 4 * "▌"
    assert shown(color_system="truecolor", no_color=True) == shown(color_system=None)
    assert set(shown(color_system=None)) <= set("x8")


def test_the_order_is_the_one_asked_for():
    assert precision_text(POLICY, ["l5", "l0"]) == "Fx"


def test_the_legend_names_what_is_used_only():
    console = Console(width=80, file=io.StringIO())
    console.print(precision_legend([SCHEMES["w4a8"], SCHEMES["w1a1"]]))
    assert console.file.getvalue().strip() == "x 1 bit, 1-bit activations   4 4 bit"
