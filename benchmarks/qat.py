"""Is the fine-tuning of trials worth its name? Run: python benchmarks/qat.py --json OUT [--only PART ...]

    bars         each precision against 32 bits, over epochs
    families     each quantizer beside its rival
    ablations    each switch of the recipe beside the recipe without it
    ptq          calibrated only beside fine-tuned, by bits
    ranking      Kendall's tau between scores of short and long fine-tunes of random policies
    determinism  one run twice, to the bit

Every finished run is added to the journal at once and never made again, so that hours of runs can be spread
over many sittings, and over several processes with one journal. OUT holds the tables of all that is finished.

    --list      what is left, with estimated seconds, and the tables so far
    --check     does the code still train as when the journal was written? Two steps of each finished setting;
                those that differ are named: raise their number in VERSIONS of qat_run.py
    --hours H   begin no run that would, by its estimate, end later than that
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from qat_journal import Journal
from qat_parts import PARTS, in_order
from qat_results import results
from qat_row import Row
from qat_run import Run
from qat_text import printed

from mpsearch.atomic_file import write_atomically

JOURNAL = Path(__file__).parent / "results" / "qat.jsonl"


def planned(parts: Iterable[str], seeds: int, workloads: Iterable[str] | None) -> dict[str, list[Row]]:
    """The rows of each part, of those workloads only where some are named."""
    kept = set(workloads or ())
    return {
        part: [row for row in PARTS[part](seeds) if not kept or row.runs[0].workload.name in kept]
        for part in parts
    }


def left_of(rows: dict[str, list[Row]], journal: Journal) -> list[Run]:
    """Runs that are not finished, in the order in which they are made."""
    finished = journal.finished()
    ordered = {run.key: run for part, of_part in rows.items() for run in in_order(part, of_part)}
    return [run for key, run in ordered.items() if key not in finished]


def show_left(runs: list[Run], journal: Journal) -> None:
    records = journal.records()
    total = 0.0
    for run in runs:
        seconds = journal.estimated_seconds(run, records)
        total += seconds
        print(f"{seconds:7.0f} s  {run}")
    print(f"{len(runs)} runs left, about {total / 3600:.1f} hours in one process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the tables")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part; may be repeated")
    parser.add_argument("--workload", action="append", help="this workload only; may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="policies that are trained in one pass")
    parser.add_argument("--hours", type=float, default=float("inf"))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    journal = Journal(given.journal)
    rows = planned(given.only or PARTS, given.seeds, given.workload)
    left = left_of(rows, journal)
    if given.list:
        show_left(left, journal)
    elif given.check:
        from qat_sitting import stale  # noqa: PLC0415 - as below

        runs = [run for of_part in rows.values() for row in of_part for run in row.runs]
        changed = stale(runs, journal)
        print("\n".join(changed) or "All finished settings begin to train as they did.")
        raise SystemExit(bool(changed))
    else:
        from qat_sitting import sit  # noqa: PLC0415 - seconds that `--list` need not wait

        sit(left, journal, hours=given.hours, threads=given.threads, batch=given.batch)
    found = results(planned(PARTS, given.seeds, None), journal.finished())
    print(printed({part: found[part] for part in rows}))
    if given.json is not None:
        write_atomically(given.json, json.dumps(found, indent=1) + "\n", "--json")


if __name__ == "__main__":
    main()
