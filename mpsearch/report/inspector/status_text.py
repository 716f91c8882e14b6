"""The lines above and below the plot: which run this is, and what narrows it down."""

from __future__ import annotations

from rich.text import Text

from mpsearch.report.inspector.filter_bar import FilterState
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.inspector.run_watch import Sight
from mpsearch.report.inspector.view_state import Scene
from mpsearch.report.seeds_text import repeats_text
from mpsearch.report.units import budgets_text, counted


def header_text(scene: Scene, sight: Sight, palette: Palette, width: int) -> Text:
    """Name and counts at the left, the state of the search at the right."""
    run = scene.run
    stopped = len(run.records) - scene.complete - scene.failures
    left = Text(no_wrap=True)
    left.append(run.name, palette.ink("text", "bold"))
    front = f"{len(run.front)} on the front"
    complete = sum(record.is_complete for record in run.trainings)
    left.append(f"  {counted(complete, 'trial')}{repeats_text(run.records)} · {front}", palette.ink("dim"))
    if stopped:
        left.append(f" · {stopped} stopped early", palette.ink("dim"))
    if scene.failures:
        left.append(f" · {scene.failures} failed", palette.ink("loss"))
    right = state_text(scene, sight, palette)
    room = width - left.cell_len - right.cell_len
    if room < 2:
        left.truncate(max(width - right.cell_len - 2, 0), overflow="ellipsis")
        room = max(width - left.cell_len - right.cell_len, 1)
    return Text.assemble(left, " " * room, right, no_wrap=True)


def state_text(scene: Scene, sight: Sight, palette: Palette) -> Text:
    """Searching, stopped or finished; or what is wrong with the folder."""
    if sight.problem is not None:
        word = "folder is gone" if sight.problem.endswith("is gone") else "folder cannot be read"
        return Text.assemble(
            ("! ", palette.ink("loss", "bold")), (f"{word}, showing the last state", palette.ink("loss"))
        )
    done, total = len(scene.run.trainings), scene.run.space.search.trials
    if sight.is_searching:
        ink = palette.ink("front")
        running = f"{sight.running} running, " if sight.running else ""
        return Text.assemble(
            ("▶ searching  ", palette.ink("front", "bold")), (f"{running}{done} of {total} done", ink)
        )
    if done < total:
        return Text(f"stopped, {done} of {total} done", palette.ink("dim"))
    return Text("finished", palette.ink("dim"))


def narrowing_text(
    scene: Scene, kept: FilterState, palette: Palette, width: int, *, is_own: bool, problem: str | None = None
) -> Text:
    """The budgets and what fits them; the filter and what it keeps. While there is a problem, what it is."""
    if problem is not None:
        line = Text(problem, palette.ink("loss"), no_wrap=True)
        line.truncate(width, overflow="ellipsis")
        return line
    budgets = scene.run.budgets
    line = Text(no_wrap=True)
    line.append("budgets ", palette.ink("dim"))
    if budgets:
        line.append(budgets_text(budgets), palette.ink("budget"))
        line.append(f"  {len(scene.fitting)} of {scene.complete} fit", palette.ink("text"))
        if is_own:
            line.append(" · yours", palette.ink("dim"))
    else:
        line.append("none", palette.ink("dim"))
    if kept.kept is not None:
        line.append("   filter ", palette.ink("dim"))
        line.append(str(kept.kept), palette.ink("accent"))
        line.append(f"  {len(scene.shown)} of {len(scene.run.records)} shown", palette.ink("text"))
    line.truncate(width, overflow="ellipsis")
    return line
