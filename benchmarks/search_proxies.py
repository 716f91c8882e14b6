"""What a sampler is told of what few bits lose before its first trial, from the table or made up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from search_policy_table import PolicyTable

from mpsearch.errors import DataError
from mpsearch.search.proxy import Proxy

Floats = NDArray[np.float64]

PROXIES = ("ptq", "one-layer", "random", "reversed", "none")
_LEAST_SCORE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChargedProxy:
    """A proxy, None for none, and what it took; seconds are NaN where the table does not tell them."""

    proxy: Proxy | None
    seconds: float


def usual_proxy(table: PolicyTable) -> str:
    return "ptq" if "ptq" in table.lower else "one-layer"


def proxy_of(table: PolicyTable, kind: str, seed: int) -> ChargedProxy:
    """A proxy of that kind.

    ptq        rise of -log(score) where one choice alone is lowered from the highest schemes, scores of
               calibrated weights that were not trained; its seconds are theirs
    one-layer  the same of scores after training; its seconds are those trainings'
    random     no information: losses drawn from an exponential distribution
    reversed   wrong information: what the usual proxy says a scheme loses, it is said to save
    none       no proxy

    Raises: DataError if the table lacks the scores.
    """
    if kind == "none":
        return ChargedProxy(proxy=None, seconds=0.0)
    if kind == "random":
        generator = np.random.default_rng([seed, 2])
        losses = tuple(generator.exponential(size=size) for size in table.sizes)
        return ChargedProxy(proxy=Proxy(losses=losses, method="random"), seconds=0.0)
    source = usual_proxy(table) if kind == "reversed" else kind
    if source == "ptq" and "ptq" not in table.lower:
        raise DataError(
            f"The proxy 'ptq' needs the column `score_ptq`; table {table.name!r} has none. Take 'one-layer'."
        )
    losses = _one_layer_losses(table, table.lower["ptq"] if source == "ptq" else table.mean_scores)
    if kind == "reversed":
        losses = tuple(of_choice.max() - of_choice for of_choice in losses)
    return ChargedProxy(proxy=Proxy(losses=losses, method=kind), seconds=_seconds(table, source))


def _one_layer_rows(table: PolicyTable) -> list[NDArray[np.int64]]:
    """For each choice, the policies that lower it alone. Shape: (its size,)."""
    highest = np.array(table.sizes) - 1
    found = []
    for choice, size in enumerate(table.sizes):
        codes = np.tile(highest, (size, 1))
        codes[:, choice] = np.arange(size)
        found.append(table.rows(codes))
    return found


def _one_layer_losses(table: PolicyTable, scores: Floats) -> tuple[Floats, ...]:
    losses = -np.log(np.maximum(scores, _LEAST_SCORE))
    return tuple(np.maximum(losses[rows] - losses[rows[-1]], 0.0) for rows in _one_layer_rows(table))


def _seconds(table: PolicyTable, source: str) -> float:
    rows = np.unique(np.concatenate(_one_layer_rows(table)))
    if source == "ptq" and "ptq" in table.lower_seconds:
        return float(table.lower_seconds["ptq"][rows].sum())
    if table.seconds is None:
        return float("nan")
    return float(np.nanmean(table.seconds, axis=1)[rows].sum())
