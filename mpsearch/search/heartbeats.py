"""Signs of life of the trials of a shared study, by the clock of its database."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import suppress

from optuna.storages._rdb import models
from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

HEARTBEAT_S = 10.0
GRACE_S = 60.0
_LONGEST_STOP_S = 5.0
_HEARTBEATS: Table = models.TrialHeartbeatModel.__table__
_NOW = func.timezone("UTC", func.clock_timestamp())


class Heart:
    """Renews the heartbeats of `rows`, in a thread; an outage shorter than `GRACE_S` does no harm."""

    def __init__(self, engine: Engine) -> None:
        self.rows: set[int] = set()
        self._engine = engine
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=_LONGEST_STOP_S)  # a server that hangs may hold it longer

    def _run(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S):
            rows = list(self.rows)
            if rows:
                with suppress(SQLAlchemyError), self._engine.begin() as connection:
                    beat(connection, rows)


def beat(connection: Connection, rows: Sequence[int]) -> None:
    """Renew the heartbeats of these rows."""
    beats = insert(_HEARTBEATS).values([{"trial_id": row, "heartbeat": _NOW} for row in rows])
    renewed = {"heartbeat": beats.excluded.heartbeat}
    connection.execute(beats.on_conflict_do_update(index_elements=["trial_id"], set_=renewed))


def silent_rows(connection: Connection, rows: Collection[int]) -> set[int]:
    """Those of the rows whose heartbeat was not renewed for `GRACE_S`."""
    if not rows:
        return set()
    renewed = select(_HEARTBEATS.c.trial_id).where(
        _HEARTBEATS.c.trial_id.in_(rows),
        _HEARTBEATS.c.heartbeat >= _NOW - func.make_interval(0, 0, 0, 0, 0, 0, GRACE_S),
    )
    return set(rows) - set(connection.execute(renewed).scalars())


def forget(connection: Connection, rows: Collection[int]) -> None:
    """Let other drivers take these rows up at once."""
    connection.execute(_HEARTBEATS.delete().where(_HEARTBEATS.c.trial_id.in_(list(rows))))
