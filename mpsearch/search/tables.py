"""Trials as tables: for pandas, and as front.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mpsearch.search.objective import OBJECTIVES
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

    from mpsearch.search.front import Front

FRAME_COLUMNS = (
    "number",
    "state",
    "policy",
    *(objective.field for objective in OBJECTIVES.values()),
    "loss",
    "feasible",
    "on_front",
    "seconds",
    "steps",
    "seed",
    "origin",
    "failure",
)


def records_frame(records: Sequence[TrialRecord], front: Front) -> pd.DataFrame:
    """One row a trial; `policy` holds PrecisionPolicy objects, units are in the names."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    on_front = set(front.numbers)
    rows = [
        [record.number in on_front if name == "on_front" else getattr(record, name) for name in FRAME_COLUMNS]
        for record in records
    ]
    return pd.DataFrame(rows, columns=list(FRAME_COLUMNS))


def front_csv(records: Sequence[TrialRecord]) -> str:
    """One row a point: number, objectives, feasible, then one column a layer."""
    layers = list(records[0].policy) if records else []
    fields = [objective.field for objective in OBJECTIVES.values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", *fields, "feasible", *(f"layer.{layer}" for layer in layers)])
    for record in records:
        row: list[Any] = [record.number, *(getattr(record, name) for name in fields), record.feasible]
        writer.writerow([*row, *(record.policy[layer].name for layer in layers)])
    return text.getvalue()
