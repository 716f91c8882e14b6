"""All that one group's steps can be, over the schemes that its layer and its readers may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpsearch.plan.compile import Step, format_for_reader, group_steps
from mpsearch.plan.fusion import FusedGraph, Group
from mpsearch.precision.scheme import Scheme

Allowed = Mapping[str, Sequence[Scheme]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable:
    """The steps of a group by entry.

    entry = sum over `layers` of offsets[layer][place of its scheme among those that it may take]

    A group's steps depend on its own scheme and on how many readers take which format, so the table grows
    with the square of the readers and not exponentially. `steps` holds the entries that can occur, `examples`
    schemes of `layers` that lead to each. The group's own layer, if it has one, comes first in `layers`.
    """

    group: Group
    layers: tuple[str, ...]
    offsets: Mapping[str, tuple[int, ...]]
    entries: int
    steps: Mapping[int, tuple[Step, ...]]
    examples: Mapping[int, Mapping[str, Scheme]]

    def entry(self, schemes: Mapping[str, Scheme], allowed: Allowed) -> int:
        """The entry of a policy."""
        return sum(self.offsets[name][list(allowed[name]).index(schemes[name])] for name in self.layers)


def group_table(fused: FusedGraph, group: Group, allowed: Allowed, *, batch: int) -> GroupTable:
    """`allowed`: layer name -> the schemes that it may take."""
    readers = [(reader, fused.group(reader).head.layer) for reader in group.readers]
    radix = len(readers) + 1
    offsets: dict[str, list[int]] = {}
    if group.layer is not None:
        own = len(allowed[group.layer])
        offsets[group.layer] = [place * radix * radix for place in range(own)]
    else:
        own = 1
    weight = {"float32": 0, "bits": 1, "bytes": radix}
    for reader, layer in readers:
        column = offsets.setdefault(layer, [0] * len(allowed[layer]))
        for place, scheme in enumerate(allowed[layer]):
            column[place] += weight[format_for_reader(fused, group, reader, scheme)]

    examples: dict[int, dict[str, Scheme]] = {0: {}}
    for layer, column in offsets.items():
        grown: dict[int, dict[str, Scheme]] = {}
        for entry, example in examples.items():
            for scheme, offset in zip(allowed[layer], column, strict=True):
                grown.setdefault(entry + offset, {**example, layer: scheme})
        examples = grown
    return GroupTable(
        group=group,
        layers=tuple(offsets),
        offsets={layer: tuple(column) for layer, column in offsets.items()},
        entries=own * radix * radix,
        steps={entry: group_steps(fused, group, example, batch=batch) for entry, example in examples.items()},
        examples=examples,
    )


def group_tables(fused: FusedGraph, allowed: Allowed, *, batch: int) -> tuple[GroupTable, ...]:
    """Of all groups, in order; what stores the output is in none of them."""
    return tuple(group_table(fused, group, allowed, batch=batch) for group in fused.groups)
