"""Rank correlations of sensitivities with a table: which policies are looked at, and with what sign."""

from __future__ import annotations

import numpy as np
import pytest
import search_sensitivities
from search_policy_table import read_table
from search_workloads import WORKLOADS

from mpsearch.search.proxy import Proxy

LOSSES = {"a": (0.0, 1.5, 0.7), "b": (0.0, 0.9, 0.2), "c": (0.0, 2.4, 1.0)}  # of the made-up table


def lines_of(table, monkeypatch, losses):
    monkeypatch.setattr(
        search_sensitivities, "_measured", lambda *_of: (Proxy(losses=losses, method="made up"), 0.5)
    )
    return search_sensitivities.sensitivity_line(table, None, "loss")


def test_what_ranks_as_the_table_does_correlates_and_its_opposite_does_not(path, monkeypatch):
    table = read_table(path)
    order = {scheme: place for place, scheme in enumerate(("w8a8", "w1a1", "w1.58a8"))}
    losses = tuple(
        np.array([LOSSES[choice][order[scheme]] for scheme in offered])
        for choice, offered in zip(table.choices, table.schemes, strict=True)
    )
    line = lines_of(table, monkeypatch, losses)
    assert min(line["all"], line["without_one_bit"], line["better_half"]) > 0.95
    opposite = lines_of(table, monkeypatch, tuple(of_choice.max() - of_choice for of_choice in losses))
    assert opposite["all"] == pytest.approx(-line["all"])
    assert search_sensitivities.printed([line]).splitlines()[1].split()[:2] == ["small", "loss"]


def test_policies_with_a_one_bit_layer_are_left_out_where_a_line_says_so(path, monkeypatch):
    table = read_table(path)
    says = {"w1a1": 9.0, "w8a8": 1.0, "w1.58a8": 0.0}  # right of one bit, wrong of the others
    losses = tuple(np.array([says[scheme] for scheme in offered]) for offered in table.schemes)
    line = lines_of(table, monkeypatch, losses)
    assert line["all"] > 0.5
    assert line["without_one_bit"] < -0.5


def test_a_method_looks_at_the_model_of_the_table(path, monkeypatch):
    probes = []

    class Method:
        @staticmethod
        def measure(probe, _on_progress):
            probes.append(probe)
            return [np.zeros(len(choice.schemes)) for choice in probe.choices]

    table = read_table(search_sensitivities.TABLES / "digits-cnn.parquet")
    monkeypatch.setattr(search_sensitivities, "trained_baseline", lambda _task: None)
    monkeypatch.setitem(search_sensitivities.SENSITIVITIES, "loss", Method)
    proxy, _ = search_sensitivities._measured(table, WORKLOADS["digits-cnn"], "loss")
    assert [choice.layers for choice in probes[0].choices] == [
        (name,) for name in ("conv1", "conv2", "conv3", "conv4", "fc1")
    ]
    assert list(probes[0].pinned) == ["fc2"]
    assert [len(losses) for losses in proxy.losses] == [4] * 5
