"""What the shell is offered, through the protocol that it speaks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpsearch.cli import completion
from mpsearch.cli.app import main
from mpsearch.cli.search import Sampler
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search import pick, samplers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs, one of them elsewhere; a space file; things that are neither."""
    monkeypatch.chdir(tmp_path)
    layers = [{"name": name, "calls": [{"operator": "conv2d"}]} for name in ("conv1", "conv2")]
    layers.append({"name": "fc", "calls": [{"operator": "linear"}]})
    for run in ("runs/digits", "runs/vgg", "elsewhere/mine"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "run.json").write_text(json.dumps({"model": {"layers": layers}}))
        trials = [
            {"number": 0, "score": 0.5},
            {"number": 1, "score": None, "state": "failed"},
            {"number": 12, "score": 0.875},
        ]
        (tmp_path / run / "trials.jsonl").write_text("".join(json.dumps(trial) + "\n" for trial in trials))
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "own.yaml").write_text("layers: [{match: stem, pin: w8a8}, {match: '*', pin: w8a8}]")
    (tmp_path / "wrong.yaml").write_text("layers: [")
    return tmp_path


@pytest.fixture
def complete(capsys, monkeypatch):
    """A function: what bash is offered at the end of a line."""

    def offers(line: str, shell: str = "bash") -> list[str]:
        monkeypatch.setenv("_MPSEARCH_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setattr("sys.argv", ["mpsearch"])
        with pytest.raises(SystemExit):
            main()
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out.split("\n")[:-1]

    return offers


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mpsearch pl", ["plan"]),
        ("mpsearch plan dig", ["digits", "digits-widths"]),
        ("mpsearch plan ow", ["own.yaml"]),
        ("mpsearch space show cifar10-v", ["cifar10-vgg"]),
        ("mpsearch search dig", ["digits", "digits-widths"]),
        ("mpsearch search runs/d", ["runs/digits"]),
        ("mpsearch pareto runs/", ["runs/digits", "runs/vgg"]),
        ("mpsearch pareto run", ["runs/digits", "runs/vgg", "runs/"]),
        ("mpsearch pareto else", ["elsewhere/"]),
        ("mpsearch pareto elsewhere/", ["elsewhere/mine"]),
        ("mpsearch show runs/digits 1", ["1", "12"]),
        ("mpsearch show runs/digits kn", ["knee"]),
        ("mpsearch show nowhere kn", ["knee"]),
        ("mpsearch compare runs/digits 1", ["1", "12"]),
        ("mpsearch compare runs/digits knee runs/v", ["runs/vgg"]),
        ("mpsearch export runs/digits --pick fast", ["fastest"]),
        ("mpsearch export runs/digits --pick 12", ["12"]),
        ("mpsearch inspect runs/v", ["runs/vgg"]),
        ("mpsearch report runs/v", ["runs/vgg"]),
        ("mpsearch explain runs/v", ["runs/vgg"]),
        ("mpsearch search runs/digits --pin conv", ["conv1=", "conv2="]),
        ("mpsearch search runs/digits --pin fc=w1", ["fc=w1a1", "fc=w1a8", "fc=w1.58a8"]),
        ("mpsearch search runs/digits --forbid conv1=w1a1,w4", ["conv1=w1a1,w4a8"]),
        ("mpsearch search runs/digits --free f", ["fc"]),
        ("mpsearch plan digits --pin conv2", ["conv2="]),
        ("mpsearch plan own.yaml --pin st", ["stem="]),
        ("mpsearch search digits --sampler ns", ["nsga2"]),
        ("mpsearch search digits --max-latency-p", ["--max-latency-p95", "--max-latency-p99"]),
    ],
)
def test_bash_is_offered(line, offered, complete):
    assert complete(line) == offered


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "line",
    [
        "mpsearch show broken ",
        "mpsearch search broken --pin ",
        "mpsearch plan wrong.yaml --pin ",
        "mpsearch show x\0y ",
    ],
)
def test_what_cannot_be_read_is_no_error(line, complete):
    assert all(offer in completion.SPECIAL_PICKS for offer in complete(line.replace("\0", "")) if offer)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_what_an_offer_means(shell, complete):
    told = "\n".join(complete("mpsearch show runs/digits ", shell))
    assert "87.50%" in told
    assert "failed" in told
    assert "the best compromise" in told


def test_the_words_are_those_that_the_commands_take():
    assert set(completion.SPECIAL_PICKS) == set(pick._CHOICES)
    assert set(samplers.SAMPLERS) == {sampler.value for sampler in Sampler}
    assert [name for name, _ in completion.complete_override(None, "x=")] == [f"x={name}" for name in SCHEMES]


def test_completing_imports_nothing_slow(folder):
    code = (
        "import sys\n"
        "from mpsearch.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'optuna', 'ray', 'numpy', 'pandas', 'sqlite3', 'textual'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    words = {"COMP_WORDS": "mpsearch show runs/digits ", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "_MPSEARCH_COMPLETE": "complete_bash", **words},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "knee" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_real_bash_completes_with_the_script_that_is_installed(folder):
    program = folder / "bin" / "mpsearch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mpsearch "$@"\n')
    program.chmod(0o755)
    script = """
        source <(_MPSEARCH_COMPLETE=source_bash mpsearch)
        COMP_WORDS=(mpsearch show runs/digits f) COMP_CWORD=3
        _mpsearch_completion mpsearch
        printf '%s\\n' "${COMPREPLY[@]}"
        complete -p mpsearch
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "fastest"
    assert "_mpsearch_completion mpsearch" in done.stdout
