"""The rows of an Optuna study, read and written in one commit a step.

The tables are Optuna's own (schema of its RDBStorage), so `optuna.load_study` and its dashboard read them.
Optuna's own code takes 60 statements to write a trial of 20 layers and builds every parameter of every trial
as an object to read them: `benchmarks/storage.py` compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, or_, select, update

from mpsearch.search.stored_json import parsed_json
from mpsearch.search.stored_records import RECORD

_TRIALS = models.TrialModel.__table__
_USER = models.TrialUserAttributeModel.__table__
_SYSTEM = models.TrialSystemAttributeModel.__table__
_PARAMS = models.TrialParamModel.__table__
_VALUES = models.TrialValueModel.__table__
_STUDIES = models.StudyModel.__table__


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One trial as the study has it; `row` is its id there.

    `user` and `system` are its attributes, constraints left out; `params` are empty where there is a record,
    which holds the policy.
    """

    row: int
    state: TrialState
    user: Mapping[str, Any]
    system: Mapping[str, Any]
    params: Mapping[str, int]


class StudyRows:
    """The trials of one study; each method is a part of the transaction that the connection is in."""

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id

    def read(
        self, connection: Connection, *, above: int | None = None, among: Collection[int] = ()
    ) -> list[StudyRow]:
        """All rows in the order in which they were made; or those after row `above`, and those of `among`."""
        chosen: ColumnElement[bool] = _TRIALS.c.study_id == self.study_id
        if above is not None:
            chosen &= or_(_TRIALS.c.trial_id > above, _TRIALS.c.trial_id.in_(among))
        query = select(_TRIALS.c.trial_id, _TRIALS.c.state).where(chosen).order_by(_TRIALS.c.trial_id)
        states: dict[int, TrialState] = {found.trial_id: found.state for found in connection.execute(query)}
        if not states:
            return []
        user: dict[int, dict[str, Any]] = {row: {} for row in states}
        system: dict[int, dict[str, Any]] = {row: {} for row in states}
        params: dict[int, dict[str, int]] = {row: {} for row in states}
        # Parameters first: where another driver ends a trial meanwhile, it has both these and a record.
        recorded = select(_USER.c.trial_id).where(_USER.c.key == RECORD)
        codes = select(_PARAMS.c.trial_id, _PARAMS.c.param_name, _PARAMS.c.param_value).join(_TRIALS)
        for row, name, value in connection.execute(codes.where(chosen, _PARAMS.c.trial_id.not_in(recorded))):
            if row in params:
                params[row][name] = int(value)
        for table, found in ((_USER, user), (_SYSTEM, system)):
            attributes = select(table.c.trial_id, table.c.key, table.c.value_json).join(_TRIALS)
            wanted = table.c.key.not_like("constraints%")
            for row, key, text in connection.execute(attributes.where(chosen, wanted)):
                if row in found:  # a row of another driver may have come since
                    found[row][key] = parsed_json(text)
        return [
            StudyRow(row=row, state=state, user=user[row], system=system[row], params=params[row])
            for row, state in states.items()
        ]

    def add(self, connection: Connection, trial: FrozenTrial) -> int:
        """Make a row of a trial of `optuna.trial.create_trial`; returns its id.

        The study is locked until the commit, where the database can: ids then grow in the order of commits.
        """
        connection.execute(
            select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == self.study_id).with_for_update()
        )
        last = select(func.max(_TRIALS.c.number)).where(_TRIALS.c.study_id == self.study_id)
        number = connection.execute(last).scalar()
        now = datetime.now(UTC).replace(tzinfo=None)
        made = connection.execute(
            insert(_TRIALS).values(
                number=0 if number is None else number + 1,
                study_id=self.study_id,
                state=trial.state,
                datetime_start=now,
                datetime_complete=now if trial.state.is_finished() else None,
            )
        )
        row: int = made.inserted_primary_key[0]  # type: ignore[index]  # an insert has one
        params = [
            {
                "trial_id": row,
                "param_name": name,
                "param_value": distribution.to_internal_repr(trial.params[name]),
                "distribution_json": optuna.distributions.distribution_to_json(distribution),
            }
            for name, distribution in trial.distributions.items()
        ]
        for table, values in (
            (_PARAMS, params),
            (_USER, _attributes(row, trial.user_attrs)),
            (_SYSTEM, _attributes(row, trial.system_attrs)),
            (_VALUES, _values(row, trial.values)),
        ):
            if values:
                connection.execute(insert(table), values)
        return row

    def state(self, connection: Connection, row: int) -> TrialState:
        """The state of a row, which nobody else changes until the commit, where the database can lock it."""
        query = select(_TRIALS.c.state).where(_TRIALS.c.trial_id == row).with_for_update()
        state: TrialState = connection.execute(query).scalar_one()
        return state

    def attribute(self, connection: Connection, row: int, key: str) -> Any:
        """A user attribute; None where there is none."""
        query = select(_USER.c.value_json).where(_USER.c.trial_id == row, _USER.c.key == key)
        text = connection.execute(query).scalar()
        return None if text is None else parsed_json(text)

    def set_attribute(self, connection: Connection, row: int, key: str, value: Any) -> None:
        connection.execute(delete(_USER).where(_USER.c.trial_id == row, _USER.c.key == key))
        connection.execute(insert(_USER), _attributes(row, {key: value}))

    def end(
        self, connection: Connection, row: int, state: TrialState, values: Sequence[float] | None = None
    ) -> None:
        if values:
            connection.execute(insert(_VALUES), _values(row, values))
        now = datetime.now(UTC).replace(tzinfo=None)
        ended = update(_TRIALS).where(_TRIALS.c.trial_id == row)
        connection.execute(ended.values(state=state, datetime_complete=now))


def open_study(
    name: str,
    directions: Sequence[StudyDirection],
    url: str,
    connect: Callable[[], Any],
    **engine_options: Any,
) -> tuple[Engine, StudyRows]:
    """The study of that name, made where there is none, and the engine of its database.

    `url` names the kind of database only: connections come from `connect`, so that neither a path with braces
    nor a password goes through Optuna.
    """
    options = {"creator": connect, "hide_parameters": True, **engine_options}
    storage = RDBStorage(url, engine_kwargs=options)
    study = optuna.create_study(
        study_name=name, storage=storage, directions=list(directions), load_if_exists=True
    )
    storage.remove_session()
    engine: Engine = storage.engine
    return engine, StudyRows(study._study_id)


def _attributes(row: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"trial_id": row, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
    ]


def _values(row: int, values: Sequence[float] | None) -> list[dict[str, Any]]:
    stored = []
    for objective, value in enumerate(values or ()):
        shown, kind = models.TrialValueModel.value_to_stored_repr(value)
        stored.append({"trial_id": row, "objective": objective, "value": shown, "value_type": kind})
    return stored
