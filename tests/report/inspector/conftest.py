"""Runs of made-up numbers, and an inspector driven by a script of keys and clicks."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from mpsearch.report.inspector.app import InspectorApp


def _load(name: str):
    """The module beside this file; pytest's importlib mode puts no folder on the path."""
    spec = importlib.util.spec_from_file_location(
        f"{name}_of_inspector_tests", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_synthetic = _load("synthetic_run")


@pytest.fixture(scope="session")
def make_inspected_run():
    """`synthetic_run(path, trials=..., failures=..., layers=...)`."""
    return _synthetic.synthetic_run


@pytest.fixture(scope="session")
def measured_latency():
    return _synthetic.measured_latency


@pytest.fixture(scope="session")
def write_run():
    """Makes the folder of a run."""
    return _synthetic.write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """40 trials of 14 layers, two of them failed, 17 on the front."""
    return _synthetic.synthetic_run(tmp_path_factory.mktemp("runs") / "resnet")


def _screen_text(app) -> str:
    """What is on the screen, characters only."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@pytest.fixture(scope="session")
def screen_text():
    return _screen_text


@pytest.fixture(scope="session")
def drive():
    """`drive(run, script)` runs `await script(app, pilot)` on an inspector and returns what that returns."""

    def driven(run, script, *, size=(84, 26), **options):
        async def scene():
            app = InspectorApp(run, look_every_s=None, **options)
            async with app.run_test(size=size, notifications=True) as pilot:
                await pilot.pause()
                return await script(app, pilot)

        return asyncio.run(scene())

    return driven
