"""The truth on disk: an Optuna study in SQLite that one process writes.

SQLite is in WAL mode while a search runs: a commit then costs one append, not two synced files, and readers
never hold the writer up. A commit survives kill -9; what a power cut could take from it is in trials.jsonl,
which is synced. On a clean close the journal is folded back, so that a finished run is one plain file,
readable from a read-only folder. docs/storage.md has the measurements behind this choice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection, Engine, QueuePool, event
from sqlalchemy.exc import SQLAlchemyError

from mpsearch.errors import FormatError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.interrupts import uninterrupted
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import ResolvedSpace
from mpsearch.search.stored_records import BEGUN, LOCK_TIMEOUT_S, RECORD, require_sound, translated
from mpsearch.search.study_rows import StudyRow, StudyRows, open_study
from mpsearch.search.trial_record import Origin, Rung, TrialRecord

STUDY_NAME = "mpsearch"
RUNGS = "rungs"  # a user attribute of a trial, beside BEGUN and RECORD
_ENDED = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunTrial:
    """A trial that was given a number and has not ended.

    `attributes` are the sampler's own notes on it; `rungs` its scores at lower fidelities, lowest first;
    `seed` that of a policy that is trained again, None for the search's own.
    """

    number: int
    policy: PrecisionPolicy
    origin: Origin
    attributes: Mapping[str, Any]
    rungs: tuple[Rung, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LostTrial:
    """A trial whose driver does not answer any more: another may begin it again, under the same number."""

    trial: BegunTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """What a sampler is told again when a search goes on: a record, or a policy refused for its costs.

    `number` is that of the trial, or of the one that was looked for when the policy was refused.
    """

    policy: PrecisionPolicy
    record: TrialRecord | None
    attributes: Mapping[str, Any]
    number: int


News = BegunTrial | LostTrial | TrialRecord  # another driver has begun, lost or finished a trial


class StudyStore:
    """One study in one database. Use as a context manager; only the holder of the run's lock may open it.

    Trial of the study = trial begun or policy refused; user attribute `begun` holds number, origin and
    seed, `rungs` its scores at lower fidelities, `record` the finished record. Parameters are codes of the
    choices.
    Every step is one commit: a trial is begun or not, finished or not.

    Raises: FormatError if the database is truncated or corrupt; StorageError if it cannot be written.
    """

    driver: str | None = None  # which of several drivers of one study this is; a file has one

    def __init__(self, path: Path, resolved: ResolvedSpace, objectives: tuple[Objective, ...]) -> None:
        self._path = path
        self._hold(str(path), resolved, objectives)

    def _hold(self, where: str, resolved: ResolvedSpace, objectives: tuple[Objective, ...]) -> None:
        self.where = where
        self.resolved = resolved
        self.objectives = objectives
        self.distributions = distributions_of(resolved)
        self._places: dict[int, int] = {}  # number of a running or lost trial -> its row
        self._engine, self._rows = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def turn(self) -> Iterator[list[News]]:
        """Be the only driver of this study that proposes and begins; yields what others did since the last.

        A study in a file has one driver: there is no news.
        """
        yield []

    def history(self) -> list[StoredTrial]:
        """Everything that has ended, in the order in which it was begun."""
        return self._commit(lambda connection: self._stored(self._rows.read(connection)))

    def recover(self, written: Mapping[int, TrialRecord]) -> list[BegunTrial]:
        """Make the study whole again after a kill or a power cut; return the trials to run again.

        `written`: the records of trials.jsonl, which is synced before the study: what it has and the study
        lacks goes in. The trials returned still run in the study, until they are begun again or abandoned.
        """
        return self._commit(lambda connection: self._recovered(connection, written))

    def begin(self, trial: BegunTrial, violations: Mapping[str, float]) -> bool:
        """Write down that a trial runs, in one commit; a lost one goes on in its old row.

        `violations` are those of its known costs. False where another driver came first: propose another.
        """
        self._places[trial.number] = self._commit(
            lambda connection: self._begun(connection, trial, violations)
        )
        return True

    def abandon(self, number: int) -> None:
        """Give a trial up that was lost and is not wanted any more."""
        row = self._places.pop(number)
        self._commit(lambda connection: self._rows.end(connection, row, TrialState.FAIL))

    def keep_rung(self, number: int, rung: Rung) -> None:
        """Write down what a running trial scored at a lower fidelity; on disk when this returns."""
        row = self._places[number]

        def keep(connection: Connection) -> None:
            rungs = self._rows.attribute(connection, row, RUNGS) or []
            if asdict(rung) not in rungs:
                self._rows.set_attribute(connection, row, RUNGS, [*rungs, asdict(rung)])

        self._commit(keep)

    def finish(self, record: TrialRecord) -> TrialRecord:
        """Write a finished trial; returns the record that counts, another driver's where that came first."""
        row = self._places[record.number]
        counted = self._commit(lambda connection: self._finished(connection, row, record))
        del self._places[record.number]
        return counted

    def refuse(
        self, policy: PrecisionPolicy, violations: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> None:
        """Write down that a policy was proposed and not trained, for its known costs."""
        refused = self._refused(policy, violations, attributes)
        self._commit(lambda connection: self._rows.add(connection, refused))

    def close(self) -> None:
        """Fold the journal back into the database."""
        self._engine.dispose()
        try:
            connection = self._connected(1)
            try:
                connection.execute("PRAGMA journal_mode=DELETE")
            finally:
                connection.close()
        except sqlite3.Error:
            return  # a reader is there, or the disk is full: the journal stays, and is read with the database

    def _opened(self) -> tuple[Engine, StudyRows]:
        require_sound(self._path)
        with self._translated():
            _make_wal(self._path)
            with quiet_optuna():
                engine, rows = open_study(
                    STUDY_NAME,
                    optuna_directions(self.objectives),
                    "sqlite://",
                    lambda: self._connected(LOCK_TIMEOUT_S, check_same_thread=False),
                    poolclass=QueuePool,
                )
            engine.dispose()
            event.listen(engine, "connect", _leave_syncing_to_the_journal)
        return engine, rows

    def _commit(self, step: Callable[[Connection], _T]) -> _T:
        """Do a step as one transaction.

        Not interrupted: a connection that is lost in the midst would keep `close` from folding the journal.
        """
        with uninterrupted(), self._translated(), self._engine.begin() as connection:
            return step(connection)

    def _stored(self, rows: list[StudyRow]) -> list[StoredTrial]:
        stored = []
        number = 0  # of the next trial, where none is begun twice
        for row in rows:
            record = self._record(row.user)
            begun = record.number if record is not None else self._begun_number(row)
            if record is not None:
                policy = record.policy
                stored.append(
                    StoredTrial(policy=policy, record=record, attributes=row.system, number=record.number)
                )
            elif row.state == TrialState.PRUNED:
                policy = self._policy(row.params)
                stored.append(StoredTrial(policy=policy, record=None, attributes=row.system, number=number))
            number = max(number, begun + 1)
        return stored

    def _begun_number(self, row: StudyRow) -> int:
        """The number of a trial that has not ended; -1 of a refused policy."""
        return self._running_trial(row).number if BEGUN in row.user else -1

    def _recovered(self, connection: Connection, written: Mapping[int, TrialRecord]) -> list[BegunTrial]:
        lost = []
        known = set()
        for row in self._rows.read(connection):
            record = self._record(row.user)
            if record is not None:
                known.add(record.number)
                if row.state == TrialState.RUNNING:  # of an mpsearch that ended a trial in two commits
                    self._end(connection, row.row, record)
            elif row.state == TrialState.RUNNING and BEGUN in row.user:
                trial = self._running_trial(row)
                if trial.number in written:
                    self._end(connection, row.row, written[trial.number])
                    known.add(trial.number)
                elif self._is_own(row):
                    self._places[trial.number] = row.row
                    lost.append(trial)
        for number in sorted(set(written) - known):
            self._adopt(connection, written[number])
        return lost

    def _is_own(self, row: StudyRow) -> bool:
        """Whether this driver began a running trial, in this process or in one that was killed."""
        begun = row.user.get(BEGUN)
        return isinstance(begun, dict) and begun.get("driver") == self.driver

    def _begun(
        self, connection: Connection, trial: BegunTrial, violations: Mapping[str, float], **notes: Any
    ) -> int:
        row = self._places.get(trial.number)
        begun = {"number": trial.number, "origin": trial.origin, **notes}
        if trial.seed is not None:
            begun["seed"] = trial.seed
        if row is not None:
            self._rows.set_attribute(connection, row, BEGUN, begun)
            return row
        return self._rows.add(
            connection,
            create_trial(
                state=TrialState.RUNNING,
                params=self._params(trial.policy),
                distributions=self.distributions,
                user_attrs={BEGUN: begun, RUNGS: [asdict(rung) for rung in trial.rungs]},
                constraints=dict(violations),
                system_attrs=dict(trial.attributes),
            ),
        )

    def _refused(
        self, policy: PrecisionPolicy, violations: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> FrozenTrial:
        return create_trial(
            state=TrialState.PRUNED,
            params=self._params(policy),
            distributions=self.distributions,
            constraints=dict(violations),
            system_attrs=dict(attributes),
        )

    def _finished(self, connection: Connection, row: int, record: TrialRecord) -> TrialRecord:
        if self._rows.state(connection, row) == TrialState.RUNNING:
            self._end(connection, row, record)
            return record
        counted = self._record({RECORD: self._rows.attribute(connection, row, RECORD)})
        if counted is None:  # somebody gave it up meanwhile: a finished trial counts all the same
            self._adopt(connection, record)
            return record
        return counted

    def _end(self, connection: Connection, row: int, record: TrialRecord) -> None:
        self._rows.set_attribute(connection, row, RECORD, record.to_dict())
        self._rows.end(connection, row, _ENDED[record.state], self._values(record))

    def _adopt(self, connection: Connection, record: TrialRecord) -> None:
        adopted = create_trial(
            state=_ENDED[record.state],
            values=self._values(record),
            params=self._params(record.policy),
            distributions=self.distributions,
            user_attrs={RECORD: record.to_dict()},
        )
        self._rows.add(connection, adopted)

    def _values(self, record: TrialRecord) -> list[float] | None:
        return [objective.of(record) for objective in self.objectives] if record.is_complete else None

    def _params(self, policy: PrecisionPolicy) -> dict[str, int]:
        return dict(zip(self.resolved.parameters, self.resolved.codes(policy).tolist(), strict=True))

    def _running_trial(self, row: StudyRow) -> BegunTrial:
        try:
            begun = row.user[BEGUN]
            seed = begun.get("seed")
            return BegunTrial(
                number=int(begun["number"]),
                policy=self._policy(row.params),
                origin=begun["origin"],
                attributes=row.system,
                rungs=tuple(Rung.from_dict(rung) for rung in row.user.get(RUNGS, ())),
                seed=None if seed is None else int(seed),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(
                f"A running trial in {self.where} must have what mpsearch writes; got {row.user!r:.200}. "
                "Restore the study, or search in another folder."
            ) from error

    def _policy(self, params: Mapping[str, int]) -> PrecisionPolicy:
        sizes = self.resolved.parameters
        if params.keys() != sizes.keys() or any(not 0 <= code < sizes[name] for name, code in params.items()):
            raise FormatError(
                f"The trials in {self.where} must belong to this space; got parameters {dict(params)!r:.99}. "
                "Search in another folder."
            )
        return self.resolved.policy([params[name] for name in sizes])

    def _record(self, attributes: Mapping[str, Any]) -> TrialRecord | None:
        if attributes.get(RECORD) is None:
            return None
        try:
            return TrialRecord.from_dict(attributes[RECORD])
        except FormatError as error:
            raise FormatError(f"{self.where}: {error}") from error

    def _connected(self, timeout_s: float, **options: Any) -> sqlite3.Connection:
        """To the database that is there: one that was moved or removed is not made anew in its old place."""
        place = f"{self._path.resolve().as_uri()}?mode=rw"
        connection: sqlite3.Connection = sqlite3.connect(place, uri=True, timeout=timeout_s, **options)
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Database errors, as ours."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
            raise translated(error, self._path) from error
        except (ValueError, LookupError, RuntimeError) as error:  # what Optuna makes of rows of another hand
            raise translated(error, self._path) from error


def distributions_of(resolved: ResolvedSpace) -> dict[str, BaseDistribution]:
    """One integer a choice: schemes and widths are ordered, and samplers should know."""
    return {name: IntDistribution(0, size - 1) for name, size in resolved.parameters.items()}


def optuna_directions(objectives: tuple[Objective, ...]) -> list[StudyDirection]:
    return [StudyDirection[objective.direction.upper()] for objective in objectives]


def _leave_syncing_to_the_journal(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _make_wal(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna announces each new study on the terminal."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
