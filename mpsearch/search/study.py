"""The truth on disk: an Optuna study in SQLite that one process writes.

SQLite is in WAL mode while a search runs: a commit then costs one append, not two synced files (18 ms a
trial of 20 layers against 80), and readers never hold the writer up. A commit survives kill -9; what a power
cut could take from it is in trials.jsonl, which is synced. On a clean close the journal is folded
back, so that a finished run is one plain file, readable from a read-only folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from mpsearch.errors import FormatError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import ResolvedSpace
from mpsearch.search.stored_records import LOCK_TIMEOUT_S, RECORD, require_sound, translated
from mpsearch.search.trial_record import Origin, Rung, TrialRecord

STUDY_NAME = "mpsearch"
_BEGUN = "begun"  # user attributes of a trial, beside RECORD
_RUNGS = "rungs"
_ENDED = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunTrial:
    """A trial that was given a number and has not ended.

    `attributes` are the sampler's own notes on it; `rungs` its scores at lower fidelities, lowest first.
    """

    number: int
    policy: PrecisionPolicy
    origin: Origin
    attributes: Mapping[str, Any]
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """What a sampler is told again when a search goes on: a record, or a policy refused for its costs."""

    policy: PrecisionPolicy
    record: TrialRecord | None
    attributes: Mapping[str, Any]


News = BegunTrial | TrialRecord  # of another driver: it has begun, or finished, a trial


class StudyStore:
    """One study in one database. Use as a context manager; only the holder of the run's lock may open it.

    Trial of the study = trial begun or policy refused; user attribute `begun` or `refused` holds number and
    origin, `rungs` its scores at lower fidelities, `record` the finished record. Parameters are codes of the
    choices.

    Raises: FormatError if the database is truncated or corrupt; StorageError if it cannot be written.
    """

    def __init__(self, path: Path, resolved: ResolvedSpace, objectives: tuple[Objective, ...]) -> None:
        self.path = path
        self.resolved = resolved
        self.objectives = objectives
        self.distributions = distributions_of(resolved)
        require_sound(path)
        with self._translated():
            self._storage = _open_storage(path)
            with quiet_optuna():
                self._study = optuna.create_study(
                    study_name=STUDY_NAME,
                    storage=self._storage,
                    directions=[objective.direction for objective in objectives],
                    load_if_exists=True,
                )
        self._places: dict[int, int] = {}  # our number -> the study's

    def __enter__(self) -> StudyStore:
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
        """Everything that the study knows, in the order in which it was begun."""
        with self._translated():
            trials = self._study.get_trials(deepcopy=False)
        stored = []
        for trial in trials:
            record = _record_of(trial.user_attrs, self.path)
            if record is None and trial.state != TrialState.PRUNED:
                continue
            policy = self._policy(trial.params)
            stored.append(StoredTrial(policy=policy, record=record, attributes=dict(trial.system_attrs)))
        return stored

    def recover(self, written: Mapping[int, TrialRecord]) -> list[BegunTrial]:
        """Make the study whole again after a kill or a power cut; return the trials to run again.

        `written`: the records of trials.jsonl. A power cut may have taken the study's last commits; what is
        in that file, which is synced, goes back in. A running trial whose record is known is completed. The
        others are failed in the study, to be begun anew under the same number.
        """
        lost = []
        with self._translated():
            known = {
                stored.record.number for stored in self.history() if stored.record is not None
            }  # running ones with a record included
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for trial in running:
                record = _record_of(trial.user_attrs, self.path)
                if record is not None:
                    self._tell(trial.number, record)
                    continue
                self._study.tell(trial.number, state=TrialState.FAIL)
                begun = trial.user_attrs.get(_BEGUN)
                if isinstance(begun, dict) and begun["number"] not in written:
                    lost.append(
                        BegunTrial(
                            number=int(begun["number"]),
                            policy=self._policy(trial.params),
                            origin=begun["origin"],
                            attributes=dict(trial.system_attrs),
                            rungs=_rungs_of(trial.user_attrs, self.path),
                        )
                    )
            for number in sorted(set(written) - known):
                self._adopt(written[number])
        return lost

    def begin(self, trial: BegunTrial, violations: Mapping[str, float]) -> None:
        """Write down that a trial runs, in one commit. `violations` are those of its known costs."""
        codes = self.resolved.codes(trial.policy)
        with self._translated():
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=self._params(codes),
                    distributions=self.distributions,
                    user_attrs={
                        _BEGUN: {"number": trial.number, "origin": trial.origin},
                        _RUNGS: [asdict(rung) for rung in trial.rungs],
                    },
                    constraints=dict(violations),
                    system_attrs=dict(trial.attributes),
                )
            )
            self._places[trial.number] = self._study.get_trials(deepcopy=False)[-1].number

    def keep_rung(self, number: int, rung: Rung) -> None:
        """Write down what a running trial scored at a lower fidelity; on disk when this returns."""
        with self._translated():
            trial_id = self._trial_id(self._places[number])
            rungs = self._storage.get_trial_user_attrs(trial_id)[_RUNGS]
            self._storage.set_trial_user_attr(trial_id, _RUNGS, [*rungs, asdict(rung)])

    def finish(self, record: TrialRecord) -> None:
        """Write a finished trial. It counts from the moment its record is in, the first commit of two."""
        place = self._places.pop(record.number)
        with self._translated():
            self._storage.set_trial_user_attr(self._trial_id(place), RECORD, record.to_dict())
            self._tell(place, record)

    def refuse(
        self, policy: PrecisionPolicy, violations: Mapping[str, float], attributes: Mapping[str, Any]
    ) -> None:
        """Write down that a policy was proposed and not trained, for its known costs."""
        with self._translated():
            self._study.add_trial(
                create_trial(
                    state=TrialState.PRUNED,
                    params=self._params(self.resolved.codes(policy)),
                    distributions=self.distributions,
                    constraints=dict(violations),
                    system_attrs=dict(attributes),
                )
            )

    def close(self) -> None:
        """Fold the journal back into the database."""
        with self._translated():
            self._storage.remove_session()
            self._storage.engine.dispose()
        try:
            connection = sqlite3.connect(self.path, timeout=1)
            try:
                connection.execute("PRAGMA journal_mode=DELETE")
            finally:
                connection.close()
        except sqlite3.Error:
            return  # a reader is there, or the disk is full: the journal stays, and is read with the database

    def _adopt(self, record: TrialRecord) -> None:
        self._study.add_trial(
            create_trial(
                state=_ENDED[record.state],
                values=self._values(record) if record.is_complete else None,
                params=self._params(self.resolved.codes(record.policy)),
                distributions=self.distributions,
                user_attrs={RECORD: record.to_dict()},
            )
        )

    def _values(self, record: TrialRecord) -> list[float]:
        return [objective.of(record) for objective in self.objectives]

    def _tell(self, place: int, record: TrialRecord) -> None:
        if record.is_complete:
            self._study.tell(place, self._values(record))
        else:
            self._study.tell(place, state=_ENDED[record.state])

    def _trial_id(self, place: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, place)

    def _params(self, codes: Any) -> dict[str, int]:
        return {choice.name: int(code) for choice, code in zip(self.resolved.choices, codes, strict=True)}

    def _policy(self, params: Mapping[str, Any]) -> PrecisionPolicy:
        try:
            return self.resolved.policy([int(params[choice.name]) for choice in self.resolved.choices])
        except (KeyError, IndexError) as error:
            raise FormatError(
                f"The trials in {self.path} must belong to this space; one does not ({error!r}). "
                "Search in another folder."
            ) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Database errors, as ours."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
            raise translated(error, self.path) from error


def distributions_of(resolved: ResolvedSpace) -> dict[str, BaseDistribution]:
    """One integer a choice: schemes are ordered, and samplers should know."""
    return {choice.name: IntDistribution(0, len(choice.schemes) - 1) for choice in resolved.choices}


def _open_storage(path: Path) -> optuna.storages.RDBStorage:
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    url = f"sqlite:///{path.resolve()}"
    _make_wal(path)
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_TIMEOUT_S}})
    storage.engine.dispose()
    event.listen(storage.engine, "connect", prepare)
    return storage


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


def _rungs_of(attributes: Mapping[str, Any], path: Path) -> tuple[Rung, ...]:
    try:
        return tuple(Rung.from_dict(rung) for rung in attributes.get(_RUNGS, ()))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _record_of(attributes: Mapping[str, Any], path: Path) -> TrialRecord | None:
    if RECORD not in attributes:
        return None
    try:
        return TrialRecord.from_dict(attributes[RECORD])
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
