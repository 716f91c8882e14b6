"""The modules of benchmarks/search.py, which are scripts and no package; a small made-up table for them."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

SCHEMES = ("w8a8", "w1a1", "w1.58a8")  # not in the order of bits
LOSSES = {"a": (0.0, 1.5, 0.7), "b": (0.0, 0.9, 0.2), "c": (0.0, 2.4, 1.0)}
COSTS = {"w1a1": (1.0, 8.0), "w1.58a8": (2.0, 13.0), "w8a8": (5.0, 64.0)}


@pytest.fixture
def frame() -> pd.DataFrame:
    """27 policies with two seeds each, of 1,000 samples; the last policy lacks a seed."""
    generator = np.random.default_rng(0)
    rows = []
    for codes in itertools.product(range(3), repeat=3):
        logit = 3.0 - sum(of_choice[code] for of_choice, code in zip(LOSSES.values(), codes, strict=True))
        for seed in range(2):
            score = 1 / (1 + np.exp(-(logit + 0.05 * generator.normal())))
            rows.append(
                {f"layer.{name}": SCHEMES[code] for name, code in zip(LOSSES, codes, strict=True)}
                | {
                    "seed": seed,
                    "score": round(score, 3),
                    "score_ptq": round(0.8 * score, 3),
                    "score_short": round(0.9 * score, 3),
                    "seconds": 2.0,
                    "seconds_ptq": 0.25,
                    "seconds_short": 0.5,
                }
            )
    return pd.DataFrame(rows[:-1])


@pytest.fixture
def path(frame, tmp_path) -> Path:
    """The table in a file, with what its choices cost beside it."""
    file = tmp_path / "small.parquet"
    frame.to_parquet(file)
    costs = {
        name: {
            scheme: {"latency_s": 1e-6 * (place + 1) * a, "memory_bytes": (place + 1) * b}
            for scheme, (a, b) in COSTS.items()
        }
        for place, name in enumerate(LOSSES)
    }
    (tmp_path / "small.costs.json").write_text(json.dumps(costs))
    return file
