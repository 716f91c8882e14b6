"""What choices cost: the file beside a table, and other costs drawn at random to replay the table under."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from search_policy_table import PolicyTable

from mpsearch.errors import DataError, FormatError

Costs = Mapping[str, Mapping[str, Mapping[str, float]]]  # choice -> scheme -> column -> cost

MEASURED = "measured"


def costs_beside(path: Path) -> Path:
    return path.with_suffix(".costs.json")


def read_costs(path: Path, table: PolicyTable) -> Costs:
    """Of the table's choices and schemes, and the columns that all of them have.

    Raises: DataError if the file is missing; FormatError if it lacks a cost or one is no number from 0.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"Beside table {table.name!r} must lie what its choices cost; got no {path.name}. Write "
            '{"<layer>": {"<scheme>": {"latency_s": ..., "memory_bytes": ...}}}.'
        ) from None
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} must be JSON; got: {error}") from error
    costs: dict[str, dict[str, dict[str, float]]] = {}
    for choice, schemes in zip(table.choices, table.schemes, strict=True):
        costs[choice] = {}
        for scheme in schemes:
            of_choice = found.get(choice) if isinstance(found, dict) else None
            entry = of_choice.get(scheme) if isinstance(of_choice, dict) else None
            if not isinstance(entry, dict) or not entry or not all(map(_is_cost, entry.values())):
                raise FormatError(
                    f"{path.name} must say what {choice!r} costs at {scheme!r}, in numbers from 0; got "
                    f"{entry!r:.100}."
                )
            costs[choice][scheme] = {column: float(cost) for column, cost in entry.items()}
    if not columns_of(costs):
        raise FormatError(f"{path.name} must give one cost at least for all choices and schemes; got none.")
    return costs


def columns_of(costs: Costs) -> tuple[str, ...]:
    """Those that every choice and scheme has, in the order of the first."""
    entries = [entry for of_choice in costs.values() for entry in of_choice.values()]
    return tuple(column for column in entries[0] if all(column in entry for entry in entries))


def drawn_costs(costs: Costs, number: int) -> Costs:
    """Costs of no machine, for a sampler that knows costs must not live on those of one alone.

    A choice costs exp(z) of what it does at its highest scheme, z normal, and at its others shares drawn from
    0.05 to 1: sorted by precision where `number` is even, and in any order for the latency of odd ones.
    """
    generator = np.random.default_rng([number, 1])
    columns = columns_of(costs)
    drawn: dict[str, dict[str, dict[str, float]]] = {}
    for choice, of_schemes in costs.items():
        highest = list(of_schemes.values())[-1]
        drawn[choice] = {scheme: {} for scheme in of_schemes}
        for column in columns:
            shares = np.sort(generator.uniform(0.05, 1.0, len(of_schemes)))
            scale = highest[column] * float(np.exp(generator.normal()))
            if number % 2 and column.startswith("latency"):
                shares = generator.permutation(shares)
            for scheme, share in zip(of_schemes, shares.tolist(), strict=True):
                drawn[choice][scheme][column] = scale * share
    return drawn


def _is_cost(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
