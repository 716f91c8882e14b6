"""What keeping a study costs in each kind of storage, and what a torn write leaves of it.

    python benchmarks/storage.py [--trials N] [--postgres URL] [--json OUT]

A trial has 20 layers of 6 schemes. `begin + finish`: median wall clock (quartiles) of writing that a trial
runs and that it has ended, on the disk as far as the storage promises, the storages taking turns trial by
trial. `open`: reading N finished trials back. `torn`: the last 20 bytes of what was written last (of a
database: of its journal) are cut off in a copy, as a kill in the middle of a write does; the copy is opened,
takes one more trial, and is opened again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import event

from mpsearch.atomic_file import append_line
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.costs import Costs
from mpsearch.search.objective import OBJECTIVES
from mpsearch.search.resolve import Choice, ResolvedSpace
from mpsearch.search.run_folder import RunFolder, record_line
from mpsearch.search.shared_study import SharedStudy
from mpsearch.search.study import BegunTrial, StudyStore, distributions_of, optuna_directions
from mpsearch.search.study_address import StudyAddress
from mpsearch.search.trial_record import TrialRecord

LAYERS = tuple(f"layer{number}" for number in range(20))
NAMES = ("w1a1", "w1a8", "w1.58a8", "w4a8", "w8a8", "w32a32")
SPACE = ResolvedSpace(
    layers=LAYERS,
    choices=tuple(
        Choice(name=layer, layers=(layer,), schemes=tuple(SCHEMES[name] for name in NAMES))
        for layer in LAYERS
    ),
    pinned={},
)
AIMS = tuple(OBJECTIVES[name] for name in ("accuracy", "latency", "memory"))
TORN_BYTES = 20


def made_up(number: int) -> tuple[BegunTrial, TrialRecord]:
    rng = random.Random(number)
    policy = PrecisionPolicy({layer: SCHEMES[rng.choice(NAMES)] for layer in LAYERS})
    costs = Costs(
        latency_s=rng.uniform(1e-4, 1e-3),
        latency_p95_s=2e-3,
        latency_p99_s=3e-3,
        memory_bytes=rng.randrange(10_000, 90_000),
        energy_j=1e-6,
    )
    record = TrialRecord(
        number=number,
        policy=policy,
        state="complete",
        score=rng.random(),
        loss=0.1,
        costs=costs,
        feasible=True,
        seconds=1.5,
        steps=100,
        seed=0,
        origin="sampler",
        started="2026-01-01T00:00:00.000+00:00",
        ended="2026-01-01T00:00:02.000+00:00",
    )
    return BegunTrial(number=number, policy=policy, origin="sampler", attributes={}), record


@dataclass(kw_only=True)
class Kept:
    """One kind of storage, opened. `written_last` is the file that a kill may tear."""

    write: Callable[[BegunTrial, TrialRecord], None]
    read: Callable[[], int]
    close: Callable[[], None]
    written_last: Path | None = None


def ours(folder: Path, *, journal: str = "WAL", synchronous: str = "NORMAL") -> Kept:
    path = folder / "study.db"
    store = StudyStore(path, SPACE, AIMS)
    if journal != "WAL":
        store._engine.dispose()

        def settle(connection: Any, _record: Any) -> None:
            connection.execute(f"PRAGMA journal_mode={journal}")
            connection.execute(f"PRAGMA synchronous={synchronous}")

        event.listen(store._engine, "connect", settle)

    def write(trial: BegunTrial, record: TrialRecord) -> None:
        store.begin(trial, {})
        store.finish(record)

    def read() -> int:
        again = StudyStore(path, SPACE, AIMS)
        found = len(again.history())
        again._engine.dispose()
        return found

    return Kept(write=write, read=read, close=store._engine.dispose, written_last=folder / "study.db-wal")


def shared(url: str) -> Kept:
    address, study = StudyAddress.parse(url), f"benchmark {uuid.uuid4().hex[:8]}"

    def join(name: str) -> SharedStudy:
        return SharedStudy(
            address,
            study,
            driver=name,
            identity=name,
            resolved=SPACE,
            objectives=AIMS,
            emit=lambda told: sys.stderr.write(f"{told}\n"),
        )

    store = join("a")

    def write(trial: BegunTrial, record: TrialRecord) -> None:
        with store.turn():
            store.begin(trial, {})
        store.finish(replace(record, driver="a"))

    def read() -> int:
        with join("b") as again:
            again.recover({})
            return len(again.history())

    return Kept(write=write, read=read, close=store.close)


def by_optuna(open_storage: Callable[[], BaseStorage], written_last: Path) -> Kept:
    def open_study() -> optuna.Study:
        return optuna.create_study(
            study_name="s", storage=open_storage(), directions=optuna_directions(AIMS), load_if_exists=True
        )

    study = open_study()
    distributions = distributions_of(SPACE)

    def write(trial: BegunTrial, record: TrialRecord) -> None:
        codes = SPACE.codes(trial.policy).tolist()
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=dict(zip(LAYERS, codes, strict=True)),
                distributions=distributions,
                user_attrs={"begun": {"number": trial.number, "origin": trial.origin}},
            )
        )
        place = study.get_trials(deepcopy=False)[-1]
        study._storage.set_trial_user_attr(place._trial_id, "record", record.to_dict())
        study.tell(place.number, [aim.of(record) for aim in AIMS])

    def read() -> int:
        again = open_study()
        found = [t for t in again.get_trials(deepcopy=False) if "record" in t.user_attrs]
        return len(found)

    return Kept(write=write, read=read, close=study._storage.remove_session, written_last=written_last)


def sqlite_of_optuna(path: Path) -> RDBStorage:
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})

    @event.listens_for(storage.engine, "connect")
    def _settle(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()
    return storage


def lines(path: Path) -> Kept:
    folder = RunFolder(path)
    folder.rewrite_records(folder.written_records().values())  # as a search does before it appends

    def write(_trial: BegunTrial, record: TrialRecord) -> None:
        append_line(folder.trials_file, record_line(record))

    return Kept(
        write=write,
        read=lambda: len(folder.written_records()),
        close=lambda: None,
        written_last=folder.trials_file,
    )


def journal_of_optuna(folder: Path) -> Kept:
    path = folder / "journal.log"
    return by_optuna(lambda: JournalStorage(JournalFileBackend(str(path))), path)


STORAGES: dict[str, Callable[[Path], Kept]] = {
    "SQLite WAL, as mpsearch writes it": ours,
    "SQLite rollback journal": lambda folder: ours(folder, journal="DELETE", synchronous="FULL"),
    "SQLite WAL by Optuna's RDBStorage": lambda folder: by_optuna(
        lambda: sqlite_of_optuna(folder / "study.db"), folder / "study.db-wal"
    ),
    "Optuna's journal file": journal_of_optuna,
    "trials.jsonl, synced": lines,
}


def after_a_torn_write(name: str, storage: Kept, trials: int, folder: Path) -> str:
    """What a copy says whose end is cut off; the server's own journal is not ours to tear."""
    if storage.written_last is None:
        return "-"
    if not storage.written_last.exists():
        return "nothing to tear after a commit"
    original = storage.written_last.parent
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns("*-shm"))
    torn = folder / storage.written_last.name
    with torn.open("r+b") as file:
        file.truncate(torn.stat().st_size - TORN_BYTES)
    try:
        again = STORAGES[name](folder)
        lost = trials - again.read()
        again.write(*made_up(trials))
        again.close()
        grown = STORAGES[name](folder).read()
    except Exception as error:
        return f"unreadable after the next trial: {type(error).__name__}"
    return f"{lost} trials lost" if grown == trials - lost + 1 else f"{trials + 1 - grown} trials lost"


def measure(folder: Path, trials: int, postgres: str | None) -> list[dict[str, Any]]:
    kept = {}
    for place, (name, build) in enumerate(STORAGES.items()):
        own = folder / str(place)
        own.mkdir()
        kept[name] = build(own)
    if postgres is not None:
        kept["PostgreSQL, as --storage does"] = shared(postgres)
    written: dict[str, list[float]] = {name: [] for name in kept}
    for number in range(trials):
        trial, record = made_up(number)
        for name, storage in kept.items():
            began = time.perf_counter()
            storage.write(trial, record)
            written[name].append(time.perf_counter() - began)
    rows = []
    for name, storage in kept.items():
        began = time.perf_counter()
        found = storage.read()
        opened = time.perf_counter() - began
        if found != trials:
            raise SystemExit(f"{name} has {found} of {trials} trials.")
        low, median, high = statistics.quantiles(written[name], n=4)
        rows.append(
            {
                "storage": name,
                "write_ms": 1e3 * median,
                "write_quartiles_ms": [1e3 * low, 1e3 * high],
                "open_s": opened,
                "torn": after_a_torn_write(name, storage, trials, folder / f"torn {len(rows)}"),
            }
        )
    for storage in kept.values():
        storage.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--postgres", metavar="URL", help="a database to measure too")
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    folder = Path(tempfile.mkdtemp(prefix="mpsearch-storage-"))
    try:
        rows = measure(folder, given.trials, given.postgres)
    finally:
        shutil.rmtree(folder)
    print(f"{'storage':36} {'begin + finish, ms':>22} {f'open {given.trials}, s':>14}  torn last write")
    for row in rows:
        low, high = row["write_quartiles_ms"]
        spread = f"{row['write_ms']:.1f} ({low:.1f} to {high:.1f})"
        print(f"{row['storage']:36} {spread:>22} {row['open_s']:>14.2f}  {row['torn']}")
    if given.json is not None:
        given.json.write_text(json.dumps({"trials": given.trials, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
