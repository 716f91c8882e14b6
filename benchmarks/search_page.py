"""Renew what is made of benchmarks/results/search*.json. Run: python benchmarks/search_page.py

The tables of docs/search.md, and its figures in docs/images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_problem import SHARES
from search_text import count_text, label_of

from mpsearch.atomic_file import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "search.json"
LIVE = ROOT / "benchmarks" / "results" / "search_live.json"
SENSITIVITIES = ROOT / "benchmarks" / "results" / "search_sensitivities.json"
MODEL = ROOT / "benchmarks" / "results" / "search_model.json"
PAGE = ROOT / "docs" / "search.md"
OURS, COLD_TPE = "mpsearch", "tpe-multivariate"
_FILES = {"replayed": RESULTS, "live": LIVE, "model": MODEL, "sensitivities": SENSITIVITIES}
NOTHING = "Nothing measured yet."
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

Line = Mapping[str, Any]
Found = Mapping[str, Sequence[Line]]


def read_results() -> dict[str, list[Line]]:
    """What the benchmarks of the search found, as far as they have run."""
    return {
        name: json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        for name, path in _FILES.items()
    }


def renewed_page(page: str, found: Found) -> str:
    """The page with each of its tables made again."""
    return _BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]](found)}\n{block[3]}", page)


def fronts(found: Found, costs: str = "measured") -> list[Line]:
    """The lines of searches for a whole front, as a user has them: with noise, and the usual proxy."""
    return [
        line
        for line in found["replayed"]
        if line["goal"] == "front" and line["costs"] == costs and line["is_noisy"] and _is_usual(line)
    ]


def bars_table(found: Found) -> str:
    """The claims: ours in trials to 99%, and how many times as many the others need."""
    lines = fronts(found)
    rows = []
    for table in _tables(lines):
        of_table = {line["sampler"]: line for line in lines if line["table"] == table}
        ours = of_table.pop(OURS, None)
        if ours is None:
            continue
        rows.append(
            [
                table,
                _count(ours),
                f"{ours['clairvoyant_trials_to']['0.99']:g}",
                *(_times(of_table.get(name), ours, least) for name, least in _BARS.items()),
                _best_other(of_table.values(), ours, 2),
                _judged(100 * ours["hypervolume_after_25"], 99, "%"),
                _judged(100 * ours["chosen_hypervolume_after_25"], 99, "%"),
            ]
        )
    heads = [
        "table", "trials to 99%", "all scores known",
        *(f"{name} ≥ {least}" for name, least in _BARS.items()), "best other ≥ 2",
        "tried after 25 ≥ 99%", "shown front after 25",
    ]  # fmt: skip
    return _table(heads, rows)


def further_bars_table(found: Found) -> str:
    """The other claims: with a proxy that is wrong, of a single answer, and of several fidelities."""
    cold = {line["table"]: line for line in fronts(found) if line["sampler"] == COLD_TPE}
    ours = [line for line in found["replayed"] if line["sampler"] == OURS]
    rows = []
    for table in _tables(fronts(found)):
        of_table = [line for line in ours if line["table"] == table]
        misled = {line["proxy"]: line for line in of_table if line["goal"] == "front"}
        answers = next((line for line in of_table if line["goal"] == "budgets" and _is_usual(line)), None)
        rows.append(
            [
                table,
                *(_times(cold.get(table), misled.get(proxy), 3) for proxy in _MISLEADING),
                "" if answers is None else _slowest_answer(answers, 12),
                _ratio_judged(*_fidelity_lines(of_table, OURS), 1 / 3),
            ]
        )
    heads = [
        "table", *(f"{COLD_TPE} ≥ 3, {proxy} proxy" for proxy in _MISLEADING), "slowest answer ≤ 12 trials",
        "seconds with fidelities ≤ 1/3",
    ]  # fmt: skip
    return _table(heads, rows)


def trials_table(found: Found) -> str:
    """Trials to 99%, with quartiles: a row a sampler, a column a table."""
    lines = fronts(found)
    picture = "![The share of the exact hypervolume over trials](images/search-curves.svg)"
    return _by_sampler(lines, _count) + (f"\n\n{picture}" if lines else "")


def shares_table(found: Found) -> str:
    """Ours, to each share of the exact hypervolume."""
    rows = [
        [
            line["table"],
            *(count_text(line["trials_to"][str(share)], line["most_trials"]) for share in SHARES),
            f"{line['ask_ms']:.0f}",
        ]
        for line in fronts(found)
        if line["sampler"] == OURS
    ]
    return _table(["table", *(f"{100 * share:g}%" for share in SHARES), "ms to propose"], rows)


def drawn_table(found: Found) -> str:
    return _by_sampler(fronts(found, "drawn"), _count)


def seconds_table(found: Found) -> str:
    """Seconds of training, proxy and asking until 99%."""
    return _by_sampler(fronts(found), lambda line: _seconds(line["seconds_to"]["0.99"]))


def regret_table(found: Found) -> str:
    """Points below the best under each budget, of what a search for the whole front saw in 25 trials."""
    return _by_sampler(
        fronts(found),
        lambda line: ", ".join("none" if v is None else f"{v:.2f}" for v in line["regret_under_budgets"]),
    )


def ablations_table(found: Found) -> str:
    """Ours with what it is told taken away or made wrong, beside TPE that starts with nothing."""
    lines = [
        line
        for line in found["replayed"]
        if line["goal"] == "front" and line["costs"] == "measured" and not line["fidelities"]
        and (line["sampler"] == OURS or (line["sampler"] == COLD_TPE and line["is_noisy"]))
    ]  # fmt: skip
    return _by_sampler(
        lines, _count, lambda line: label_of(line) + ("" if line["is_noisy"] else ", no noise")
    )


def answers_table(found: Found) -> str:
    """Trials until a policy within 0.3 points of the best under a budget was trained, over five budgets."""
    lines = [line for line in found["replayed"] if line["goal"] == "budgets" and _is_usual(line)]
    return _by_sampler(
        lines,
        lambda line: _with_quartiles(
            line["trials_to_answer"], line["trials_to_answer_quartiles"], line["most_trials"]
        ),
    )


def fidelities_table(found: Found) -> str:
    """Seconds of the whole engine to 99%, with several fidelities and in full."""
    lines = [line for line in found["replayed"] if line["goal"] == "front" and line["fidelities"]]
    rows = []
    for table in _tables(lines):
        of_table = [line for line in lines if line["table"] == table]
        for sampler in dict.fromkeys(line["sampler"] for line in of_table):
            by_way = _fidelity_lines(of_table, sampler)
            seeds = " / ".join(str(line["seeds"]) for line in by_way if line is not None)
            texts = ["" if line is None else _seconds_text(line) for line in by_way]
            rows.append([table, sampler, seeds, *texts, _ratio(*by_way)[0]])
    return _table(["table", "sampler", "seeds", "s in full", "s with fidelities", "ratio"], rows)


def live_table(found: Found) -> str:
    rows = [
        [
            line["sampler"],
            line["trials"],
            line["front"],
            f"{100 * line['hypervolume']:.2f}%",
            line["front_dominated_by_others"],
            f"{line['seconds'] / 3600:.1f}",
        ]
        for line in found["live"]
    ]
    heads = ["sampler", "trials", "front", "of all fronts' hypervolume", "of it dominated by others", "hours"]
    return _table(heads, rows)


def model_table(found: Found) -> str:
    """Errors of the surrogate on policies that it did not see, beside what no model comes below."""
    rows = [
        [
            line["table"],
            line["trials"],
            f"{line['error']:.2f} ({_points(line['noise'])})",
            f"{line['error_better_half']:.2f} ({_points(line['noise_better_half'])})",
            f"{line['rank_correlation_better_half']:.2f}",
            _points(line["rank_correlation_of_short_better_half"]),
        ]
        for line in found["model"]
    ]
    heads = [
        "table", "trials", "error, points (noise)", "better half (noise)", "rank correlation there",
        "of a short training",
    ]  # fmt: skip
    return _table(heads, rows)


def sensitivities_table(found: Found) -> str:
    """Rank correlations of each method with scores: all policies, without 1-bit layers, the better half."""
    lines = found["sensitivities"]
    methods = list(dict.fromkeys(line["method"] for line in lines))
    rows = []
    for table in _tables(lines):
        cells = {
            line["method"]: " / ".join(f"{line[of]:.2f}" for of in ("all", "without_one_bit", "better_half"))
            + f" ({line['seconds']:.1f} s)"
            for line in lines
            if line["table"] == table
        }
        rows.append([table, *(cells.get(method, "") for method in methods)])
    return _table(["table", *methods], rows)


def _fidelity_lines(lines: Iterable[Line], sampler: str) -> tuple[Line | None, Line | None]:
    """Of the whole engine, in full and with several fidelities."""
    found = {
        len(line["fidelities"]) > 1: line
        for line in lines
        if line["sampler"] == sampler and line["fidelities"] and line["repeats"]
    }
    return found.get(False), found.get(True)


def repeats_table(found: Found) -> str:
    """The whole engine in full, with further seeds of contested policies and without."""
    lines = [line for line in found["replayed"] if line["fidelities"] == [1.0]]
    rows = []
    for table in _tables(lines):
        by_way = {line["repeats"]: line for line in lines if line["table"] == table}
        if len(by_way) < 2:
            continue
        ways = (by_way[True], by_way[False])
        shown = (f"{100 * line['chosen_hypervolume_after_60']:.2f}%" for line in ways)
        rows.append([table, " / ".join(str(line["seeds"]) for line in ways), *map(_count, ways), *shown])
    heads = [
        "table", "seeds", "trials to 99%", "without repeats", "shown front after 60", "without repeats",
    ]  # fmt: skip
    return _table(heads, rows)


TABLES: Mapping[str, Callable[[Found], str]] = {
    "bars": bars_table,
    "further": further_bars_table,
    "trials": trials_table,
    "shares": shares_table,
    "drawn": drawn_table,
    "seconds": seconds_table,
    "regret": regret_table,
    "ablations": ablations_table,
    "answers": answers_table,
    "fidelities": fidelities_table,
    "repeats": repeats_table,
    "live": live_table,
    "model": model_table,
    "sensitivities": sensitivities_table,
}
_MISLEADING = ("reversed", "random")
_LISTS = ("proxy-front", "uniform")  # they end with their policies: no limit stops them
_BARS = {"random": 15, "nsga2-20": 15, "nsga2-50": 15, COLD_TPE: 5}


def _is_usual(line: Line) -> bool:
    return not line["fidelities"] and label_of(line) == line["sampler"]


def _tables(lines: Iterable[Line]) -> list[str]:
    return list(dict.fromkeys(line["table"] for line in lines))


def _by_sampler(
    lines: Sequence[Line], cell: Callable[[Line], str], label: Callable[[Line], str] = label_of
) -> str:
    """A row a sampler, a column a table."""
    tables = _tables(lines)
    rows: dict[str, dict[str, str]] = {}
    for line in sorted(lines, key=lambda line: (line["sampler"] != OURS, _trials(line))):
        rows.setdefault(label(line), {})[line["table"]] = cell(line)
    return _table(
        ["sampler", *tables],
        [[name, *(cells.get(table, "") for table in tables)] for name, cells in rows.items()],
    )


def _trials(line: Line) -> float:
    found = line["trials_to"]["0.99"] if line["goal"] == "front" else line["trials_to_answer"]
    return float("inf") if found is None else float(found)


def _least_trials(line: Line) -> float:
    """To 99%, at least: infinite of one that had no more policies, not of one that was stopped."""
    found = _trials(line)
    is_stopped = found == float("inf") and line["sampler"] not in _LISTS
    return float(line["most_trials"]) if is_stopped else found


def _count(line: Line) -> str:
    return _with_quartiles(
        line["trials_to"]["0.99"], line["trials_to_quartiles"]["0.99"], line["most_trials"]
    )


def _with_quartiles(median: float | None, quartiles: Sequence[float | None], most: int) -> str:
    if median is None:
        return count_text(None, most)
    low, high = quartiles
    return f"{median:g} ({low:g} to {'more' if high is None else format(high, 'g')})"


def _times(line: Line | None, ours: Line | None, least: float) -> str:
    """How many times our trials another sampler needs: at least so many where it never got there."""
    if line is None or ours is None or ours["trials_to"]["0.99"] is None:
        return ""
    is_censored = line["trials_to"]["0.99"] is None
    trials = line["most_trials"] if is_censored else line["trials_to"]["0.99"]
    times = trials / ours["trials_to"]["0.99"]
    met = "met" if times >= least else "open" if is_censored else "missed"
    return f"{'> ' if is_censored else ''}{times:.1f}: {met}"


def _best_other(others: Collection[Line], ours: Line, least: float) -> str:
    """As `_times`, of the sampler that needs the fewest trials, and its name.

    Who was stopped may need any number from there on; but once another was too fast, that decides.
    """
    if not others:
        return ""
    fastest, possible = min(others, key=_trials), min(others, key=_least_trials)
    known = _times(fastest, ours, least)
    best = fastest if known.endswith("missed") else possible
    return f"{_times(best, ours, least)}, {best['sampler']}"


def _slowest_answer(line: Line, most: int) -> str:
    """Trials to the answer within the budget that takes longest."""
    counts = line["trials_to_answer_by_budget"]
    slowest = None if None in counts else max(counts)
    met = slowest is not None and slowest <= most
    return f"{count_text(slowest, line['most_trials'])}: {'met' if met else 'missed'}"


def _ratio_judged(whole: Line | None, several: Line | None, most: float) -> str:
    text, least = _ratio(whole, several)
    if not text:
        return "open"
    met = "met" if not text.startswith(">") and least <= most else "missed" if least > most else "open"
    return f"{text}: {met}"


def _ratio(whole: Line | None, several: Line | None) -> tuple[str, float]:
    """Of the seconds to 99%, with several fidelities over in full, as text and as a number: at least that
    where several never got there. Empty where the whole never did.
    """
    in_full = None if whole is None else whole["seconds_to"]["0.99"]
    if in_full is None or several is None:
        return "", float("inf")
    reached = several["seconds_to"]["0.99"]
    ratio = (several["seconds_in_all"] if reached is None else reached) / in_full
    return f"{'> ' if reached is None else ''}{ratio:.2f}", ratio


def _seconds_text(line: Line) -> str:
    """To 99%; where it never got there, that it takes more than all of them."""
    reached = line["seconds_to"]["0.99"]
    return f"> {_seconds(line['seconds_in_all'])}" if reached is None else _seconds(reached)


def _judged(value: float, least: float, unit: str) -> str:
    return f"{value:.2f}{unit}: {'met' if value >= least else 'missed'}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return NOTHING
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    from search_figures import figures  # noqa: PLC0415 - seconds that the tables need not wait

    found = read_results()
    write_atomically(PAGE, renewed_page(PAGE.read_text(encoding="utf-8"), found))
    for name, picture in figures(fronts(found)).items():
        write_atomically(ROOT / "docs" / "images" / name, picture)


if __name__ == "__main__":
    main()
