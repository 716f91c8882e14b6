"""How well the surrogate predicts a table: errors, and the noise that they are compared with."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
import search_model
import search_replay


@pytest.fixture(autouse=True)
def _no_tables_of_other_tests(monkeypatch):
    monkeypatch.setattr(search_model, "TRIALS", (9, 18))
    for cached in (search_replay.table_at, search_replay.problem_of):
        cached.cache_clear()


def test_more_trials_teach_more_and_a_line_says_so(path, tmp_path, monkeypatch, capsys):
    out = tmp_path / "model.json"
    monkeypatch.setattr(
        sys, "argv", ["search_model.py", "--table", str(path), "--seeds", "5", "--json", str(out)]
    )
    search_model.main()
    few, many = json.loads(out.read_text())
    assert (few["trials"], many["trials"]) == (9, 18)
    assert many["error"] < few["error"] < 20
    assert many["rank_correlation_better_half"] > 0.5
    assert few["rank_correlation_of_short_better_half"] > 0.9
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["small", "9"],
        ["small", "18"],
    ]


def test_noise_is_that_of_the_mean_of_the_seeds(frame, path):
    by_policy = frame.groupby([name for name in frame if name.startswith("layer.")]).score
    variances, seeds = by_policy.var(), by_policy.count()
    expected = 100 * np.sqrt((variances / seeds).dropna().mean())
    assert search_model.model_lines(path, 1)[0]["noise"] == pytest.approx(expected, rel=1e-6)


def test_a_table_of_one_seed_has_no_noise_to_show(frame, path):
    alone: pd.DataFrame = frame[frame["seed"] == 0].drop(columns="score_short")
    alone.to_parquet(path)
    lines = search_model.model_lines(path, 1)
    assert {line["noise"] for line in lines} == {None}
    assert {line["rank_correlation_of_short_better_half"] for line in lines} == {None}
    assert "(?)" in search_model.printed(lines)
