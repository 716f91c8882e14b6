"""How far off is what the sampler expects of policies that were not trained, and how much of that is noise?

Run: python benchmarks/search_model.py --table T.parquet [...] [--seeds N] [--json OUT]

The surrogate learns from 30, 60 or 100 random policies of a table, one training each, and predicts the mean
scores of all others. Errors are root mean squares in points of score; `better half` are the policies whose
mean scores are above the median. `noise` is that of the mean scores themselves, the deviation of seeds over
the root of their number: no model comes below it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from search_policy_table import PolicyTable
from search_problem import Problem
from search_proxies import proxy_of, usual_proxy
from search_replay import problem_of, table_at

from mpsearch.atomic_file import write_atomically
from mpsearch.search.accuracy_surrogate import learn_surrogate
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.learnt_scale import learnt_scale
from mpsearch.search.observations import Observations
from mpsearch.search.policy_features import PolicyFeatures

Floats = NDArray[np.float64]
Line = dict[str, Any]

TRIALS = (30, 60, 100)


def model_lines(path: Path, seeds: int) -> list[Line]:
    """A line for each number of trials: medians over the seeds."""
    table = table_at(str(path))
    problem = problem_of(str(path), "measured", (), "table")
    is_better = table.mean_scores > np.median(table.mean_scores)
    lines = []
    for trials in TRIALS:
        found = np.array([_errors(problem, table, is_better, trials, seed) for seed in range(seeds)])
        every, better, rank = np.median(found, axis=0).tolist()
        lines.append(
            {
                "table": table.name,
                "trials": trials,
                "seeds": seeds,
                "error": every,
                "error_better_half": better,
                "noise": _noise(table.scores),
                "noise_better_half": _noise(table.scores[is_better]),
                "rank_correlation_better_half": rank,
                "rank_correlation_of_short_better_half": _of_short(table, is_better),
            }
        )
    return lines


def _errors(
    problem: Problem, table: PolicyTable, is_better: NDArray[np.bool_], trials: int, seed: int
) -> tuple[float, float, float]:
    """Of all others, of the better half of them; and their rank correlation."""
    generator = np.random.default_rng([seed, 6])
    rows = generator.choice(len(table.codes), trials, replace=False)
    proxy = proxy_of(table, usual_proxy(table), seed).proxy
    knowledge = Knowledge(policies=problem.policies, proxy=proxy, samples=table.samples)
    observed = Observations(
        codes=table.codes[rows], scores=table.shown_scores(generator)[rows], variances=np.zeros(trials)
    )
    scale = learnt_scale(observed.scores, is_maximized=True)
    surrogate = learn_surrogate(PolicyFeatures(knowledge), scale, observed, samples=table.samples)
    expected = 1.0 - scale.inverse(surrogate.posterior(table.codes).mean)
    missed = 100 * (expected - table.mean_scores)
    is_new = np.ones(len(missed), dtype=bool)
    is_new[rows] = False
    better = is_new & is_better
    rank = spearmanr(expected[better], table.mean_scores[better]).statistic
    return _root_mean_square(missed[is_new]), _root_mean_square(missed[better]), float(rank)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _noise(scores: Floats) -> float | None:
    """In points, of the mean of each policy's seeds; None where there is one seed. Shape: scores (P, S)."""
    seeds = (~np.isnan(scores)).sum(axis=1)
    several = seeds > 1
    if not several.any():
        return None
    variances = np.nanvar(scores[several], axis=1, ddof=1) / seeds[several]
    return 100 * float(np.sqrt(variances.mean()))


def _of_short(table: PolicyTable, is_better: NDArray[np.bool_]) -> float | None:
    """Rank correlation with the mean scores of a score after a quarter of the steps."""
    if "short" not in table.lower:
        return None
    return float(spearmanr(table.lower["short"][is_better], table.mean_scores[is_better]).statistic)


def printed(lines: list[Line]) -> str:
    text = [f"{'table':16} trials  error (noise)   better half (noise)  rank  of a short training"]
    for line in lines:
        short = line["rank_correlation_of_short_better_half"]
        text.append(
            f"{line['table']:16} {line['trials']:6}  {line['error']:5.2f} ({_points(line['noise'])})   "
            f"{line['error_better_half']:11.2f} ({_points(line['noise_better_half'])})  "
            f"{line['rank_correlation_better_half']:4.2f}  {'' if short is None else f'{short:.2f}'}"
        )
    return "\n".join(text)


def _points(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", type=Path, nargs="+", required=True, metavar="T.parquet")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    lines = [line for path in given.table for line in model_lines(path, given.seeds)]
    print(printed(lines))
    if given.json is not None:
        write_atomically(given.json, json.dumps(lines, indent=1) + "\n", "--json")


if __name__ == "__main__":
    main()
