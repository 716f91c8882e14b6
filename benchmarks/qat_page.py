"""Renew what is made of the files in benchmarks/results. Run: python benchmarks/qat_page.py

The tables of docs/qat.md, its figures in docs/images, and mpsearch/search/measured_rankings.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from qat_methods import AS_IT_IS, FAMILIES
from qat_results import LEAST_PAIRS
from qat_text import mean_text, share_text

from mpsearch.atomic_file import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "qat.json"
STEPS = ROOT / "benchmarks" / "results" / "qat_step.json"
BATCHED = ROOT / "benchmarks" / "results" / "batched.json"
PAGE = ROOT / "docs" / "qat.md"
RANKINGS = ROOT / "mpsearch" / "search" / "measured_rankings.json"
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

_HERE = {
    "better": "holds",
    "better in nats": "holds in the loss",
    "none": "no difference seen",
    "worse in nats": "reversed in the loss",
    "worse": "reversed",
}

Line = Mapping[str, Any]
Found = Mapping[str, Sequence[Line]]


def read_results() -> dict[str, list[Line]]:
    """What `benchmarks/qat.py` found; under `speed` what `qat_step.py` did, under `batched` what `batched.py`
    did, where they have run.
    """
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    found["speed"] = []
    if STEPS.exists():
        measured = json.loads(STEPS.read_text(encoding="utf-8"))["results"]
        found["speed"] = [
            {"products": products, "scheme": scheme, **taken}
            for products, of_products in measured.items()
            for scheme, taken in of_products.items()
        ]
    found["batched"] = []
    if BATCHED.exists():
        measured = json.loads(BATCHED.read_text(encoding="utf-8"))
        found["batched"] = [
            {"model": model, **measured["settings"], **case} for model, case in measured["cases"].items()
        ]
    return found


def renewed_page(page: str, found: Found) -> str:
    """The page with each of its tables made again."""
    return _BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]](found)}\n{block[3]}", page)


def rankings(found: Found) -> str:
    """What `mpsearch.search.score_ranking` reads."""
    names = ("task", "args", "steps", "long_steps", "policies", "tau", "low", "high", "settings")
    kept = [
        {name: line[name] for name in names}
        for line in found["ranking"]
        if 0 < line["share"] < 1 and line["tau"] is not None and line["low"] is not None
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
            "" if line["bar"] is None else _bar(line),
        )
        for line in found["bars"]
    ]
    titles = ("model", "policy and length", "unit", "below 32 bits", "on test", "epochs", "seeds", "bar")
    picture = "![What each precision loses over the length of the fine-tune](images/qat-bars.svg)"
    return _table(titles, rows) + (f"\n\n{picture}" if rows else "")


def _bar(line: Line) -> str:
    verdict = "met" if line["is_met"] else "missed"
    seeds, wanted = line["seeds"], line["seeds_wanted"]
    so_far = "" if seeds == wanted else f", {seeds} of {wanted} seeds run"
    return f"≤ {line['bar']:g}: {verdict}{so_far}"


def families_table(found: Found) -> str:
    return _compared(found["families"], "quantizer")


def ablations_table(found: Found) -> str:
    return _compared(found["ablations"], "switch")


def orderings_table(found: Found) -> str:
    """What papers promise: which comparisons hold, model by model."""
    lines = [line for part in ("families", "ablations") for line in found[part] if line.get("expected")]
    rows = [
        (
            line["table"],
            f"{'distillation' if line['label'] == AS_IT_IS else line['label']} over {line['against']}",
            _gain(line),
            line["pairs"],
            _HERE[line["verdict"]] if line["pairs"] >= LEAST_PAIRS else "too few seeds yet",
        )
        for line in lines
        if line["lost"] is not None and line["pairs"]
    ]
    return _table(("where", "paper's order", "gain", "seeds", "here"), rows)


def ptq_table(found: Found) -> str:
    rows = [
        (
            line["table"],
            line["label"],
            mean_text(line["calibrated_lost"], None),
            mean_text(line["score_lost"], None),
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
            share_text(line),
            "" if line["tau"] is None else f"{line['tau']:.2f}",
            "" if line["low"] is None else f"{line['low']:.2f} to {line['high']:.2f}",
            "" if line["tau_loss"] is None else f"{line['tau_loss']:.2f}",
            line["policies"],
            f"{100 * line['lowest_score']:.1f} to {100 * line['highest_score']:.1f}%",
        )
        for line in found["ranking"]
    ]
    titles = ("model", "trained for", "tau", "95% interval", "tau of the loss", "policies", "long scores")
    picture = "![Kendall's tau over the share of the long fine-tune](images/qat-ranking.svg)"
    return _table(titles, rows) + (f"\n\n{picture}" if rows else "")


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


def speed_table(found: Found) -> str:
    rows = [
        (
            line["products"],
            line["scheme"],
            f"{line['wall_ms']:.0f}",
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*line["wall_ratio"]),
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*line["cores_ratio"]),
        )
        for line in found["speed"]
    ]
    titles = ("products", "policy", "ms a step", "ratio by the clock", "ratio by core time")
    return _table(titles, rows)


def batched_table(found: Found) -> str:
    rows = []
    for line in found["batched"]:
        bar = line["bar"]
        apart = [100 * difference for difference in line["score_differences"]]
        verdict = "met" if median(line["cores_ratios"]) >= bar else "missed"
        rows.append(
            (
                line["model"],
                line["batch"],
                _spread(line["cores_ratios"]),
                f"≥ {bar:g}: {verdict}",
                _spread(line["cpu_ratios"]),
                f"{mean(apart):+.2f} ± {stdev(apart):.2f}",
            )
        )
    titles = ("model", "policies", "on two cores", "bar", "on one thread", "scores apart")
    return _table(titles, rows)


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


TABLES: Mapping[str, Callable[[Found], str]] = {
    "bars": bars_table,
    "orderings": orderings_table,
    "families": families_table,
    "ablations": ablations_table,
    "ptq": ptq_table,
    "ranking": ranking_table,
    "determinism": determinism_table,
    "speed": speed_table,
    "batched": batched_table,
}


def _compared(lines: Sequence[Line], what: str) -> str:
    """One row a label, one column a table; `label` and rival name the row."""
    columns = list(dict.fromkeys(_column(line) for line in lines))
    cells: dict[str, dict[str, str]] = {}
    for line in lines:
        family = line["table"].partition(", ")[2] if what == "quantizer" else ""
        against = f" against {line['against']}" if line.get("against") else ""
        label = f"{family}: {line['label']}{against}".removeprefix(": ")
        cells.setdefault(label, {})[_column(line)] = _gain(line)
    rows = [(label, *(of_label.get(column, "") for column in columns)) for label, of_label in cells.items()]
    return _table((what, *columns), rows)


def _column(line: Line) -> str:
    model, _, rest = str(line["table"]).partition(", ")
    return model if rest in FAMILIES else f"{model}, {rest}"


def _gain(line: Line) -> str:
    if line["lost"] is None:
        return "diverged"
    if line.get("gain") is None:
        return f"{_lost(line)} below 32 bits"
    in_nats = line["measure"] == "loss"
    gain, spread = (
        (line["gain_nats"], line["gain_nats_spread"]) if in_nats else (line["gain"], line["gain_spread"])
    )
    mark = {"better": " ▲", "worse": " ▼", "better in nats": " △", "worse in nats": " ▽"}
    seeds = "" if line["pairs"] >= LEAST_PAIRS else f" ({line['pairs']} seeds)".replace("(1 seeds", "(1 seed")
    return f"{mean_text(gain, spread)}{mark.get(line['verdict'], '')}{seeds}"


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

    found = read_results()
    write_atomically(PAGE, renewed_page(PAGE.read_text(encoding="utf-8"), found))
    write_atomically(RANKINGS, rankings(found))
    for name, picture in figures(found).items():
        write_atomically(ROOT / "docs" / "images" / name, picture)


if __name__ == "__main__":
    main()
