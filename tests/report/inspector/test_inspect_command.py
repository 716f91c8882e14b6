"""`mpsearch inspect` on the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest


def mpsearch(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mpsearch", *arguments], capture_output=True, text=True, timeout=60,
        check=False, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip


def test_without_a_terminal_it_ends_in_an_error_that_names_the_other_command(tmp_path):
    done = mpsearch("inspect", "runs/some run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "ConfigError" in done.stderr
    assert "mpsearch pareto 'runs/some run'" in done.stderr


def test_torch_and_optuna_are_not_imported_by_the_inspector():
    code = (
        "import sys; import mpsearch.report.inspector.app, mpsearch.cli.inspect, mpsearch.export.exporters;"
        "print([name for name in ('torch', 'optuna', 'ray', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("environment", "option", "theme"), [
    ({"NO_COLOR": "1"}, "auto", "mono"),
    ({"COLORFGBG": "0;15"}, "auto", "light"),
    ({"COLORFGBG": "15;0"}, "auto", "dark"),
    ({}, "auto", "dark"),
    ({"NO_COLOR": "1"}, "light", "light"),
])  # fmt: skip
def test_the_theme_follows_the_terminal_unless_it_is_chosen(monkeypatch, environment, option, theme):
    from mpsearch.cli.inspect import Theme, chosen_theme

    for name in ("NO_COLOR", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen_theme(Theme(option)) == theme
