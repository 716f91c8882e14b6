"""`mpsearch report` as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "runs" / "digits-example"


def report(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpsearch", "report", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_writes_a_page_named_after_the_run_and_says_how_to_open_it(tmp_path):
    done = report(EXAMPLE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "digits-example.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "wrote digits-example.html" in done.stdout
    assert page.as_uri() in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [page.name]


def test_pictures_alone_write_no_page(tmp_path):
    done = report(EXAMPLE, "--png", "a.png", "--svg", "b/c.svg", "--x", "memory", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "b" / "c.svg").read_bytes()
    assert not list(tmp_path.glob("*.html"))


def test_options_without_what_they_act_on_are_refused(tmp_path):
    axes = report(EXAMPLE, "--x", "memory", cwd=tmp_path)
    assert axes.returncode == 2
    assert "need --png or --svg" in axes.stderr
    opened = report(EXAMPLE, "--png", "a.png", "--open", cwd=tmp_path)
    assert opened.returncode == 2
    assert "-o report.html" in opened.stderr
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    done = report(EXAMPLE, "-o", "file/report.html", cwd=tmp_path)
    assert done.returncode == 2
    assert "must be writable" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
