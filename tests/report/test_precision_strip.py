import io

from rich.console import Console

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.precision_strip import SYMBOLS, precision_legend, precision_strip, precision_text

POLICY = PrecisionPolicy({f"l{place}": scheme for place, scheme in enumerate(SCHEMES)})


def test_every_scheme_has_its_own_symbol_so_that_colour_is_not_needed():
    assert set(SYMBOLS) == set(SCHEMES)
    assert len(set(SYMBOLS.values())) == len(SCHEMES)
    assert precision_text(POLICY) == "x1t48F"


def test_every_scheme_has_its_own_colour():
    assert len({span.style for span in precision_strip(POLICY).spans}) == len(SCHEMES)


def test_a_long_policy_is_shortened_in_its_middle():
    policy = PrecisionPolicy({f"l{place}": "w4a8" if place else "w8a8" for place in range(50)})
    strip = precision_strip(policy, width=11)
    assert strip.cell_len == 11
    assert strip.plain == "84444…44444"


def test_the_order_is_the_one_asked_for():
    assert precision_text(POLICY, ["l5", "l0"]) == "Fx"


def test_the_legend_names_what_is_used_only():
    console = Console(width=80, file=io.StringIO())
    console.print(precision_legend([SCHEMES["w4a8"], SCHEMES["w1a1"]]))
    assert console.file.getvalue().strip() == "x 1 bit, 1-bit activations   4 4 bit"
