"""How many trials does a search need? Run: python benchmarks/search.py --table T.parquet [...] [--json OUT]

Tables of small spaces whose every policy was trained for real are replayed: a sampler proposes, and is told
the score that the table has. Beside T.parquet lies T.costs.json. See docs/search.md for both, and for the
reference point of the hypervolume.

    --make [NAME ...]   train and write our own tables, all or those named; goes on where it was killed
    --table T [...]     replay samplers on tables
    --journal FILE      finished replays, which are never made again; beside OUT where there is one

A seed shows a sampler one training of each policy, drawn from the table's seeds; what it found is judged by
the mean of the seeds (--no-noise shows the mean). Seconds are those of the trainings, the proxy and the
asking. Who proposes a policy that was trained already, or one beyond a budget, loses no trial.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from search_policy_table import SHARES
from search_problem import BUDGET_SHARES, REFERENCES, USUAL_REFERENCE
from search_proxies import PROXIES
from search_replay import ENGINE, FRONT, Replay, Setting, replay, setting_of
from search_replay_journal import ReplayJournal
from search_results import results
from search_rivals import rivals
from search_text import printed

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import MpsearchError
from mpsearch.search.samplers import SAMPLERS

WORK = Path(__file__).parent / "work"


def planned(given: argparse.Namespace) -> list[Setting]:
    """All replays, first those of each sampler's first seed; what two of them share is made once."""
    goals = [FRONT] if not given.budgets else list(range(len(BUDGET_SHARES)))
    costs: list[tuple[str | int, int]] = [("measured", seed) for seed in range(given.seeds)]
    if given.fidelities:
        return [
            setting_of(
                str(path),
                sampler=sampler,
                seed=seed,
                objectives=tuple(given.objectives or ()),
                proxy="engine",
                costs=ENGINE,
                most_trials=given.trials,
                fidelities=fidelities,
            )
            for seed in range(given.seeds)
            for path in given.table
            for sampler in given.samplers
            for fidelities in ((1.0,), (*SHARES.values(), 1.0))
        ]
    if not given.budgets:
        costs += [(number, number) for number in range(given.cost_tables)]
    found: dict[str, Setting] = {}
    for of_costs, seed in costs:
        for path in given.table:
            for sampler in given.samplers:
                for goal in goals:
                    setting = setting_of(
                        str(path),
                        sampler=sampler,
                        seed=seed,
                        objectives=tuple(given.objectives or ()),
                        proxy=given.proxy,
                        is_noisy=given.noise,
                        costs=of_costs,
                        goal=goal,
                        most_trials=given.trials,
                    )
                    found.setdefault(setting.key, setting)
    return list(found.values())


def finished_replays(
    settings: Iterable[Setting], journal: ReplayJournal, processes: int
) -> Iterator[tuple[Setting, Replay]]:
    """Those of the journal, then the others as they end."""
    known = journal.finished()
    left = []
    for setting in settings:
        if setting.key in known:
            yield setting, known[setting.key]
        else:
            left.append(setting)
    for place, (setting, found) in enumerate(_made(left, processes)):
        journal.add(found)
        print(f"\r{place + 1}/{len(left)} replays ", end="", flush=True)
        yield setting, found
    if left:
        print()


def _made(settings: list[Setting], processes: int) -> Iterator[tuple[Setting, Replay]]:
    if processes == 1:
        yield from ((setting, replay(setting)) for setting in settings)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from zip(settings, pool.map(replay, settings), strict=True)


def main() -> None:
    given = _arguments()
    if given.make is not None:
        from search_tables import make_tables  # noqa: PLC0415 - torch, which a replay need not wait for

        make_tables(given.make, given.work)
    if not given.table:
        return
    known = list(rivals())
    if given.fidelities:
        known = [name for name in SAMPLERS if name in known]
    given.samplers = given.samplers or list(known)
    journal = ReplayJournal(given.journal or (given.json and given.json.with_suffix(".replays.jsonl")))
    settings = planned(given)
    lines = results(list(finished_replays(settings, journal, given.processes)), given.reference)
    print(printed(lines))
    if given.json is not None:
        write_atomically(given.json, json.dumps(lines, indent=1) + "\n", "--json")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--make", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, default=WORK, help="where trainings of tables are kept")
    parser.add_argument("--table", type=Path, nargs="+", default=[], metavar="T.parquet")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--journal", type=Path, metavar="FILE")
    parser.add_argument("--samplers", nargs="+", choices=list(rivals()), help="default: all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--trials", type=int, help="at most; default: what each sampler can be given in minutes"
    )
    parser.add_argument("--objectives", nargs="+", help="default: accuracy latency memory")
    parser.add_argument("--reference", choices=REFERENCES, default=USUAL_REFERENCE)
    parser.add_argument(
        "--proxy", choices=PROXIES, help="default: ptq where the table has it, else one-layer"
    )
    parser.add_argument(
        "--cost-tables", type=int, default=0, help="drawn costs besides the measured, a seed each"
    )
    parser.add_argument("--noise", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--budgets", action="store_true", help="seek the best score within each of 5 budgets")
    parser.add_argument(
        "--fidelities", action="store_true", help="the whole engine, with several fidelities and without"
    )
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    if given.make is None and not given.table:
        parser.error("give --make, --table, or both")
    return given


if __name__ == "__main__":
    try:
        main()
    except MpsearchError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
