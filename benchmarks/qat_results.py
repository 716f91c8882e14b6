"""From finished runs to the lines of the tables of `benchmarks/qat.py`, as JSON holds them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from qat_journal import Record
from qat_ranking import ranking_lines
from qat_row import Row
from scipy.stats import t as student

SIGNIFICANCE = 0.05  # of both sides together, below which a difference counts as seen
LEAST_PAIRS = 3
LEAST_NATS = 0.001

Split = Literal["validation", "test"]


def results(rows: Mapping[str, Sequence[Row]], finished: Mapping[str, Record]) -> dict[str, list[Any]]:
    """Part -> its lines; rows of which nothing is finished are left out."""
    return {part: _lines(part, of_part, finished) for part, of_part in rows.items()}


def _lines(part: str, rows: Sequence[Row], finished: Mapping[str, Record]) -> list[dict[str, Any]]:
    if part == "ranking":
        return ranking_lines(rows, finished)
    if part == "determinism":
        return [line for row in rows if (line := _repeated(row, finished)) is not None]
    named = {(row.table, row.label): row for row in rows}
    lines = []
    for row in rows:
        line = row_line(row, finished)
        if line is not None:
            if row.against is not None:
                line |= _compared(row, named[row.table, row.against], finished)
            lines.append(line)
    return lines


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
        "is_met": None if row.most_lost is None else False,
    }
    if not scored:
        return line | {"lost": None}
    lost = [_lost(record, row.measure) for record in scored]
    tested = [_lost(record, row.measure, "test") for record in scored if record["test"] is not None]
    base = scored[0]["baseline"]
    return line | {
        "baseline": base[row.measure],
        "baseline_test": base["test"],
        "value": statistics.fmean(record[row.measure] for record in scored),
        "lost": statistics.fmean(lost),
        "spread": _spread(lost),
        "test_lost": statistics.fmean(tested) if tested and row.measure == "score" else None,
        "test_spread": _spread(tested) if row.measure == "score" else None,
        "score_lost": statistics.fmean(_lost(record, "score") for record in scored),
        "calibrated_lost": statistics.fmean(100 * (base["score"] - r["calibrated"]) for r in scored),
        "steps": scored[0]["steps"],
        "most_steps": row.runs[0].most_steps,
        "epochs": scored[0]["steps"] * row.runs[0].recipe.batch_size / base["train_samples"],
        "seconds": statistics.fmean(record["seconds"] for record in scored),
        "is_met": None if row.most_lost is None else statistics.fmean(lost) <= row.most_lost,
    }


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _lost(record: Record, measure: str, split: Split = "validation") -> float:
    base = record["baseline"]
    if measure == "loss":
        return float(record["loss"] - base["loss"])
    if split == "test":
        return 100 * float(base["test"] - record["test"])
    return 100 * float(base["score"] - record["score"])


def _compared(row: Row, other: Row, finished: Mapping[str, Record]) -> dict[str, Any]:
    """By how much a row is better than its rival, seed by seed: points of the score, nats of the loss.

    `verdict`: better, worse; better or worse in nats, where only the loss differs; none.
    """
    gains, nats = [], []
    for mine, its in zip(row.runs, other.runs, strict=False):
        one, two = finished.get(mine.key), finished.get(its.key)
        if one is not None and two is not None and "failure" not in one and "failure" not in two:
            gains.append(100 * (one["score"] - two["score"]))
            nats.append(two["loss"] - one["loss"])
    found = {"against": other.label, "expected": row.expected, "pairs": len(gains)}
    if not gains:
        return found | {"gain": None, "gain_nats": None, "verdict": "none"}
    one_sample = 100 / finished[row.runs[0].key]["baseline"]["validation_samples"]
    by_loss = _verdict(nats, LEAST_NATS)
    in_nats = None if by_loss is None else f"{by_loss} in nats"
    return found | {
        "gain": statistics.fmean(gains),
        "gain_spread": _spread(gains),
        "gain_nats": statistics.fmean(nats),
        "gain_nats_spread": _spread(nats),
        "verdict": _verdict(gains, one_sample) or in_nats or "none",
    }


def _verdict(differences: Sequence[float], least: float) -> str | None:
    """What a two-sided t-test of paired differences sees, their deviation taken as `least` at least, since
    scores that count samples may agree by chance. None for nothing, or below three pairs.
    """
    count = len(differences)
    if count < LEAST_PAIRS:
        return None
    mean = statistics.fmean(differences)
    error = max(statistics.stdev(differences), least) / count**0.5
    if abs(mean) <= float(student.ppf(1 - SIGNIFICANCE / 2, count - 1)) * error:
        return None
    return "better" if mean > 0 else "worse"


def _repeated(row: Row, finished: Mapping[str, Record]) -> dict[str, Any] | None:
    """Whether one seed twice gives the same weights to the bit, and another seed others."""
    records = [finished.get(run.key) for run in row.runs]
    one, two, other = records
    if one is None or two is None or other is None:
        return None
    return {
        "table": row.table,
        "label": row.label,
        "steps": one["steps"],
        "threads": [one["threads"], two["threads"]],
        "is_equal": one["weights"] == two["weights"] and one["score"] == two["score"],
        "other_seed_differs": one["weights"] != other["weights"],
    }
