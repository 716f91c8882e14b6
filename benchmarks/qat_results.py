"""From finished runs to the tables of `benchmarks/qat.py`."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qat_journal import Record
from qat_parts import TRIAL_SHARE, Row

from mpsearch.search.rung_agreement import kendall_tau_b

RESAMPLES = 1000


def results(rows: Mapping[str, Sequence[Row]], finished: Mapping[str, Record]) -> dict[str, list[Any]]:
    """Part -> its lines, as JSON can hold them; rows of which nothing is finished are left out."""
    return {
        part: ranking_lines(of_part, finished)
        if part == "ranking"
        else [line for row in of_part if (line := row_line(row, finished)) is not None]
        for part, of_part in rows.items()
    }


def row_line(row: Row, finished: Mapping[str, Record]) -> dict[str, Any] | None:
    """Mean and sample deviation over seeds of how far a row is below 32 bits, on validation and test.

    Units: percentage points of the score, or nats of the loss; below 0 where it is better than 32 bits.
    """
    records = [finished[run.key] for run in row.runs if run.key in finished]
    scored = [record for record in records if "failure" not in record]
    if not records:
        return None
    line = {
        "table": row.table,
        "label": row.label,
        "measure": row.measure,
        "seeds": len(scored),
        "seeds_wanted": len(row.runs),
        "diverged": len(records) - len(scored),
        "bar": row.most_lost,
    }
    if not scored:
        return line | {"lost": None, "spread": None, "test_lost": None, "is_met": False}
    lost = [_lost(record, row.measure, "validation") for record in scored]
    tested = [
        _lost(r, row.measure, "test") for r in scored if row.measure == "score" and r["test"] is not None
    ]
    mean = statistics.fmean(lost)
    base = scored[0]["baseline"]
    return line | {
        "baseline": base[row.measure],
        "value": statistics.fmean(record[row.measure] for record in scored),
        "lost": mean,
        "spread": statistics.stdev(lost) if len(lost) > 1 else None,
        "test_lost": statistics.fmean(tested) if tested else None,
        "test_spread": statistics.stdev(tested) if len(tested) > 1 else None,
        "calibrated": statistics.fmean(record["calibrated"] for record in scored),
        "steps": scored[0]["steps"],
        "epochs": scored[0]["steps"] * _batch(scored[0]) / base["train_samples"],
        "seconds": statistics.fmean(record["seconds"] for record in scored),
        "is_met": None if row.most_lost is None else mean <= row.most_lost,
    }


def _batch(record: Record) -> int:
    return int(record["settings"].get("batch_size", 128))


def _lost(record: Record, measure: str, split: str) -> float:
    base = record["baseline"]
    if measure == "loss":
        return float(record["loss"] - base["loss"])
    if split == "test":
        return 100 * float(base["test"] - record["test"])
    return 100 * float(base["score"] - record["score"])


def ranking_lines(rows: Sequence[Row], finished: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Kendall's tau-b between scores at a share and those of the whole, with its 95% bootstrap interval.

    Only policies with both scores count, each once. Share 0 is calibration alone.
    """
    lines: list[dict[str, Any]] = []
    for table in dict.fromkeys(row.table for row in rows):
        scores: dict[float, dict[str, float]] = {}
        steps: list[int] = []
        for row in (row for row in rows if row.table == table):
            for run in row.runs:
                record = finished.get(run.key)
                if record is None or "failure" in record:
                    continue
                policy = json.dumps(record["policy"])
                scores.setdefault(run.share, {})[policy] = record["score"]
                scores.setdefault(0.0, {})[policy] = record["calibrated"]
                if run.share == 1:
                    steps.append(record["steps"])
        whole = scores.get(1.0, {})
        for share, at_share in sorted(scores.items()):
            both = [policy for policy in at_share if policy in whole]
            if share == 1 or len(both) < 3:
                continue
            short = np.array([at_share[policy] for policy in both])
            long = np.array([whole[policy] for policy in both])
            low, high = _interval(short, long)
            lines.append(
                {
                    "table": table,
                    "share": share,
                    "policies": len(both),
                    "tau": kendall_tau_b(short, long),
                    "low": low,
                    "high": high,
                    "long_steps": max(steps),
                    "score_range": [float(long.min()), float(long.max())],
                }
            )
    return lines


def _interval(short: np.ndarray, long: np.ndarray) -> tuple[float | None, float | None]:
    """Of policies drawn with replacement; None where most draws have no tau."""
    generator = np.random.default_rng(0)
    draws = (generator.integers(len(short), size=len(short)) for _ in range(RESAMPLES))
    taus = [tau for draw in draws if (tau := kendall_tau_b(short[draw], long[draw])) is not None]
    if len(taus) < RESAMPLES / 2:
        return None, None
    low, high = np.percentile(taus, (2.5, 97.5))
    return float(low), float(high)


def printed(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """All tables as text."""
    lines: list[str] = []
    for part, of_part in found.items():
        if of_part:
            lines += ["", part]
        lines += [ranking_text(line) if part == "ranking" else row_text(line) for line in of_part]
    return "\n".join(lines)


def row_text(line: Mapping[str, Any]) -> str:
    name = f"{line['table']}: {line['label']}"
    if line["lost"] is None:
        return f"{name:64} diverged"
    unit = "points" if line["measure"] == "score" else "nats"
    text = f"{name:64} {spread_text(line['lost'], line['spread'])} {unit} below 32 bits"
    if line["test_lost"] is not None:
        text += f", test {spread_text(line['test_lost'], line['test_spread'])}"
    text += f", {line['seeds']} of {line['seeds_wanted']} seeds"
    if line["bar"] is not None:
        text += f", bar {line['bar']:g}: {'met' if line['is_met'] else 'MISSED'}"
    return text


def spread_text(mean: float, spread: float | None) -> str:
    return f"{mean:.2f}" if spread is None or math.isnan(spread) else f"{mean:.2f} ± {spread:.2f}"


def ranking_text(line: Mapping[str, Any]) -> str:
    share = (
        "calibrated only" if line["share"] == 0 else f"{100 * line['share']:g}% of {line['long_steps']} steps"
    )
    tau = "no tau" if line["tau"] is None else f"tau {line['tau']:.2f}"
    interval = "" if line["low"] is None else f" ({line['low']:.2f} to {line['high']:.2f})"
    verdict = ""
    if line["share"] == TRIAL_SHARE and line["tau"] is not None:
        verdict = ", bar 0.75: " + ("met" if line["tau"] >= 0.75 else "MISSED")
    return f"{line['table']}: {share:24} {tau}{interval}, {line['policies']} policies{verdict}"
