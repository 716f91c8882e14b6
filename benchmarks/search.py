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

from search_plan import Plan, once
from search_problem import REFERENCES, USUAL_REFERENCE
from search_proxies import PROXIES
from search_replay import Replay, Setting, replay
from search_replay_journal import ReplayJournal
from search_results import results
from search_rivals import rivals
from search_text import printed

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import MpsearchError
from mpsearch.search.samplers import SAMPLERS

WORK = Path(__file__).parent / "work"


def planned(given: argparse.Namespace) -> list[Setting]:
    """What the arguments ask for."""
    plan = Plan(
        tables=given.table,
        seeds=given.seeds,
        objectives=tuple(given.objectives or ()),
        trials=given.trials,
    )
    if given.everything:
        return once(plan.everything(given.cost_tables))
    if given.fidelities:
        return plan.fidelities(given.samplers or SAMPLERS)
    samplers = given.samplers or rivals()
    if given.budgets:
        return once(plan.answers(samplers, given.proxy))
    fronts = plan.fronts(samplers, proxy=given.proxy, noise=given.noise)
    return once([*fronts, *plan.drawn(samplers, given.cost_tables, given.proxy)])


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
    journal = ReplayJournal(given.journal or (given.json and given.json.with_suffix(".replays.jsonl")))
    settings = planned(given)
    if given.finished:
        known = journal.finished()
        settings = [setting for setting in settings if setting.key in known]
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
    parser.add_argument("--samplers", nargs="+", choices=sorted({*rivals(), *SAMPLERS}), help="default: all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--trials", type=int, help="at most; default: what each sampler can be given in minutes"
    )
    parser.add_argument("--objectives", nargs="+", help="default: accuracy latency memory")
    parser.add_argument("--reference", choices=REFERENCES, default=USUAL_REFERENCE)
    parser.add_argument(
        "--proxy", choices=PROXIES, help="default: ptq where the table has it, else one-layer"
    )
    parser.add_argument("--cost-tables", type=int, help="drawn costs besides the measured, a seed each")
    parser.add_argument("--noise", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--budgets", action="store_true", help="seek the best score within each of 5 budgets")
    parser.add_argument(
        "--fidelities", action="store_true", help="the whole engine, with several fidelities and without"
    )
    parser.add_argument(
        "--everything", action="store_true", help="all that docs/search.md shows; takes hours, and goes on"
    )
    parser.add_argument("--finished", action="store_true", help="make no replay: what the journal has")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    if given.cost_tables is None:
        given.cost_tables = 16 if given.everything else 0
    if given.make is None and not given.table:
        parser.error("give --make, --table, or both")
    return given


if __name__ == "__main__":
    try:
        main()
    except MpsearchError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
