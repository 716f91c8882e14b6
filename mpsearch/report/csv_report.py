"""`mpsearch pareto RUN --csv`: one row a trial, one column a layer."""

from __future__ import annotations

import csv
import io
import math

from mpsearch.report.trial_selection import TrialSelection
from mpsearch.search.run import Run


def csv_report(run: Run, selection: TrialSelection | None = None) -> str:
    """All scored trials, or those of `selection`; units are in the titles, precisions in `layer.NAME`.

    `width` stands before these where the width of the model is a choice.

    What is unknown is left empty: test scores before the end of a search, latencies nobody measured.
    """
    layers = run.layers
    titles = [
        "number",
        *(objective.field for objective in run.quantities.values()),
        "test_accuracy",
        "feasible",
        "on_front",
        "seconds",
    ]
    titles += ["interval_low", "interval_high", "measured_latency_s", "seed", "seeds"]
    has_widths = run.space.widths is not None
    titles += ["width"] if has_widths else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*titles, *(f"layer.{name}" for name in layers)])
    complete = [record for record in run.records if record.is_complete]
    for record in (selection or TrialSelection()).of(run, complete):
        low, high = run.interval(record)
        measured = run.measured.get(record.number)
        writer.writerow(
            [
                record.number,
                *(objective.of(record) for objective in run.quantities.values()),
                run.test_scores.get(record.number, ""),
                record.feasible,
                record.number in run.front,
                record.seconds,
                *("" if math.isnan(bound) else bound for bound in (low, high)),
                "" if measured is None else measured.latency_s,
                record.seed,
                record.seeds,
                *([record.policy.width] if has_widths else []),
                *(record.policy[name].name for name in layers),
            ]
        )
    return text.getvalue()
