"""Finished training runs, one a line of a file that is only appended to; and who is training which now."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qat_run import Run

from mpsearch.atomic_file import append_line

# Seconds of one step where the journal does not know any: of two busy cores.
_STEP_S = {"digits-cnn": 0.02, "digits-mlp": 0.01, "speech": 0.1, "shakespeare": 0.4}
_OTHER_STEP_S = 0.8
_BESIDE_STEPS_S = 10.0  # calibration and scoring of a model that the journal does not know

Record = dict[str, Any]


class Journal:
    """The runs of a file, read again whenever it is asked: several processes may add to it.

    The trained 32-bit models lie beside it, so that runs of a later sitting start from the same weights.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent

    def records(self) -> list[Record]:
        """Those whose 32-bit baseline is the last one trained for their workload; a torn line is left out."""
        found: list[Record] = []
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:  # a kill while it was written
                continue
        newest = {record["workload"]: record["baseline"]["key"] for record in found}
        return [record for record in found if record["baseline"]["key"] == newest[record["workload"]]]

    def finished(self) -> dict[str, Record]:
        """Key -> record."""
        return {record["key"]: record for record in self.records()}

    def add(self, record: Record) -> None:
        append_line(self.path, json.dumps(record, separators=(",", ":")))

    def estimated_seconds(self, run: Run, records: list[Record]) -> float:
        """From finished runs of the workload, best of the same rule; steps are trusted to take alike."""
        steps = run.share * run.most_steps
        of_workload = [r for r in records if r["workload"] == run.workload.name and r["steps"]]
        alike = [r for r in of_workload if r["rule"] == str(run.rule)] or of_workload
        if not alike:
            return _BESIDE_STEPS_S + steps * _STEP_S.get(run.workload.name, _OTHER_STEP_S)
        beside = min(r["seconds_beside"] for r in alike)
        return float(beside + steps * statistics.median(r["seconds_training"] / r["steps"] for r in alike))

    @contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Whether this process may train the run now: false while another one does. A kill lets go."""
        folder = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
        place = Path(tempfile.gettempdir()) / f"mpsearch-qat-{os.getuid()}-{folder}"
        place.mkdir(mode=0o700, exist_ok=True)
        with (place / key).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
