"""Exporting from the inspector, in a thread."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mpsearch.errors import ExportError
from mpsearch.export.exporters import export_trial
from mpsearch.export.policy_file import PolicyFile
from mpsearch.report.inspector.export_dialog import (
    ExportDialog,
    ExportRequest,
    ExportResult,
    default_out,
    next_command,
)


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A working directory to export to."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def until(pilot, condition):
    for _ in range(200):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen")


def test_a_policy_is_written_and_its_place_shown(drive, run, there, screen_text):
    async def script(app, pilot):
        await pilot.press("e")
        suggested = app.screen.query_one("#out").value
        await pilot.press("down", "tab", "enter")
        changed = app.screen.query_one("#out").value
        await until(pilot, lambda: not app.screen.is_busy and "wrote" in screen_text(app))
        return suggested, changed, screen_text(app)

    suggested, changed, text = drive(replace(run, exporter=export_trial), script)
    knee = run.front.knee()
    assert (suggested, changed) == (f"resnet-{knee.number}", f"resnet-{knee.number}.policy.json")
    assert PolicyFile.load(there / changed).policy == knee.policy
    assert changed in text


def test_a_name_that_was_typed_stays_when_the_format_changes(drive, run, there):
    async def script(app, pilot):
        await pilot.press("e", "tab", "x", "shift+tab", "space")
        return app.screen.format, app.screen.query_one("#out").value

    name, out = drive(run, script)
    assert name == "policy"
    assert out == f"resnet-{run.front.knee().number}x"


def test_a_typed_error_is_shown_and_the_next_try_may_work(drive, run, there, screen_text):
    def refusing(run, record, out, *, format):  # noqa: A002 - the option's name
        raise ExportError(f"The {format} of trial {record.number} must go elsewhere; got {out}.")

    async def script(app, pilot):
        await pilot.press("e", "tab", "enter")
        await until(pilot, lambda: "must go elsewhere" in " ".join(screen_text(app).split()))
        return screen_text(app), app.screen.is_busy

    text, is_busy = drive(replace(run, exporter=refusing), script)
    assert "ExportError" in text
    assert not is_busy


def test_no_name_is_refused(drive, run, there, screen_text):
    async def script(app, pilot):
        await pilot.press("e", "tab", "ctrl+u", "enter")
        await pilot.pause()
        return screen_text(app)

    assert "must be named" in drive(run, script)


def test_the_screen_lives_while_an_export_goes_on_and_its_end_is_told(drive, run, there, screen_text):
    gate = threading.Event()

    def slow(run, record, out, *, format):  # noqa: A002
        assert gate.wait(10)
        return Path(out)

    async def script(app, pilot):
        await pilot.press("e", "tab", "enter")
        await pilot.pause()
        busy = app.screen.is_busy, screen_text(app)
        await pilot.press("escape", "home", "right")
        moved = app.main.cursor == app.main.scene.front_order[1]
        await pilot.press("e", "tab", "enter")
        await pilot.pause()
        second = screen_text(app)
        await pilot.press("escape")
        gate.set()
        await until(pilot, lambda: "is written" in " ".join(screen_text(app).split()))
        return busy, moved, second

    busy, moved, second = drive(replace(run, exporter=slow), script)
    assert busy[0]
    assert "writing and checking" in busy[1]
    assert moved
    assert "Another export is still under way" in second


def test_the_task_option_is_given_to_the_export(drive, run, there, screen_text):
    seen = []

    def noting(run, record, out, *, format):  # noqa: A002
        seen.append(run.space.task.name)
        return Path(out)

    async def script(app, pilot):
        await pilot.press("e", "tab", "enter")
        await until(pilot, lambda: "wrote" in screen_text(app))
        return isinstance(app.screen, ExportDialog)

    assert drive(replace(run, exporter=noting), script, task="somewhere.tasks:build")
    assert seen == ["somewhere.tasks:build"]


def test_what_to_type_next_is_told_for_a_model_that_runs(run):
    request = ExportRequest(number=2, format="packed", out=Path("my model"))
    assert (
        next_command(ExportResult(request=request, written=Path("my model"))) == "mpsearch bench 'my model'"
    )
    policy = replace(request, format="policy")
    assert next_command(ExportResult(request=policy, written=Path("p.json"))) == ""
    assert next_command(ExportResult(request=request, problem="no")) == ""
    assert default_out(run, 2, "packed") == "resnet-2"
