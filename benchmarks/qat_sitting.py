"""One sitting of `benchmarks/qat.py`: makes what is left of its runs until the time is over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from qat_journal import Journal, Record
from qat_run import Run
from qat_training import Prepared, first_losses, prepare, train, train_in_new_process

MOST_APART = 0.02  # of a loss: roundings, 16-bit products, and policies trained together


def sit(runs: Sequence[Run], journal: Journal, *, hours: float, threads: int, batch: int) -> None:
    """Make each run that no other process has made or is making; `batch` policies at a time where they are
    trained alike. A run that would, by its estimate, end after `hours` is not begun.
    """
    torch.set_num_threads(threads)
    ends = time.monotonic() + hours * 3600
    prepared: dict[str, Prepared] = {}
    for group in groups_alike(runs, batch):
        with ExitStack() as claims:
            mine = [run for run in group if claims.enter_context(journal.claimed(run.key))]
            finished = journal.finished()
            mine = [run for run in mine if run.key not in finished]
            records = list(finished.values())
            seconds = sum(journal.estimated_seconds(run, records) for run in mine)
            if not mine or time.monotonic() + seconds > ends:
                continue
            workload = mine[0].workload
            if mine[0].repeat:
                made = [train_in_new_process(run, journal.folder, threads) for run in mine]
            else:
                if workload.name not in prepared:
                    print(f"preparing {workload.name}: data and 32-bit baseline", flush=True)
                    # One at a time: data sets are large.
                    prepared = {workload.name: prepare(workload, journal.folder)}
                made = train(mine, prepared[workload.name])
            for run, record in zip(mine, made, strict=True):
                journal.add(record)
                print(f"{run}: {_ended(record)}", flush=True)


def stale(runs: Sequence[Run], journal: Journal) -> list[str]:
    """Finished settings whose first losses are others now: one run each is begun again, seed 0."""
    finished = journal.finished()
    probed: dict[str, Run] = {}
    for run in runs:
        if run.seed == 0 and finished.get(run.key, {}).get("first_losses"):
            probed.setdefault(f"{run.workload.name} {run.rule.inner} {sorted(run.settings.items())}", run)
    found: list[str] = []
    prepared: dict[str, Prepared] = {}
    for run in sorted(probed.values(), key=lambda run: run.workload.name):
        if run.workload.name not in prepared:
            prepared = {run.workload.name: prepare(run.workload, journal.folder)}
        was, now = finished[run.key]["first_losses"], first_losses(run, prepared[run.workload.name])
        if any(abs(one - two) > MOST_APART * abs(one) for one, two in zip(was, now, strict=True)):
            found.append(f"{run}: losses were {was}, are {now} (commit {finished[run.key]['commit']})")
    return found


def groups_alike(runs: Sequence[Run], batch: int) -> list[list[Run]]:
    """All runs, in order but for those that join an earlier one: up to `batch` that differ in policy only."""
    groups: list[list[Run]] = []
    open_groups: dict[str, list[Run]] = {}
    for run in runs:
        alike = f"{run.workload.name} {sorted(run.settings.items())} {run.share} {run.seed}"
        group = [] if run.repeat else open_groups.get(alike, [])
        if not group or len(group) == batch:
            groups.append(group := [])
        if not run.repeat:
            open_groups[alike] = group
        group.append(run)
    return groups


def _ended(record: Record) -> str:
    if "failure" in record:
        return str(record["failure"])
    return f"score {record['score']:.4f}, loss {record['loss']:.4f} ({record['seconds']:.0f} s)"
