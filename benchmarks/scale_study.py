"""A study of ten thousand finished trials: how long it takes to open, to ask of, and to print."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from idle_work import IdleWork, score_of
from scale_task import instead_of_training, profile_of, space_of, twenty_layers

from mpsearch.models.trace import trace_model
from mpsearch.search.engine import run_search
from mpsearch.search.journal import Journal
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.proposer import Proposer
from mpsearch.search.reference_point import reference_point
from mpsearch.search.resolve import cost_model_of, resolve
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.samplers import GENERATION, SAMPLERS
from mpsearch.search.study import BegunTrial, StoredTrial, StudyStore
from mpsearch.search.trial_record import RECORD_SCHEMA, TrialRecord, now_utc

_ASKS = 9
_SEARCHED = 200  # trials that a search makes; the others are written without asking for them
_OPEN = "import sys; from mpsearch.search.run import load_run; print(len(load_run(sys.argv[1]).records))"


@dataclass(frozen=True)
class LongStudy:
    """A run folder with so many trials, made by a search whose trials take no time; made once."""

    trials: int = 10_000

    @cached_property
    def path(self) -> Path:
        """Makes the run where it is not there, or not complete: by a search, then by its journal alone."""
        path = Path(tempfile.gettempdir()) / f"mpsearch-scale-{self.trials}-schema{RECORD_SCHEMA}"
        if not (path / "run.json").exists():
            with instead_of_training(IdleWork()):
                run_search(
                    space_of(trials=_SEARCHED),
                    out=path,
                    profile=profile_of(twenty_layers()),
                    workers=0,
                )
        self._fill(RunFolder(path))
        return path

    def _fill(self, folder: RunFolder) -> None:
        """Trials next to the front that there is, begun and finished as a search does."""
        space = space_of(trials=self.trials)
        generator = np.random.default_rng(0)
        with self._store(folder) as store:
            reference = reference_point(space.objectives, self._known.greatest_costs())
            journal = Journal(folder, store, space, reference)
            codes_of = self._known.resolved.codes
            seen = {tuple(codes_of(record.policy).tolist()) for record in journal.records}
            for number in range(len(journal.records), self.trials):
                near = generator.choice(np.array([codes_of(r.policy) for r in journal.front.records[-50:]]))
                codes = self._known.random_neighbour(generator, space.budgets, seen, near)
                if codes is None:
                    codes = generator.integers(0, self._known.resolved.sizes)
                seen.add(tuple(codes.tolist()))
                begun = BegunTrial(
                    number=number,
                    policy=self._known.resolved.policy(codes),
                    origin="sampler",
                    attributes={GENERATION: number // 20},
                )
                store.begin(begun, {})
                weights = folder.checkpoints / f".{number}.part.safetensors"
                weights.write_bytes(b"")
                journal.add(self._scored(begun), weights)

    def seconds_to_read(self) -> float:
        """A fresh process reads the run, its own start and imports included."""
        return _seconds([sys.executable, "-c", _OPEN, str(self.path)])

    def seconds_to_print(self) -> float:
        """`mpsearch pareto`, its own start and imports included."""
        return _seconds([sys.executable, "-m", "mpsearch", "pareto", str(self.path)])

    def seconds_to_open(self) -> float:
        """What a search that goes on does with the study before its first trial."""
        space, folder = space_of(trials=self.trials), RunFolder(self.path)
        reference = reference_point(space.objectives, self._known.greatest_costs())
        start = time.perf_counter()
        with self._store(folder) as store:
            store.recover(folder.written_records())
            journal = Journal(folder, store, space, reference)
            journal.repair()
            self._proposer(journal.history, "tpe")
        return time.perf_counter() - start

    def seconds_to_ask(self, sampler: str) -> Iterator[float]:
        """Of each of several proposals, each trial finished before the next is asked for."""
        with self._store(RunFolder(self.path)) as store:
            proposer = self._proposer(store.history(), sampler)
        for number in range(self.trials, self.trials + _ASKS):
            start = time.perf_counter()
            begun, _ = proposer.propose(number)
            yield time.perf_counter() - start
            if begun is None:
                raise RuntimeError(f"The sampler {sampler} proposes nothing more.")
            proposer.finish(self._scored(begun))

    def _store(self, folder: RunFolder) -> StudyStore:
        return StudyStore(folder.database, self._known.resolved, space_of(trials=self.trials).objectives)

    def _proposer(self, history: list[StoredTrial], sampler: str) -> Proposer:
        space = space_of(trials=self.trials)
        return Proposer(
            self._known,
            self._known,
            objectives=space.objectives,
            budgets=space.budgets,
            overrides=space.overrides,
            sampler=SAMPLERS[sampler],
            seed=0,
            history=history,
        )

    @cached_property
    def _known(self) -> KnownCosts:
        task = twenty_layers()
        trace = trace_model(task.build_model(), task.example_inputs)
        space = space_of(trials=self.trials)
        return KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile_of(task)))

    def _scored(self, begun: BegunTrial) -> TrialRecord:
        score = score_of(begun.policy)
        return TrialRecord(
            number=begun.number,
            policy=begun.policy,
            state="complete",
            score=score,
            loss=1 - score,
            costs=self._known.costs(begun.policy),
            feasible=True,
            seconds=0.0,
            steps=1,
            seed=0,
            origin=begun.origin,
            started=now_utc(),
            ended=now_utc(),
        )


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
