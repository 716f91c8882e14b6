"""What a search writes while it runs, in an order in which it may be killed at any point."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mpsearch.atomic_file import parts_in, parts_of, storing, write_atomically
from mpsearch.errors import StorageError
from mpsearch.search.best_trial import best_of
from mpsearch.search.constrained import deciding_budgets
from mpsearch.search.events import (
    Event,
    Notice,
    RungFinished,
    SearchFinished,
    SearchStarted,
    StageStarted,
    TrialFinished,
)
from mpsearch.search.front_keeper import FrontKeeper
from mpsearch.search.repeated_trials import PolicyScores
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space import SearchSpace
from mpsearch.search.study import StudyStore
from mpsearch.search.tables import front_csv
from mpsearch.search.trial_record import TrialRecord, after_share, now_utc


class Journal:
    """Records, weights of the front and front.csv of one run; `front` and `records` mirror them in memory.

    `records` has each training, in the order of numbers up to here, then as they end; the front has one point
    a policy, with the mean of its `scores`.

    A finished trial: (1) its weights get their final name, (2) trials.jsonl, which is synced: from then on it
    counts, whatever the study's database does; (3) the study, (4) front.csv, (5) weights that left the front
    are removed. Whatever is missing after a kill is put right by `StudyStore.recover` and `repair`. Weights
    are kept for the front with and without overrides, which may be lifted.
    """

    def __init__(
        self, folder: RunFolder, store: StudyStore, space: SearchSpace, reference: Mapping[str, float]
    ) -> None:
        self.folder = folder
        self._inode = _inode(folder.path)
        self._store = store
        self._space = space
        self.history = store.history()  # once: ten thousand trials take half a second to read
        self.records = sorted(
            (stored.record for stored in self.history if stored.record is not None),
            key=lambda record: record.number,
        )
        self.scores = PolicyScores(self.records)
        self._reference = reference
        self.front = self._whole_front()

    def _whole_front(self) -> FrontKeeper:
        space = self._space
        deciding = deciding_budgets(space.objectives, space.budgets)
        scores = self.scores.records
        return FrontKeeper(space.objectives, self._reference, scores, space.overrides, deciding)

    def repair(self) -> None:
        """Make the other files agree with the study."""
        self.folder.rewrite_records(self.records)
        self._write_front()
        keep = {self.folder.checkpoint(number) for number in self.front.lasting}
        with storing(self.folder.checkpoints):
            for path in self.folder.checkpoints.iterdir():
                if path not in keep:
                    path.unlink(missing_ok=True)
        with storing(self.folder.path):
            for part in parts_in(self.folder.path):
                part.unlink(missing_ok=True)

    def add(self, record: TrialRecord, weights: Path) -> TrialRecord:
        """Write a finished trial; returns the record that counts, as `StudyStore.finish`."""
        if _inode(self.folder.path) != self._inode:
            raise StorageError(
                f"{self.folder.path} must stay where it is while a search writes to it; it was moved or "
                "removed. Give the command again, with its new place as --out."
            )
        kept = self.folder.checkpoint(record.number)
        # The weights of a point are those of its first training.
        is_kept = (
            not self.scores.is_repeat(record) and record.number in self.front.with_record(record).lasting
        )
        with storing(weights):
            if is_kept:
                weights.replace(kept)
            else:
                for left in (weights, *parts_of(weights)):  # a worker may have died while it wrote
                    left.unlink(missing_ok=True)
        self.folder.append_record(record)
        counted = self._store.finish(record)
        if counted != record:
            with storing(kept):
                kept.unlink(missing_ok=True)
            self.folder.rewrite_records([*self.records, counted])
        self._count(counted)
        return counted

    def mirror(self, record: TrialRecord) -> TrialRecord:
        """Write a trial that another driver has finished, and that the study has."""
        self.folder.append_record(record)
        self._count(record)
        return record

    def _count(self, record: TrialRecord) -> None:
        before = self.front.lasting
        is_repeat = self.scores.is_repeat(record)
        self.scores.add(record)
        self.front = self._whole_front() if is_repeat else self.front.with_record(record)
        self.records.append(record)
        if is_repeat or record.number in self.front.lasting:
            self._write_front()
            for number in before - self.front.lasting:
                with storing(self.folder.checkpoints):
                    self.folder.checkpoint(number).unlink(missing_ok=True)

    def without_weights(self) -> list[TrialRecord]:
        """Trials on the front that overrides or repeats put there, after their weights were removed."""
        return [
            record
            for record in self.front.records
            if record.driver == self._store.driver and not self.folder.checkpoint(record.number).exists()
        ]

    def keep_weights(self, number: int, weights: Path) -> None:
        """Of a trial that was trained again for them."""
        with storing(weights):
            weights.replace(self.folder.checkpoint(number))

    def best(self) -> TrialRecord | None:
        """The best trial that meets budgets and overrides."""
        feasible = [record for record in self.scores.records if self._space.admits(record)]
        return best_of(feasible, self._space.objectives)

    def _write_front(self) -> None:
        write_atomically(
            self.folder.front_file,
            front_csv(sorted(self.front.records, key=lambda r: (r.latency_s, r.number))),
        )


def _inode(folder: Path) -> int | None:
    """What tells a folder from another that was made in its place."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


class Log:
    """log.txt: a line for each event that a person may ask about later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: Event) -> None:
        text = _line(event)
        if text is not None:
            self.write(text)

    def write(self, text: str) -> None:
        with storing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{now_utc()} {text}\n")


def _line(event: Event) -> str | None:
    match event:
        case StageStarted(detail=detail):
            return detail
        case Notice(message=message, is_warning=is_warning):
            return f"warning: {message}" if is_warning else message
        case SearchStarted():
            return (
                f"search: {event.finished} of {event.total} trials there, {event.policies} policies, "
                f"budgets: {event.budgets}, overrides: {event.overrides}, workers: {event.workers}, "
                f"baseline {event.baseline_score:.4f}"
            )
        case TrialFinished(record=record):
            counts = " ".join(f"{n}x{scheme.name}" for scheme, n in record.policy.counts().items())
            answer = f"failed: {record.failure}"
            if record.is_complete:
                answer = f"accuracy {record.accuracy:.4f}"
            elif record.is_stopped:
                answer = f"stopped {after_share(record.rungs[-1].share)}"
            mark = ", on the front" if event.on_front else ""
            return (
                f"trial {record.number} ({record.origin}, {counts}): {answer}{mark}; "
                f"{record.seconds:.1f} s; hypervolume {event.hypervolume:.4f}"
            )
        case RungFinished(number=number, rung=rung):
            return f"trial {number}: accuracy {rung.score:.4f} {after_share(rung.share)}"
        case SearchFinished(message=message):
            return message
        case _:
            return None
