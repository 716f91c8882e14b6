"""Tables of real trials: every policy of a small space, trained with several seeds; and what policies cost.

A table is `NAME.parquet`, one row a policy and seed: columns `layer.<choice>` (scheme), `score` (accuracy on
the validation split), `score_ptq` (calibrated, not trained), `score_short` (a quarter of the steps), `seed`
and `seconds`; `score_short`, `seconds_short` and `seconds_ptq` are of seed 0 only. Beside it lies
`NAME.costs.json`: choice -> scheme -> costs, measured.

Seconds are processor seconds of one thread by number of steps, as fitted to some trainings that are timed in
turns: what the clock said over the hours that a table takes would tell of other work on the machine.

Finished trials go to `NAME.jsonl` in the work folder at once; a killed process goes on from there.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from search_workloads import WORKLOADS, Workload

from mpsearch.atomic_file import append_line, write_atomically
from mpsearch.cost.cost_model import CostModel
from mpsearch.errors import ConfigError, TrialError
from mpsearch.models.trace import trace_model
from mpsearch.precision.scheme import scheme_named
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.search.nearest import did_you_mean
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.batched_trials import run_trials
from mpsearch.training.layout import prepare_model
from mpsearch.training.task import Task

TABLES = Path(__file__).with_name("tables")
_CALIBRATED, _SHORT, _FULL = "ptq", "short", "full"
_TIMED_BATCHES, _TIMED_ROUNDS = 2, 3

Row = dict[str, Any]


def measure_costs(name: str, folder: Path = TABLES) -> None:
    """Time each choice at each scheme on this machine, all others at the same, and write the cost file."""
    workload = WORKLOADS[name]
    task = workload.task()
    model = prepare_model(task.new_model())
    trace = trace_model(model, task.example_inputs)
    schemes = {layer: (scheme_named(pinned),) for layer, pinned in workload.pinned.items()}
    for layers, offered in workload.choices.values():
        schemes |= dict.fromkeys(layers, tuple(map(scheme_named, offered)))
    profiled = ProfiledModel(
        model=model, example_inputs=tuple(task.example_inputs), trace=trace, schemes=schemes, label=name
    )
    profile = profile_machine(name=name, threads=1, models=[profiled])
    costs = CostModel.build(trace, schemes_per_layer=schemes, profile=profile)
    table: dict[str, dict[str, dict[str, float]]] = {choice: {} for choice in workload.choices}
    for scheme in sorted({scheme for _, offered in workload.choices.values() for scheme in offered}):
        names = {
            choice: scheme if scheme in offered else offered[-1]
            for choice, (_, offered) in workload.choices.items()
        }
        of_layer = {cost.name: cost for cost in costs.evaluate(workload.policy(names)).layers}
        for choice, (layers, offered) in workload.choices.items():
            if scheme in offered:
                table[choice][scheme] = {
                    "latency_s": sum(of_layer[layer].latency_s for layer in layers),
                    "memory_bytes": sum(of_layer[layer].memory_bytes for layer in layers),
                    "energy_j": sum(of_layer[layer].energy_j for layer in layers),
                }
    write_atomically(folder / f"{name}.costs.json", json.dumps(table, indent=1) + "\n")


def make_tables(names: Sequence[str], work: Path, folder: Path = TABLES) -> None:
    """Those named, or all; what they cost is measured where it is not yet.

    Raises: ConfigError if there is no such table.
    """
    for name in names:
        if name not in WORKLOADS:
            raise ConfigError(
                f"A table to make must be one of {', '.join(WORKLOADS)}; got {name!r}."
                f"{did_you_mean(name, WORKLOADS)}"
            )
    for name in names or WORKLOADS:
        if not (folder / f"{name}.costs.json").exists():
            measure_costs(name, folder)
        make_table(name, work, folder)


def make_table(name: str, work: Path, folder: Path = TABLES) -> None:
    """Train what the work folder lacks, then write the table."""
    workload = WORKLOADS[name]
    torch.set_num_threads(1)
    task = workload.task()
    baseline = trained_baseline(task)
    journal = work / f"{name}.jsonl"
    work.mkdir(parents=True, exist_ok=True)
    order = _shuffled(workload)
    passes = [(seed, _FULL) for seed in range(workload.seeds)]
    passes[1:1] = [(0, _SHORT), (0, _CALIBRATED)]
    for seed, kind in passes:
        done = {tuple(row["codes"]) for row in _rows(journal) if (row["seed"], row["kind"]) == (seed, kind)}
        left = [codes for codes in order if codes not in done]
        started, count = time.monotonic(), 0
        for together in _batches(left, workload.batch):
            for row in _trained(workload, task, baseline, together, (seed, kind)):
                append_line(journal, json.dumps(row))
            count += len(together)
            each = (time.monotonic() - started) / count
            print(
                f"\r{name} seed {seed} {kind}: {len(done) + count}/{len(order)}, {each:.2f} s each, "
                f"{each * (len(left) - count) / 60:.0f} min left ",
                end="",
                flush=True,
            )
        print(flush=True)
    if not _seconds_file(name, work).exists():
        measure_seconds(name, work)
    write_table(name, work, folder)


def measure_seconds(name: str, work: Path) -> None:
    """Time some trainings at each share of the steps, and write what one takes besides and per step."""
    workload = WORKLOADS[name]
    torch.set_num_threads(1)
    task = workload.task()
    baseline = trained_baseline(task)
    batches = list(_batches(_shuffled(workload), workload.batch))[:_TIMED_BATCHES]
    counts, spent = [], []
    for _ in range(_TIMED_ROUNDS):
        for together in batches:
            policies = [workload.policy(_names(workload, codes)) for codes in together]
            for share in _shares(workload).values():
                started = time.process_time()
                run_trials(task, baseline, policies, workload.recipe, share=share, seed=0)
                spent.append(time.process_time() - started)
                steps = [workload.recipe.steps_for(policy, share) for policy in policies]
                counts.append([len(policies), sum(steps)])
    besides, step = np.linalg.lstsq(np.array(counts, dtype=np.float64), np.array(spent), rcond=None)[0]
    found = {"besides_s": float(besides), "step_s": float(step)}
    write_atomically(_seconds_file(name, work), json.dumps(found) + "\n")


def write_table(name: str, work: Path, folder: Path = TABLES) -> None:
    """The table of what is in the work folder."""
    workload = WORKLOADS[name]
    rows = _rows(work / f"{name}.jsonl")
    timed = json.loads(_seconds_file(name, work).read_text(encoding="utf-8"))

    def seconds(codes: tuple[int, ...], kind: str) -> float:
        steps = workload.recipe.steps_for(workload.policy(_names(workload, codes)), _shares(workload)[kind])
        return float(timed["besides_s"] + steps * timed["step_s"])

    lower = {(row["kind"], tuple(row["codes"])): row for row in rows if row["kind"] != _FULL}
    records = []
    for row in rows:
        if row["kind"] != _FULL:
            continue
        codes, is_first = tuple(row["codes"]), row["seed"] == 0
        at_short = lower.get((_SHORT, codes), {}) if is_first else {}
        calibrated = lower.get((_CALIBRATED, codes), {}) if is_first else {}
        records.append(
            {
                **{f"layer.{choice}": scheme for choice, scheme in _names(workload, row["codes"]).items()},
                "seed": row["seed"],
                "score": row["score"],
                "score_ptq": row["score_ptq"],
                "score_short": at_short.get("score"),
                "seconds": seconds(codes, _FULL),
                "seconds_ptq": seconds(codes, _CALIBRATED) if calibrated else None,
                "seconds_short": seconds(codes, _SHORT) if at_short else None,
            }
        )
    frame = pd.DataFrame(records)
    layers = [column for column in frame.columns if column.startswith("layer.")]
    frame = frame.sort_values([*layers, "seed"], ignore_index=True)
    for column in layers:
        frame[column] = frame[column].astype("category")
    for column in (column for column in frame.columns if column.startswith(("score", "seconds"))):
        frame[column] = frame[column].astype("float32")
    frame["seed"] = frame["seed"].astype("int8")
    folder.mkdir(exist_ok=True)
    frame.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)


def _trained(
    workload: Workload, task: Task, baseline: Baseline, together: list[tuple[int, ...]], done: tuple[int, str]
) -> Iterator[Row]:
    seed, kind = done
    policies = [workload.policy(_names(workload, codes)) for codes in together]
    share = _shares(workload)[kind]
    results = run_trials(task, baseline, policies, workload.recipe, share=share, seed=seed)
    for codes, result in zip(together, results, strict=True):
        if isinstance(result, TrialError):
            raise result
        yield {
            "codes": list(codes),
            "seed": seed,
            "kind": kind,
            "score": result.score,
            "score_ptq": result.calibrated_score,
            "seconds": round(result.seconds, 4),
        }


def _shares(workload: Workload) -> dict[str, float]:
    """Fidelity -> share of a full trial's steps."""
    return {_CALIBRATED: 0.0, _SHORT: workload.short, _FULL: 1.0}


def _seconds_file(name: str, work: Path) -> Path:
    return work / f"{name}.seconds.json"


def _shuffled(workload: Workload) -> list[tuple[int, ...]]:
    """All policies, so that part of a table is a fair sample of it."""
    sizes = [range(len(offered)) for _, offered in workload.choices.values()]
    every = list(itertools.product(*sizes))
    return [every[place] for place in np.random.default_rng(0).permutation(len(every))]


def _names(workload: Workload, codes: list[int] | tuple[int, ...]) -> dict[str, str]:
    return {
        choice: offered[code]
        for (choice, (_, offered)), code in zip(workload.choices.items(), codes, strict=True)
    }


def _batches(items: list[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _rows(journal: Path) -> list[Row]:
    """What is in the journal; a torn last line is left out."""
    found = []
    for line in journal.read_text().splitlines() if journal.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
