"""Renew what is made of benchmarks/results/qat.json. Run: python benchmarks/qat_page.py

The tables of docs/qat.md, its figures in docs/images, and mpsearch/search/measured_rankings.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qat_text import mean_text

from mpsearch.atomic_file import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "qat.json"
PAGE = ROOT / "docs" / "qat.md"
RANKINGS = ROOT / "mpsearch" / "search" / "measured_rankings.json"
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

Line = Mapping[str, Any]
Found = Mapping[str, Sequence[Line]]


def renewed_page(page: str, found: Found) -> str:
    """The page with each of its tables made again."""
    return _BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]](found)}\n{block[3]}", page)


def rankings(found: Found) -> str:
    """What `mpsearch.search.score_ranking` reads."""
    names = ("task", "args", "steps", "long_steps", "policies", "tau", "low", "high", "settings")
    kept = [
        {name: line[name] for name in names}
        for line in found["ranking"]
        if line["share"] > 0 and line["tau"] is not None and line["low"] is not None
    ]
    return json.dumps(kept, indent=1) + "\n"


def bars_table(found: Found) -> str:
    rows = [
        (
            line["table"],
            line["label"],
            _unit(line),
            _lost(line),
            _test(line),
            f"{line['epochs']:.1f}" if line["lost"] is not None else "",
            line["seeds"],
            "" if line["bar"] is None else f"≤ {line['bar']:g}: {'met' if line['is_met'] else 'missed'}",
        )
        for line in found["bars"]
    ]
    titles = ("model", "policy and length", "unit", "below 32 bits", "on test", "epochs", "seeds", "bar")
    return _table(titles, rows)


def families_table(found: Found) -> str:
    return _compared(found["families"], "quantizer")


def ablations_table(found: Found) -> str:
    return _compared(found["ablations"], "switch")


def ptq_table(found: Found) -> str:
    rows = [
        (
            line["table"],
            line["label"],
            f"{line['calibrated_lost']:.2f}",
            f"{line['score_lost']:.2f}",
            line["steps"],
            line["seeds"],
        )
        for line in found["ptq"]
        if line["lost"] is not None
    ]
    return _table(("model", "policy", "calibrated only", "fine-tuned", "steps", "seeds"), rows)


def ranking_table(found: Found) -> str:
    rows = [
        (
            line["table"],
            "calibrated only" if line["share"] == 0 else f"{line['steps']} of {line['long_steps']}",
            "" if line["tau"] is None else f"{line['tau']:.2f}",
            "" if line["low"] is None else f"{line['low']:.2f} to {line['high']:.2f}",
            line["policies"],
            f"{100 * line['lowest_score']:.1f} to {100 * line['highest_score']:.1f}%",
        )
        for line in found["ranking"]
    ]
    titles = ("model", "steps", "tau", "95% interval", "policies", "long scores")
    return _table(titles, rows)


def determinism_table(found: Found) -> str:
    rows = [
        (
            line["table"],
            line["label"],
            line["steps"],
            "yes" if line["is_equal"] else "no",
            "yes" if line["other_seed_differs"] else "no",
        )
        for line in found["determinism"]
    ]
    titles = ("model", "policy", "steps", "the same seed gives the same weights", "another seed others")
    return _table(titles, rows)


TABLES: Mapping[str, Callable[[Found], str]] = {
    "bars": bars_table,
    "families": families_table,
    "ablations": ablations_table,
    "ptq": ptq_table,
    "ranking": ranking_table,
    "determinism": determinism_table,
}


def _compared(lines: Sequence[Line], what: str) -> str:
    rows = [
        (
            line["table"],
            line["label"],
            _unit(line),
            _lost(line),
            line.get("against") or "",
            mean_text(line["gain"], line["gain_spread"]) if line.get("gain") is not None else "",
            f"{line['gain_nats']:.3f}" if line.get("gain") is not None else "",
            line.get("verdict", ""),
            line["seeds"],
        )
        for line in lines
    ]
    titles = ("where", what, "unit", "below 32 bits", "against", "gain, points", "nats", "verdict", "seeds")
    return _table(titles, rows)


def _unit(line: Line) -> str:
    return "points" if line["measure"] == "score" else "nats"


def _lost(line: Line) -> str:
    return "diverged" if line["lost"] is None else mean_text(line["lost"], line["spread"])


def _test(line: Line) -> str:
    tested = line.get("test_lost")
    return "" if tested is None else mean_text(tested, line["test_spread"])


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return "Nothing measured yet."
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    from qat_figures import figures  # noqa: PLC0415 - seconds that the tables need not wait

    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_atomically(PAGE, renewed_page(PAGE.read_text(encoding="utf-8"), found))
    write_atomically(RANKINGS, rankings(found))
    for name, picture in figures(found).items():
        write_atomically(ROOT / "docs" / "images" / name, picture)


if __name__ == "__main__":
    main()
