"""How long an ask takes, and how much memory: neither grows with the trials without bound."""

from __future__ import annotations

import json
import sys
import tracemalloc

import ask_time

from mpsearch.search.sampler import MOST_TRIALS, CostAwareSampler


def test_a_line_tells_layers_trials_and_milliseconds(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ask_time.py", "--asks", "2", "--policies", "4x40"])
    ask_time.main()
    line = json.loads(capsys.readouterr().out)
    assert (line["layers"], line["trials"]) == (4, 40)
    assert 0 < line["least_ask_ms"] <= line["ask_ms"]


def test_memory_is_bounded_however_many_trials_are_told():
    few, many = (most_bytes_of_an_ask(layers=9, trials=count) for count in (MOST_TRIALS, 10 * MOST_TRIALS))
    assert many < 1.5 * few


def most_bytes_of_an_ask(*, layers, trials):
    """Of one that knows the study: what is kept between asks is there already."""
    policies, proxy = ask_time.made_up(layers)
    study = ask_time.study_of(policies, proxy, trials)
    sampler = CostAwareSampler(policies, proxy, seed=0)
    number = study.ask().number
    trial = study.get_trials(deepcopy=False)[number]
    sampler.choose(study, trial)
    tracemalloc.start()
    sampler.choose(study, trial)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most
