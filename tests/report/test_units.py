import math

import pytest

from mpsearch.report.units import (
    ColumnUnit,
    bytes_text,
    count_text,
    counted,
    factor_text,
    joules_text,
    percent_text,
    points_text,
    seconds_text,
    spread_text,
    wait_text,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (bytes_text(41234), "41.2 KB"),
        (seconds_text(0.000312), "312 µs"),
        (joules_text(4.12e-6), "4.12 µJ"),
        (percent_text(0.9153), "91.53%"),
        (spread_text(3.12e-4, (3.05e-4, 3.3e-4)), "312 µs (305 µs – 330 µs)"),
        (factor_text(12.34), "12.3×"),
        (wait_text(45.4), "45 s"),
        (wait_text(200), "3m 20s"),
        (count_text(1234567), "1.23 M"),
        (count_text(640), "640"),
    ],
)
def test_numbers_read_with_three_figures_and_a_unit(text, expected):
    assert text == expected


@pytest.mark.parametrize(
    "show", [bytes_text, seconds_text, joules_text, percent_text, factor_text, wait_text]
)
def test_what_is_not_known_is_a_dash(show):
    assert show(None) == show(math.nan) == "–"


def test_a_column_takes_the_unit_of_its_least_value_so_that_numbers_align():
    unit = ColumnUnit.fitting("s", [41.2e-6, 1.2e-3, math.nan])
    assert (unit.name, unit.text(41.2e-6), unit.text(1.2e-3), unit.text(math.nan)) == (
        "µs",
        "41.2",
        "1200.0",
        "–",
    )


def test_one_of_a_thing_is_not_many():
    assert [counted(count, "trial") for count in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]


def test_points_have_a_sign_unless_they_round_to_none():
    assert [points_text(change) for change in (0.0042, -0.012, 0.00001, -0.00001, math.nan)] == [
        "+0.42", "−1.20", "0.00", "0.00", "–",
    ]  # fmt: skip


def test_what_rounds_to_nothing_has_no_sign():
    assert ColumnUnit(name="µJ", size=1e-6, decimals=2).text(-1e-12) == "0.00"
