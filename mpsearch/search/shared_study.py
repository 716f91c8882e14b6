"""One study that several drivers search at once, in PostgreSQL.

A driver proposes and begins a trial in one transaction that holds the study's lock, in which it has heard of
everything the others did: no number and no policy is given twice. A driver that falls asleep there loses its
transaction after a minute, and with it the lock. Trials end without the lock: the row of a trial takes one
record, the first that comes.

A running trial without a heartbeat (`heartbeats`) for `GRACE_S` may be taken up by another driver, in the
same row. Should the first only have slept, whichever finishes first counts.

While the server does not answer, steps are tried again for `OUTAGE_S`. Each may have been done before its
connection broke, so each can be done twice: a begun trial carries a token, a finished one its record.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

import optuna
import psycopg
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from mpsearch.errors import StorageError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.events import Notice, OnEvent
from mpsearch.search.heartbeats import Heart, beat, forget, silent_rows
from mpsearch.search.interrupts import end_if_asked
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import ResolvedSpace
from mpsearch.search.stored_records import BEGUN
from mpsearch.search.study import (
    BegunTrial,
    LostTrial,
    News,
    StoredTrial,
    StudyStore,
    optuna_directions,
    quiet_optuna,
)
from mpsearch.search.study_address import STUDY_LOCK, StudyAddress, unreachable
from mpsearch.search.study_rows import StudyRow, StudyRows, open_study
from mpsearch.search.trial_record import TrialRecord

OUTAGE_S = 300.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_STANDBY = "25006"  # SQLSTATE of a server that takes no writes just now
_LOST = ""  # in place of a token: told as lost

_T = TypeVar("_T")


class SharedStudy(StudyStore):
    """One driver's hold on the study; `emit` hears of outages.

    `driver` is its name, as records have it; `identity` tells two drivers of one name apart.

    Raises: StorageError if the server does not answer, at the start at once, later after `OUTAGE_S`.
    """

    def __init__(
        self,
        address: StudyAddress,
        name: str,
        *,
        driver: str,
        identity: str,
        resolved: ResolvedSpace,
        objectives: tuple[Objective, ...],
        emit: OnEvent,
    ) -> None:
        self.driver = driver
        self._identity = identity
        self._address = address
        self._name = name
        self._emit = emit
        self._held: Connection | None = None  # the transaction of a turn
        self._unheard: list[News] = []
        self._pending: list[Callable[[Connection], object]] = []  # to be written with the turn
        self._above = -1  # the last row that was read
        self._open: dict[int, str] = {}  # row of another driver's running trial -> its token as it was told
        self._ended: set[int] = set()  # numbers
        self._history: list[StoredTrial] | None = None
        self._hold(f"study {name!r} at {address}", resolved, objectives)
        self._heart = Heart(self._engine)

    @contextmanager
    def turn(self) -> Iterator[list[News]]:
        """As `StudyStore.turn`, under the study's lock, which `begin` gives back."""
        self._retried(self._take_turn)
        news, self._unheard = self._unheard, []
        try:
            yield news
        finally:
            self._end_turn()
        if self._pending:  # and nothing was begun
            self._commit(self._write_pending)

    def history(self) -> list[StoredTrial]:
        """As `StudyStore.history`; after `recover`, what had ended by then: the rest is news."""
        return super().history() if self._history is None else self._history

    def recover(self, written: Mapping[int, TrialRecord]) -> list[BegunTrial]:
        """As `StudyStore.recover`, of this driver's own trials."""

        def step(connection: Connection) -> list[BegunTrial]:
            self._lock(connection)
            self._places.clear()
            lost = self._recovered(connection, written)
            rows = self._rows.read(connection)
            self._history = self._stored(rows)
            self._ended = {told.record.number for told in self._history if told.record is not None}
            self._above, self._open, self._unheard = -1, {}, []
            self._hear(connection, rows)
            return lost

        return self._commit(step)

    def begin(self, trial: BegunTrial, violations: Mapping[str, float]) -> bool:
        """As `StudyStore.begin`, within `turn`, which ends with it."""
        token = secrets.token_hex(8)

        def step() -> int | None:
            if self._held is None:  # the connection broke, and with it the lock: look again before writing
                self._take_turn()
                row = self._row_of(self._turn, token)
                if row is not None:
                    return row
                if any(_is_about(news, trial) for news in self._unheard):
                    return None
            row = self._written(self._turn, trial, violations, token)
            self._turn.commit()
            return row

        try:
            row = self._retried(step)
        finally:
            self._end_turn()
        self._pending.clear()
        if row is None:
            return False
        self._places[trial.number] = row
        self._heart.rows.add(row)
        return True

    def abandon(self, number: int) -> None:
        """As `StudyStore.abandon`, within `turn`."""
        row = self._places.pop(number, None)
        if row is not None:  # else who ran it has given it up already
            self._pending.append(lambda connection: self._give_up(connection, row))

    def finish(self, record: TrialRecord) -> TrialRecord:
        row = self._places[record.number]
        counted = super().finish(record)
        self._ended.add(record.number)
        self._heart.rows.discard(row)
        return counted

    def refuse(
        self, policy: PrecisionPolicy, violations: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> None:
        """As `StudyStore.refuse`, within `turn`."""
        refused = self._refused(policy, violations, attributes)
        self._pending.append(lambda connection: self._rows.add(connection, refused))

    def close(self) -> None:
        """Stop the heart; what runs here may be taken up at once."""
        self._heart.stop()
        self._end_turn()
        with suppress(SQLAlchemyError), self._engine.begin() as connection:
            forget(connection, self._heart.rows)
        self._engine.dispose()

    def _opened(self) -> tuple[Engine, StudyRows]:
        return _open(self._address, self._name, self.objectives)

    def _is_own(self, row: StudyRow) -> bool:
        begun = row.user.get(BEGUN)
        return isinstance(begun, dict) and begun.get("driver") == self._identity

    @property
    def _turn(self) -> Connection:
        assert self._held is not None, "only within `turn`"
        return self._held

    def _take_turn(self) -> None:
        self._held = self._engine.connect()
        self._lock(self._held)
        self._hear(self._held, self._rows.read(self._held, above=self._above, among=self._open))

    def _end_turn(self) -> None:
        if self._held is not None:
            with suppress(SQLAlchemyError):
                self._held.close()
            self._held = None

    def _lock(self, connection: Connection) -> None:
        lock = text("SELECT pg_advisory_xact_lock(:kind, :study)")
        connection.execute(lock, {"kind": STUDY_LOCK, "study": self._rows.study_id})

    def _hear(self, connection: Connection, rows: list[StudyRow]) -> None:
        """Make news of what other drivers' rows say now."""
        running = [row.row for row in rows if row.state == TrialState.RUNNING]
        silent = silent_rows(connection, running)
        for row in rows:
            self._above = max(self._above, row.row)
            record = self._record(row.user)
            if record is not None:
                self._open.pop(row.row, None)
                if record.number not in self._ended:
                    self._ended.add(record.number)
                    self._unheard.append(record)
            elif BEGUN in row.user and (row.row in self._open or not self._is_own(row)):
                self._hear_running(row, is_silent=row.row in silent)

    def _hear_running(self, row: StudyRow, *, is_silent: bool) -> None:
        told = self._open.get(row.row)
        token = str(row.user[BEGUN].get("token"))
        trial = self._running_trial(row)
        if row.state != TrialState.RUNNING:
            if self._open.pop(row.row, None) is not None:  # who ran it did not want it any more
                self._places.pop(trial.number, None)
                self._unheard.append(LostTrial(trial=trial))
        elif is_silent and told != _LOST:
            self._open[row.row] = _LOST
            self._places[trial.number] = row.row
            self._unheard.append(LostTrial(trial=trial))
        elif not is_silent and told != token:
            self._open[row.row] = token
            self._places.pop(trial.number, None)
            self._unheard.append(trial)

    def _written(
        self, connection: Connection, trial: BegunTrial, violations: Mapping[str, float], token: str
    ) -> int | None:
        """The row of the trial, begun; None if it was lost and another driver came first."""
        lost = self._places.get(trial.number)
        if lost is not None and not self._may_take(connection, lost):
            del self._places[trial.number]
            self._open.setdefault(lost, _LOST)  # what became of it will be news
            return None
        self._write_pending(connection)
        row = self._begun(connection, trial, violations, driver=self._identity, token=token)
        beat(connection, [row])
        self._open.pop(row, None)
        return row

    def _may_take(self, connection: Connection, row: int) -> bool:
        """Whether a lost trial is lost still."""
        if self._rows.state(connection, row) != TrialState.RUNNING:
            return False
        begun = self._rows.attribute(connection, row, BEGUN)
        return begun.get("driver") == self._identity or row in silent_rows(connection, [row])

    def _give_up(self, connection: Connection, row: int) -> None:
        if self._may_take(connection, row):
            self._rows.end(connection, row, TrialState.FAIL)
        self._open.pop(row, None)

    def _write_pending(self, connection: Connection) -> None:
        for write in self._pending:
            write(connection)

    def _row_of(self, connection: Connection, token: str) -> int | None:
        """The row that was begun with that token, if it was."""
        attributes = models.TrialUserAttributeModel
        query = select(attributes.trial_id).where(
            attributes.key == BEGUN, attributes.value_json.contains(token)
        )
        return connection.execute(query).scalar()

    def _commit(self, step: Callable[[Connection], _T]) -> _T:
        def whole() -> _T:
            with self._engine.begin() as connection:
                return step(connection)

        return self._retried(whole)

    def _retried(self, step: Callable[[], _T]) -> _T:
        """Do a step, again and again while the server does not answer."""
        given_up_at = None
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                with self._translated():
                    result = step()
            except _OutageError as outage:
                self._end_turn()
                if given_up_at is None:
                    given_up_at = time.monotonic() + OUTAGE_S
                    self._emit(
                        Notice(
                            message=f"{unreachable(self._address, outage.cause)} Trials in flight go on; it "
                            f"is tried again for {OUTAGE_S / 60:.0f} min.",
                            is_warning=True,
                        )
                    )
                elif time.monotonic() > given_up_at:
                    raise unreachable(self._address, outage.cause) from None
                end_if_asked()  # a finished trial is in trials.jsonl, and goes into the study another time
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                if given_up_at is not None:
                    self._emit(Notice(message="The study's server answers again."))
                return result

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if _is_outage(error):
                raise _OutageError(error) from error
            said = " ".join(str(_cause_of(error)).split())
            raise StorageError(
                f"The {self.where} must take what a search writes; got: {said}. Check the database; the "
                "search goes on where it was."
            ) from error


def make_study(address: StudyAddress, name: str, objectives: tuple[Objective, ...]) -> None:
    """Make the study, if it is not there yet.

    Raises: StorageError if the server does not answer or refuses.
    """
    engine, _ = _open(address, name, objectives)
    engine.dispose()


def _open(address: StudyAddress, name: str, objectives: tuple[Objective, ...]) -> tuple[Engine, StudyRows]:
    try:
        with closing(address.connect()) as connection:
            # Of two that make the tables or the study at once, one fails.
            connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [STUDY_LOCK])
            with quiet_optuna():
                directions = optuna_directions(objectives)
                return open_study(
                    name, directions, "postgresql+psycopg://", address.connect, pool_pre_ping=True
                )
    except (psycopg.Error, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise unreachable(address, _cause_of(error)) from None


class _OutageError(Exception):
    """The server does not answer, or not as it should, for the time being."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.cause = _cause_of(error)


def _is_about(news: News, trial: BegunTrial) -> bool:
    if isinstance(news, LostTrial):
        return False
    is_alike = (news.origin == "repeat") == (trial.origin == "repeat")
    return news.number == trial.number or (is_alike and news.policy == trial.policy)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, optuna.exceptions.StorageInternalError):
        return isinstance(error.__cause__, SQLAlchemyError) and _is_outage(error.__cause__)
    if not isinstance(error, DBAPIError):
        return False
    is_standby = getattr(error.orig, "sqlstate", None) == _STANDBY
    is_gone = isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated
    return is_gone or is_standby


def _cause_of(error: BaseException) -> BaseException:
    """What the database said: without the statement and its values."""
    inner = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    return getattr(inner, "orig", None) or inner or error
