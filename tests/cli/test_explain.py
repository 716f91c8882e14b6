"""`mpsearch explain` as a user types it, on the run that lies in the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mpsearch

ROOT = Path(__file__).parents[2]
RUN = "runs/digits-example"


def explain(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpsearch", "explain", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=120,
        check=False,
    )


def test_it_tells_what_each_layer_costs_and_ends_with_the_next_command():
    done = explain(RUN, "--at", "knee", "--tolerance", "2", "--sort", "accuracy")
    assert done.returncode == 0, done.stderr
    for layer in ("conv1", "conv4", "fc2"):
        assert layer in done.stdout
    assert "less than 2 points" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"next  mpsearch search {RUN} --")


def test_json_has_one_choice_a_layer_that_is_asked_for():
    done = explain(RUN, "--json", "--layer", "conv[12]")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [choice["name"] for choice in report["choices"]] == ["conv1", "conv2"]
    assert report["fit"]["trials"] == len(mpsearch.load_run(ROOT / RUN).records)


def test_a_terminal_without_unicode_gets_plain_letters():
    done = explain(RUN, "--all", LC_ALL="C", PYTHONIOENCODING="ascii", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "?" not in done.stdout.replace("0.9?", "").split("go low")[1]
    assert "--o--" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([RUN, "--tolerance", "0"], "points between 0 and 100"),
        ([RUN, "--layer", "convx"], "must be the name or a glob of a layer"),
        ([RUN, "--at", "fast"], "A pick must be one of"),
        (["nowhere"], "RunError: nowhere"),
    ],
)
def test_mistakes_end_in_one_line_that_helps(arguments, said):
    done = explain(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_reading_a_run_imports_no_torch():
    code = (
        "import sys; sys.argv = ['mpsearch', 'explain', 'runs/digits-example']\n"
        "from mpsearch.cli.app import main\n"
        "main()\n"
        "heavy = {'torch', 'optuna', 'ray', 'scipy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("option", ["--at knee", "--layer conv*", "--sort memory", "--all", "--tolerance 2"])
def test_what_sensitivity_alone_does_not_show_is_refused(option):
    done = explain(RUN, "--sensitivity", "loss", *option.split())
    assert done.returncode == 2
    assert "--sensitivity shows its methods alone" in " ".join(done.stderr.split())
