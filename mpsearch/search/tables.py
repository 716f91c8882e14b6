"""Trials as tables: for pandas, and as front.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mpsearch.search.objective import OBJECTIVES, Objective, all_objectives, costs_on
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

    from mpsearch.search.front import Front

FRAME_COLUMNS = (
    "number",
    "state",
    "policy",
    *(objective.field for objective in OBJECTIVES.values()),
    "feasible",
    "on_front",
    "seconds",
    "steps",
    "seed",
    "origin",
    "failure",
)


def records_frame(records: Sequence[TrialRecord], front: Front) -> pd.DataFrame:
    """One row a trial; `policy` holds PrecisionPolicy objects, units are in the names.

    Behind FRAME_COLUMNS stand the costs on further devices: `latency_s@pi5`; and `width`, where that is a
    choice.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    on_front = set(front.numbers)
    further = _further_costs(records)
    rows = [
        [
            *(r.number in on_front if name == "on_front" else getattr(r, name) for name in FRAME_COLUMNS),
            *(cost.of(r) for cost in further),
        ]
        for r in records
    ]
    frame = pd.DataFrame(rows, columns=[*FRAME_COLUMNS, *(cost.field for cost in further)])
    if _have_widths(records):
        frame["width"] = [r.policy.width for r in records]
    return frame


def front_csv(records: Sequence[TrialRecord]) -> str:
    """One row a point: number, objectives, feasible, the width where that is a choice; a column a layer."""
    layers = list(records[0].policy) if records else []
    devices = records[0].costs.device_names if records else ()
    is_compressed = any(record.compressed_bytes is not None for record in records)
    shown = list(all_objectives(devices, is_compressed=is_compressed).values())
    have_widths = _have_widths(records)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "number",
            *(objective.field for objective in shown),
            "feasible",
            *(["width"] if have_widths else []),
            *(f"layer.{layer}" for layer in layers),
        ]
    )
    for record in records:
        row: list[Any] = [record.number, *(objective.of(record) for objective in shown), record.feasible]
        row += [record.policy.width] if have_widths else []
        writer.writerow([*row, *(record.policy[layer].name for layer in layers)])
    return text.getvalue()


def _have_widths(records: Sequence[TrialRecord]) -> bool:
    """Whether they are of a run with widths; the policies of a run all have one then."""
    return bool(records) and records[0].policy.width is not None


def _further_costs(records: Sequence[TrialRecord]) -> list[Objective]:
    """Those on further devices; the records of a run are all of the same ones."""
    devices = records[0].costs.device_names if records else ()
    return [cost for cost in costs_on(devices) if cost.device is not None]
