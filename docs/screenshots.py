"""Every picture of the README and of docs/, made from one run: python docs/screenshots.py runs/digits-example

The commands run as a reader would type them, on a copy of the run; what they print becomes SVG. The view of a
running search shows the run's own records again, up to a trial that is trained once more for the curve of
its loss. The inspector is driven by key presses. Pages are drawn by Chromium. Nothing is edited by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from threading import RLock

from PIL import Image
from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import TerminalTheme
from rich.text import Text

import mpsearch
from mpsearch.report.inspector.app import InspectorApp
from mpsearch.report.live_panel import LivePanel
from mpsearch.report.search_state import SearchState
from mpsearch.search.events import SearchStarted, StageStarted, TrialFinished, TrialProgress, TrialStarted
from mpsearch.search.front_keeper import FrontKeeper
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.resolve import resolve
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.task import load_task
from mpsearch.training.trial import run_trial

IMAGES = Path(__file__).parent / "images"
COLUMNS = 118
THEME = TerminalTheme(
    (20, 23, 28),
    (214, 218, 224),
    [
        (70, 76, 86), (232, 106, 112), (134, 196, 116), (226, 184, 98),
        (106, 160, 236), (198, 134, 222), (94, 190, 198), (200, 205, 212),
    ],
    [
        (120, 128, 140), (244, 134, 138), (160, 216, 142), (240, 204, 126),
        (136, 184, 250), (216, 160, 238), (124, 212, 218), (236, 239, 244),
    ],
)  # fmt: skip
# Rich's own form loads a font from the network, which no page of ours may need.
FONT = "'Fira Code', 'JetBrains Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace"
REMOTE_FONT = re.compile(r"@font-face \{.*?\}\s*", re.S)


def saved(console: Console, name: str, title: str) -> None:
    """What was printed to a recording console, as docs/images/NAME.svg."""
    svg = console.export_svg(title=title, theme=THEME, unique_id=name)
    write_svg(name, svg)


def write_svg(name: str, svg: str) -> None:
    plain = REMOTE_FONT.sub("", svg).replace("Fira Code, monospace", FONT)
    path = IMAGES / f"{name}.svg"
    path.write_text("\n".join(line.rstrip() for line in plain.splitlines()) + "\n", encoding="utf-8")
    tell(path)


def tell(picture: Path) -> None:
    sys.stdout.write(f"{picture.name}  {picture.stat().st_size / 1000:.0f} KB\n")


def recording(columns: int = COLUMNS) -> Console:
    return Console(
        file=StringIO(), record=True, width=columns, height=60, force_terminal=True, color_system="truecolor",
        highlight=False,
    )  # fmt: skip


def command(name: str, arguments: Sequence[str], *, cwd: Path, columns: int = COLUMNS) -> None:
    """What `mpsearch ARGUMENTS` prints on a terminal of so many columns."""
    environment = {
        **os.environ, "COLUMNS": str(columns), "FORCE_COLOR": "1", "COLORTERM": "truecolor",
        "TERM": "xterm-256color",
    }  # fmt: skip
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [sys.executable, "-m", "mpsearch", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    lines = Text.from_ansi(done.stdout).split("\n")
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = recording(columns)
    for line in lines:
        line.rstrip()
        console.print(line, no_wrap=True, crop=True, soft_wrap=True)
    saved(console, name, f"mpsearch {' '.join(arguments)}")


def search_view(run: Run, *, columns: int = COLUMNS, rows: int = 34) -> None:
    """The live view after two thirds of the trials; its clock began with the first of them."""
    records = [record for record in sorted(run.trainings, key=lambda r: r.ended) if record.is_complete]
    begun, current = records[: 2 * len(records) // 3], records[2 * len(records) // 3]
    clock = Replay()
    state = SearchState(clock=clock)
    keeper = FrontKeeper(run.objectives, run.reference_point, overrides=run.overrides)
    state.update(StageStarted(stage="task", detail=run.space.task.name))
    state.update(StageStarted(stage="profile", detail="profile"))
    state.update(StageStarted(stage="baseline", detail="32-bit baseline"))
    state.update(StageStarted(stage="sensitivity", detail="sensitivity of each layer"))
    state.update(started(run, total=len(records)))
    opened = began(records[0])
    for record in begun:
        clock.now = max(0.0, began(record) - opened)
        state.update(TrialStarted(number=record.number, policy=record.policy, origin=record.origin))
        clock.now += record.seconds
        keeper = keeper.with_record(record)
        state.update(
            TrialFinished(
                record=record,
                finished=len(state.records) + 1,
                total=len(records),
                front=tuple(sorted(keeper.numbers)),
                knee=keeper.knee(run.space.admits),
                hypervolume=keeper.hypervolume,
                best=max(
                    (r for r in begun[: len(state.records) + 1] if run.space.admits(r)),
                    key=lambda r: (r.accuracy, -r.latency_s),
                    default=None,
                ),
            )
        )
    clock.now = began(current) - opened
    state.update(TrialStarted(number=current.number, policy=current.policy, origin=current.origin))
    curve = losses(run, current)
    made = max(1, 3 * len(curve) // 4)
    for step, loss in enumerate(curve[:made], start=1):
        state.update(TrialProgress(number=current.number, step=step, total=len(curve), loss=loss))
    clock.now += current.seconds * made / len(curve)
    console = recording(columns)
    for row in LivePanel(state, RLock(), console).rows(columns, rows):
        console.print(Segments([*row, Segment.line()]), end="")
    saved(console, "search", f"mpsearch search {run.space.name}")


class Replay:
    """A clock that stands where it was put."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def started(run: Run, *, total: int) -> SearchStarted:
    """The event that began the run's trials."""
    known = KnownCosts.of_model(resolve(run.space, run.model), run.cost_model)
    return SearchStarted(
        name=run.space.name,
        out=Path("runs") / run.space.name,
        objectives=run.objectives,
        budgets=run.budgets,
        overrides=run.overrides,
        policies=known.resolved.policies,
        total=total,
        workers=1,
        baseline_score=run.baseline.score,
        baseline_costs=run.baseline.costs,
        least_costs=known.least_costs(),
        greatest_costs=known.greatest_costs(),
    )


def began(record: TrialRecord) -> float:
    return datetime.fromisoformat(record.ended).timestamp() - record.seconds


def losses(run: Run, record: TrialRecord) -> tuple[float, ...]:
    """The training loss of each step of a trial, which no run keeps: it is trained again."""
    task = load_task(run.space.task.name, dict(run.space.task.args))
    found = run_trial(task, trained_baseline(task), record.policy, run.space.trial, seed=record.seed)
    return found.curve or (run.baseline.loss,)


def inspector(run: Run, name: str, keys: Sequence[str], *, size: tuple[int, int] = (COLUMNS, 36)) -> None:
    async def driven() -> str:
        app = InspectorApp(run, look_every_s=None)
        async with app.run_test(size=size) as pilot:
            for key in keys:
                await pilot.press(key)
            await pilot.pause()
            return app.export_screenshot(title=f"mpsearch inspect runs/{run.space.name}")

    write_svg(name, asyncio.run(driven()))


def page(path: Path, name: str, *, width: int, height: int) -> None:
    """A page as Chromium draws it, in 256 colours that keep the rare ones."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("Chromium is needed for pictures of pages: apt-get install chromium")
    picture = IMAGES / f"{name}.png"
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1",
            "--virtual-time-budget=5000", f"--window-size={width},{height}", f"--screenshot={picture}",
            path.resolve().as_uri(),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    with Image.open(picture) as drawn:
        drawn.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            picture, optimize=True
        )
    tell(picture)


@contextmanager
def copied(folder: Path) -> Iterator[tuple[Path, str]]:
    """A folder with the run under the name that a reader has it by, `runs/NAME`."""
    name = mpsearch.load_run(folder).space.name
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(folder, Path(home) / "runs" / name)
        yield Path(home), f"runs/{name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--only", action="append", metavar="NAME", help="renew only this picture")
    options = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with copied(options.run) as (home, run):
        found = mpsearch.load_run(home / run)
        front = [point.number for point in found.front]
        others = [number for number in front if number != found.front.knee().number]
        pair = [str(found.front.knee().number), str(others[len(others) // 2])]

        def report() -> None:
            subprocess.run(
                [sys.executable, "-m", "mpsearch", "report", run, "--out", "report.html"],
                cwd=home, check=True, capture_output=True,
            )  # fmt: skip
            page(home / "report.html", "report", width=1280, height=1640)

        def notebook() -> None:
            cell = f"<body style='font-family:sans-serif;margin:16px'>{found._repr_html_()}</body>"
            (home / "notebook.html").write_text(
                f"<!doctype html><meta charset=utf-8>{cell}", encoding="utf-8"
            )
            page(home / "notebook.html", "notebook", width=960, height=760)

        pictures: dict[str, Callable[[], None]] = {
            "search": lambda: search_view(found),
            "pareto": lambda: command("pareto", ["pareto", run], cwd=home),
            "show": lambda: command("show", ["show", run, "knee"], cwd=home),
            "compare": lambda: command("compare", ["compare", run, *pair], cwd=home),
            "explain": lambda: command("explain", ["explain", run], cwd=home),
            "plan": lambda: command("plan", ["plan", found.space.name], cwd=home),
            "inspect": lambda: inspector(found, "inspect", ["right", "right"]),
            "report": report,
            "notebook": notebook,
        }
        for name in options.only or pictures:
            pictures[name]()


if __name__ == "__main__":
    main()
