"""Which cell of a precision strip is which layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.text import Text

from mpsearch.report.flow import Flow

_MOST_NAMED = 12  # layers or groups of layers
_DEEPEST = 4


def layer_ruler(layers: int, layers_a_cell: int = 1, first: int = 1) -> str:
    """Layer numbers from `first`, each with its first digit above its cell: "123456", "1   5    10   15".

    `layers_a_cell` as in `PrecisionStrip`: a number stands above the cell that its layer is in.
    """
    cells = -(-layers // layers_a_cell)
    last = first + layers - 1
    if layers_a_cell == 1 and last <= 9:
        return "".join(str(number) for number in range(first, last + 1))
    step = next(
        step * power
        for power in (1, 10, 100, 1000)
        for step in (5, 10, 20)
        if step * power / layers_a_cell >= len(str(last)) + 2
    )
    ruler = [" "] * cells
    for number in (first, *range((first // step + 1) * step, last + 1, step)):
        start = (number - first) // layers_a_cell
        is_free = not "".join(ruler[max(start - 1, 0) : start + len(str(number))]).strip()
        if is_free and start + len(str(number)) <= cells:
            ruler[start : start + len(str(number))] = str(number)
    return "".join(ruler).rstrip()


def layer_key(layers: Sequence[str]) -> Flow:
    """The names behind the numbers: "1 conv1   2-5 layer1.*   6 fc"."""
    pieces = [Text("layers", "dim")]
    for first, last, name in layer_groups(layers):
        number = str(first) if first == last else f"{first}–{last}"
        pieces.append(Text.assemble((number, ""), (f" {name}", "dim")))
    return Flow(pieces)


def layer_groups(layers: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first, last, name) of runs of layers, numbered from 1: single ones where there are few.

    Else neighbours that share the beginning of their names, as long a beginning as leaves few groups.
    """
    if len(layers) <= _MOST_NAMED:
        return [(number, number, name) for number, name in enumerate(layers, start=1)]
    found = [(1, len(layers), "*")]
    for depth in range(1, _DEEPEST + 1):
        groups: list[tuple[int, int, str]] = []
        for name, members in groupby(layers, key=lambda layer: ".".join(layer.split(".")[:depth])):
            inside = list(members)
            first = groups[-1][1] + 1 if groups else 1
            label = inside[0] if len(inside) == 1 else f"{name}.*"
            groups.append((first, first + len(inside) - 1, label))
        if len(groups) > _MOST_NAMED:
            break
        found = groups
    return found
