"""`pareto`, `show` and `compare` as a user types them, on the run that lies in the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpsearch.cli.app import main

ROOT = Path(__file__).parents[2]
RUN = "runs/digits-example"


def mpsearch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpsearch", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=120,
        check=False,
    )


def test_rows_can_be_filtered_sorted_and_shortened():
    done = mpsearch(
        "pareto",
        RUN,
        "--all",
        "--filter",
        "fc2!=w1a1 and faster>8x",
        "--sort",
        "memory",
        "--top",
        "3",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert len(trials) == 3
    assert [t["memory_bytes"] for t in trials] == sorted(t["memory_bytes"] for t in trials)
    assert all(t["policy"]["fc2"] != "w1a1" for t in trials)


def test_the_next_command_exports_what_was_shown_not_what_the_runs_own_budgets_choose():
    arguments = ["pareto", RUN, "--min-accuracy", "99%"]
    shown = json.loads(mpsearch(*arguments, "--json").stdout)
    own = json.loads(mpsearch("pareto", RUN, "--json").stdout)
    assert shown["knee"] != own["knee"]
    assert f"--pick {shown['knee']} " in mpsearch(*arguments).stdout
    assert "--pick knee " in mpsearch("pareto", RUN).stdout


def test_the_axes_and_scales_of_the_plot_can_be_chosen():
    done = mpsearch("pareto", RUN, "--x", "energy", "--y", "memory", "--log-x", "--linear-y")
    assert done.returncode == 0, done.stderr
    assert "↑ memory" in done.stdout
    assert "energy, estimated (log) →" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["pareto", RUN], ["show", RUN, "knee"], ["compare", RUN, "knee", "4", "36"]]
)
def test_a_pipe_without_unicode_gets_plain_ascii(arguments):
    done = mpsearch(*arguments, COLUMNS="78", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert "?" not in done.stdout
    assert max(map(len, done.stdout.split("\nnext ")[0].splitlines())) <= 78


def test_a_run_is_compared_with_a_run_and_policies_with_policies():
    fronts = mpsearch("compare", RUN, f"{RUN}/", "--json")
    assert fronts.returncode == 0, fronts.stderr
    assert len(json.loads(fronts.stdout)["runs"]) == 2
    policies = mpsearch("compare", RUN, "knee", "memory<20KB", "--json")
    assert policies.returncode == 0, policies.stderr
    assert [p["number"] for p in json.loads(policies.stdout)["policies"]] == [5, 4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", RUN, "knee"], "got one policy"),
        (["compare", RUN, "knee", "5"], "must be different ones; knee is trial 5, 5 is trial 5"),
        (["compare", RUN, "knee", RUN], "both policies and a further run"),
        (["compare", RUN, "knee", "quickest"], "ConfigError: A pick must be one of"),
        (["compare", RUN, "runs/nowhere"], "RunError: runs/nowhere"),
        (["compare", RUN, *"1234567"], "At most 6"),
        (["compare", RUN, RUN, "--x", "accuracy"], "two different axes"),
        (["pareto", RUN, "--x", "memory", "--y", "memory"], "two different axes"),
        (["pareto", RUN, "--sort", "speed"], "ConfigError: Trials can be sorted by"),
        (["pareto", RUN, "--filter", "fc9=w8a8"], "did you mean fc"),
        (["pareto", RUN, "--json", "--csv"], "Only one of --json and --csv"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_why(arguments, said, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["mpsearch", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_axes_are_refused_where_policies_are_compared():
    done = mpsearch("compare", RUN, "knee", "4", "--x", "memory")
    assert done.returncode == 2
    assert "axes of fronts" in " ".join(done.stderr.split())
