import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.search.quantities import (
    format_duration,
    format_energy,
    format_size,
    parse_duration_s,
    parse_energy_j,
    parse_fraction,
    parse_size_bytes,
)

PARSERS = [parse_size_bytes, parse_duration_s, parse_energy_j]


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_size_bytes, "60KB", 60_000),
        (parse_size_bytes, "64 KiB", 65_536),
        (parse_size_bytes, "1.5mb", 1.5e6),
        (parse_size_bytes, "7B", 7),
        (parse_size_bytes, "2e3 kB", 2e6),
        (parse_duration_s, "400us", 4e-4),
        (parse_duration_s, "400µs", 4e-4),
        (parse_duration_s, "400\N{GREEK SMALL LETTER MU}s", 4e-4),
        (parse_duration_s, "1.2ms", 1.2e-3),
        (parse_duration_s, "30m", 1800),
        (parse_duration_s, "2h", 7200),
        (parse_energy_j, "5uJ", 5e-6),
        (parse_energy_j, "1.2 mJ", 1.2e-3),
        (parse_fraction, "90%", 0.9),
        (parse_fraction, 0.25, 0.25),
    ],
)
def test_quantities_are_read_exactly(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text", ["", "60", "KB", "-5KB", "5 apples", "1e999KB", "nan KB", "0KB", "0us", None, 7, "٣KB"]
)
def test_what_is_no_quantity_is_refused_with_an_example(parse, text):
    with pytest.raises(ConfigError, match=r"positive number with a unit \(.*such as .*got"):
        parse(text)


def test_the_case_of_a_joule_matters():
    with pytest.raises(ConfigError):
        parse_energy_j("1MJ")


@pytest.mark.parametrize("value", ["1.2", -0.1, "110%", "", "x", True, math.nan])
def test_a_fraction_out_of_range_is_refused(value):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        parse_fraction(value)


@given(st.text() | st.integers() | st.none() | st.lists(st.integers()))
def test_no_input_raises_anything_but_a_config_error(text):
    for parse in [*PARSERS, parse_fraction]:
        try:
            value = parse(text)
        except ConfigError:
            continue
        assert 0 <= value < math.inf


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (format_size(7), "7 B"),
        (format_size(41_234), "41.2 KB"),
        (format_size(60_000), "60.0 KB"),
        (format_size(999_600), "1.00 MB"),
        (format_size(2.5e13), "25000 GB"),
        (format_size(0), "0 B"),
        (format_duration(4e-4), "400 us"),
        (format_duration(1.2e-3), "1.20 ms"),
        (format_duration(59), "59.0 s"),
        (format_duration(75), "1m 15s"),
        (format_duration(3599.7), "1h 00m"),
        (format_duration(math.inf), "inf"),
        (format_energy(5.123e-6), "5.12 uJ"),
    ],
)
def test_quantities_are_shown_with_three_figures(shown, text):
    assert shown == text


@given(st.floats(1, 1e14))
def test_what_is_shown_can_be_read_back_to_three_figures(size_bytes):
    assert parse_size_bytes(format_size(size_bytes)) == pytest.approx(size_bytes, rel=6e-3)
