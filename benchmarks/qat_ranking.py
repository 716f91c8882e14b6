"""Do short scores rank policies as long fine-tunes do? From finished runs to Kendall's tau at each share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qat_journal import Record
from qat_row import Row

from mpsearch.search.rung_agreement import kendall_tau_b

RESAMPLES = 1000
LEAST_POLICIES = 8


def ranking_lines(rows: Sequence[Row], finished: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Kendall's tau-b between scores at a share and those of the whole, with its 95% bootstrap interval.

    Only policies with both scores count, each once. Share 0 is calibration alone, share 1 the whole with
    another seed.
    """
    return [
        line
        for table in dict.fromkeys(row.table for row in rows)
        for line in _of_table(table, [row for row in rows if row.table == table], finished)
    ]


def _of_table(table: str, rows: Sequence[Row], finished: Mapping[str, Record]) -> list[dict[str, Any]]:
    whole: dict[str, float] = {}
    scores: dict[float, dict[str, float]] = {}
    records = [finished[run.key] for row in rows for run in row.runs if run.key in finished]
    for record in (record for record in records if "failure" not in record):
        policy = json.dumps(record["policy"])
        if record["share"] == 1 and record["seed"] == 0:
            whole[policy] = record["score"]
        else:
            scores.setdefault(record["share"], {})[policy] = record["score"]
        if record["seed"] == 0:
            scores.setdefault(0.0, {})[policy] = record["calibrated"]
    run = rows[0].runs[0]
    lines = []
    for share, at_share in sorted(scores.items()):
        both = [policy for policy in at_share if policy in whole]
        if len(both) < LEAST_POLICIES:
            continue
        short = np.array([at_share[policy] for policy in both])
        long = np.array([whole[policy] for policy in both])
        low, high = _interval(short, long)
        lines.append(
            {
                "table": table,
                "task": run.workload.task,
                "args": dict(run.workload.args),
                "share": share,
                "policies": len(both),
                "tau": kendall_tau_b(short, long),
                "low": low,
                "high": high,
                "steps": round(share * run.recipe.steps),
                "long_steps": run.recipe.steps,
                "settings": asdict(run.recipe),
                "lowest_score": float(long.min()),
                "highest_score": float(long.max()),
            }
        )
    return lines


def _interval(short: NDArray[np.float64], long: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Of policies drawn with replacement; None where most draws have no tau."""
    generator = np.random.default_rng(0)
    draws = (generator.integers(len(short), size=len(short)) for _ in range(RESAMPLES))
    taus = [tau for draw in draws if (tau := kendall_tau_b(short[draw], long[draw])) is not None]
    if len(taus) < RESAMPLES / 2:
        return None, None
    low, high = np.percentile(taus, (2.5, 97.5))
    return float(low), float(high)
