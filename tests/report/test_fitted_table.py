import io

from rich.console import Console

from mpsearch.report.fitted_table import Column, FittedTable


def test_names_are_shown_as_they_are_whatever_brackets_and_colons_they_hold():
    names = ["blocks[red]", ":warning:", "[/]"]
    console = Console(file=io.StringIO(), width=60)
    console.print(FittedTable(columns=[Column(title="layer", cells=names, justify="left")], rows=3))
    assert [line.strip() for line in console.file.getvalue().splitlines()[-3:]] == names
