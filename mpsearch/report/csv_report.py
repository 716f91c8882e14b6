"""`mpsearch pareto RUN --csv`: one row a trial, one column a layer."""

from __future__ import annotations

import csv
import io

from mpsearch.report.pareto_table import layer_order
from mpsearch.search.objective import OBJECTIVES
from mpsearch.search.run import Run


def csv_report(run: Run) -> str:
    """All scored trials; units are in the titles, precisions in columns `layer.NAME`."""
    layers = layer_order(run)
    fields = [objective.field for objective in OBJECTIVES.values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "number",
            *fields,
            "test_accuracy",
            "feasible",
            "on_front",
            "seconds",
            *(f"layer.{n}" for n in layers),
        ]
    )
    for record in run.records:
        if record.is_complete:
            writer.writerow(
                [
                    record.number,
                    *(getattr(record, field) for field in fields),
                    run.test_scores.get(record.number, ""),
                    record.feasible,
                    record.number in run.front,
                    record.seconds,
                    *(record.policy[name].name for name in layers),
                ]
            )
    return text.getvalue()
