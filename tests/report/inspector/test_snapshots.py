"""Whole screens, characters only, beside files that were looked at.

Renew them after a wanted change, and look at the difference before you commit it:

    RENEW_SNAPSHOTS=1 pytest tests/report/inspector/test_snapshots.py
    git diff tests/report/inspector/snapshots
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("snapshots")
SIZES = [(80, 24), (120, 36), (200, 50)]
SCENES = {
    "front": ["home", "right", "right", "right"],
    "budget": ["right", "m", "left", "left", *["left_square_bracket"] * 8],
    "compare": ["right", "m", "left", "left", "m", "c"],
}
OTHERS = {
    "help": ["question_mark"],
    "budgets": ["b"],
    "export": ["e"],
    "trials": ["t"],
    "filter": ["slash", *"front", "enter"],
}


def check(name, text):
    path = FOLDER / f"{name}.txt"
    if os.environ.get("RENEW_SNAPSHOTS"):
        path.write_text(text + "\n", encoding="utf-8")
    assert text == path.read_text(encoding="utf-8").removesuffix("\n"), f"{path.name} differs; see {__file__}"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCENES)
def test_the_screen_is_as_it_was(drive, run, screen_text, name, size):
    async def script(app, pilot):
        await pilot.press(*SCENES[name])
        await pilot.pause()
        return screen_text(app)

    check(f"{name}-{size[0]}x{size[1]}", drive(run, script, size=size))


@pytest.mark.parametrize("name", OTHERS)
def test_the_dialog_is_as_it_was(drive, run, screen_text, name):
    async def script(app, pilot):
        await pilot.press(*OTHERS[name])
        await pilot.pause()
        return screen_text(app)

    check(f"{name}-80x24", drive(run, script, size=(80, 24)))
