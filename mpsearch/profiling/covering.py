"""Few policies that together make every step appear that is to be timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mpsearch.plan.group_table import GroupTable
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import Scheme

Policy = dict[str, Scheme]
_DRAWS = 24


def covering_policies(
    tables: Sequence[GroupTable],
    allowed: Mapping[str, Sequence[Scheme]],
    wanted: Sequence[StepShape],
    *,
    contexts: int,
    seed: int,
) -> list[Policy]:
    """Policies in which each wanted step appears at least `contexts` times, if the schemes allow it.

    Greedy: a step that is still missing fixes the schemes of its group's layers, the others are drawn at
    random; of some draws the one is kept that shows the most missing steps. So every step is also seen among
    varied neighbours.
    """
    generator = np.random.default_rng(seed)
    missing = dict.fromkeys(wanted, contexts)
    origins: dict[StepShape, list[tuple[GroupTable, int]]] = {}
    for table in tables:
        for entry, steps in table.steps.items():
            for step in steps:
                origins.setdefault(step.shape, []).append((table, entry))
    missing = {shape: count for shape, count in missing.items() if shape in origins}
    policies: list[Policy] = []
    while missing:
        rarest = min(missing, key=lambda shape: len(origins[shape]))
        places = origins[rarest]
        best: tuple[int, Policy, dict[StepShape, int]] | None = None
        for _ in range(_DRAWS):
            table, entry = places[int(generator.integers(len(places)))]
            policy = {
                name: schemes[int(generator.integers(len(schemes)))] for name, schemes in allowed.items()
            }
            policy |= table.examples[entry]
            shown = _shown(tables, policy, allowed)
            gain = sum(min(count, missing.get(shape, 0)) for shape, count in shown.items())
            if best is None or gain > best[0]:
                best = gain, policy, shown
        assert best is not None
        policies.append(best[1])
        for shape, count in best[2].items():
            if shape in missing:
                missing[shape] -= count
                if missing[shape] <= 0:
                    del missing[shape]
    return policies


def _shown(
    tables: Sequence[GroupTable], policy: Policy, allowed: Mapping[str, Sequence[Scheme]]
) -> dict[StepShape, int]:
    """How often each step appears in the plan of a policy."""
    shown: dict[StepShape, int] = {}
    for table in tables:
        for step in table.steps[table.entry(policy, allowed)]:
            shown[step.shape] = shown.get(step.shape, 0) + 1
    return shown
