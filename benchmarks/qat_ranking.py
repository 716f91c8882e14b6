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

_Told = tuple[float, float | None]  # score and loss

RESAMPLES = 1000
LEAST_POLICIES = 8


def ranking_lines(rows: Sequence[Row], finished: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Kendall's tau-b between scores at a share and those of the whole, with its 95% bootstrap interval; the
    same between losses, which tell policies apart whose scores are a sample or two apart.

    Only policies with both scores count, each once. Share 0 is calibration alone, whose loss is not kept;
    share 1 is the whole with another seed.
    """
    return [
        line
        for table in dict.fromkeys(row.table for row in rows)
        for line in _of_table(table, [row for row in rows if row.table == table], finished)
    ]


def _of_table(table: str, rows: Sequence[Row], finished: Mapping[str, Record]) -> list[dict[str, Any]]:
    whole: dict[str, _Told] = {}
    scores: dict[float, dict[str, _Told]] = {}
    records = [finished[run.key] for row in rows for run in row.runs if run.key in finished]
    for record in (record for record in records if "failure" not in record):
        policy = json.dumps(record["policy"])
        told = record["score"], record["loss"]
        if record["share"] == 1 and record["seed"] == 0:
            whole[policy] = told
        else:
            scores.setdefault(record["share"], {})[policy] = told
        if record["seed"] == 0:
            scores.setdefault(0.0, {})[policy] = record["calibrated"], None
    run = rows[0].runs[0]
    lines = []
    for share, at_share in sorted(scores.items()):
        both = [policy for policy in at_share if policy in whole]
        if len(both) < LEAST_POLICIES:
            continue
        (short, short_losses), (long, long_losses) = (
            np.array([told[policy] for policy in both], dtype=float).T for told in (at_share, whole)
        )
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
                "tau_loss": None if share == 0 else kendall_tau_b(short_losses, long_losses),
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
