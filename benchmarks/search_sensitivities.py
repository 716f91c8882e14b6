"""Which sensitivity ranks policies as training does?

Run: python benchmarks/search_sensitivities.py [--table NAME ...] [--methods M ...] [--json OUT]

Each method looks at the trained model of a table, and its numbers are summed for every policy. Lines hold
Spearman's rank correlation of these sums with the mean scores of the table: of all policies, of those
without a layer of one bit, and of the better half; and the processor seconds that the method took.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from search_policy_table import PolicyTable, read_table
from search_tables import TABLES
from search_workloads import WORKLOADS, Workload

from mpsearch.atomic_file import write_atomically
from mpsearch.precision.scheme import scheme_named
from mpsearch.search.proxy import Proxy
from mpsearch.search.sensitivity import SENSITIVITIES
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.sensitivity.probe import LoweredChoice, SensitivityProbe

Line = dict[str, Any]

ONE_BIT = "w1a"


def sensitivity_line(table: PolicyTable, workload: Workload, method: str) -> Line:
    """What one method says of one table's policies."""
    proxy, seconds = _measured(table, workload, method)
    expected = -proxy.evaluate(table.codes)
    scores = table.mean_scores
    has_one_bit = np.zeros(len(scores), dtype=bool)
    for choice, offered in enumerate(table.schemes):
        low = [place for place, scheme in enumerate(offered) if scheme.startswith(ONE_BIT)]
        has_one_bit |= np.isin(table.codes[:, choice], low)
    groups = {
        "all": np.ones(len(scores), dtype=bool),
        "without_one_bit": ~has_one_bit,
        "better_half": scores > np.median(scores),
    }
    return {
        "table": table.name,
        "policies": len(scores),
        "method": method,
        "seconds": seconds,
        **{name: _rank_correlation(expected[rows], scores[rows]) for name, rows in groups.items()},
    }


def _measured(table: PolicyTable, workload: Workload, method: str) -> tuple[Proxy, float]:
    """The sensitivities of the model, and their processor seconds."""
    task = workload.task()
    probe = SensitivityProbe(
        task=task,
        baseline=trained_baseline(task),
        recipe=workload.recipe,
        choices=tuple(
            LoweredChoice(
                name=choice, layers=workload.choices[choice][0], schemes=tuple(map(scheme_named, offered))
            )
            for choice, offered in zip(table.choices, table.schemes, strict=True)
        ),
        pinned={layer: scheme_named(pinned) for layer, pinned in workload.pinned.items()},
    )
    started = time.process_time()
    losses = SENSITIVITIES[method].measure(probe, lambda *_progress: None)
    return Proxy(losses=tuple(losses), method=method), time.process_time() - started


def _rank_correlation(expected: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    return float(spearmanr(expected, scores).statistic)


def printed(lines: list[Line]) -> str:
    text = [f"{'table':16} {'method':9}   all  no 1 bit  better half  seconds"]
    text += [
        f"{line['table']:16} {line['method']:9} {line['all']:5.2f}  {line['without_one_bit']:8.2f}  "
        f"{line['better_half']:11.2f}  {line['seconds']:7.1f}"
        for line in lines
    ]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--methods", nargs="+", choices=SENSITIVITIES, default=list(SENSITIVITIES))
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for name in given.table:
        table = read_table(TABLES / f"{name}.parquet")
        for method in given.methods:
            lines.append(sensitivity_line(table, WORKLOADS[name], method))
            print(printed(lines[-1:]).splitlines()[1], flush=True)
    print(f"\n{printed(lines)}")
    if given.json is not None:
        write_atomically(given.json, json.dumps(lines, indent=1) + "\n", "--json")


if __name__ == "__main__":
    main()
