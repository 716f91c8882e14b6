import io

import pytest
from rich.console import Console
from rich.text import Text

from mpsearch.report.aligned_lines import AlignedLines

ROWS = [(Text("a"), Text("1"), Text("one two three four")), (Text("long"), Text("22"), Text("five"))]


def shown(lines, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(lines)
    return console.file.getvalue().splitlines()


def test_cells_stand_in_columns_and_text_wraps_under_its_beginning():
    assert shown(AlignedLines(ROWS, justify="lrl"), 31) == [
        "a      1  one two three four",
        "long  22  five",
    ]
    assert shown(AlignedLines([(Text("a"), Text("word " * 8))]), 24) == [
        "a  word word word word",
        "   word word word word",
    ]


def test_text_stands_below_where_it_would_have_no_room():
    assert shown(AlignedLines(ROWS), 22) == [
        "a     1",
        "        one two three",
        "        four",
        "long  22",
        "        five",
    ]


@pytest.mark.parametrize("width", range(24, 60, 7))
def test_no_line_ends_in_spaces_or_is_too_long(width):
    lines = shown(AlignedLines(ROWS, (6, 3)), width)
    assert all(line == line.rstrip() and len(line) <= width for line in lines)


def test_no_rows_are_nothing():
    assert shown(AlignedLines([]), 80) == []
