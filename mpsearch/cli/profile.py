"""`mpsearch profile`: time this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.completion import complete_space
from mpsearch.errors import ConfigError, ProfileError

if TYPE_CHECKING:
    from mpsearch.profiling.profiled_model import ProfiledModel


def profile(
    *,
    space: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE",
            help="Measure every layer of this space: a YAML file or a built-in name.",
            autocompletion=complete_space,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads that the model will run on.", min=1)] = 1,
    grid: Annotated[
        bool | None,
        typer.Option(
            "--grid/--no-grid",
            help="Measure a grid of shapes, to interpolate between.",
            show_default="on without --space",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write.", show_default="hw_profiles/NAME.json"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the profile.", show_default="processor and threads"),
    ] = None,
) -> None:
    """Time the kernels on this machine, into a hardware profile.

    What the file holds already is kept, and only what is missing is measured. It is written as it grows:
    interrupted, the same command goes on.

        $ mpsearch profile --space digits --out hw_profiles/laptop.json
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mpsearch.cli.console import messages, output
    from mpsearch.hardware.fingerprint import probe_machine
    from mpsearch.hardware.profile import HardwareProfile
    from mpsearch.profiling.profile_machine import profile_machine
    from mpsearch.report.profile_view import profile_view

    with_grid = space is None if grid is None else grid
    if space is None and not with_grid:
        raise ConfigError(
            "A profile needs something to measure; got --no-grid and no --space. Name a --space."
        )
    label = name or profile_name(probe_machine().cpu_model, threads)
    path = out or Path("hw_profiles") / f"{label}.json"
    existing = HardwareProfile.load(path) if path.exists() else None
    if existing is not None and existing.threads != threads:
        raise ConfigError(
            f"A profile is for one number of threads; {path} is for {existing.threads}, got --threads "
            f"{threads}. Name another --out."
        )
    if existing is not None and (differences := existing.matches(probe_machine())):
        raise ProfileError(
            f"A profile is of one machine; {path} differs in {'; '.join(differences)}. "
            "Name another --out, or delete the file to measure all of it again."
        )
    models = _needs(space)
    console = messages()
    columns = (
        TextColumn("[dim]{task.description}", table_column=None),
        BarColumn(28, complete_style="cyan"),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    last_tenth = -1
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("preparing", total=None)

        def on_progress(done: int, total: int, what: str) -> None:
            nonlocal last_tenth
            bar.update(row, completed=done, total=total, description=f"{what:<36.36}")
            tenth = 10 * done // max(total, 1)
            if not console.is_terminal and tenth > last_tenth:
                last_tenth = tenth
                console.print(f"profile: {done}/{total} {what}", soft_wrap=True, markup=False)

        measured = profile_machine(
            name=name or (existing.name if existing else label),
            threads=threads,
            models=models,
            grid=with_grid,
            existing=existing,
            on_progress=on_progress,
            on_measured=lambda grown: grown.save(path),
        )
    measured.save(path)
    output().print(profile_view(measured, path))


def profile_name(cpu_model: str, threads: int) -> str:
    """A file name from a processor: "Intel(R) Xeon(R) CPU @ 2.20GHz" -> "intel-xeon-2.20ghz-1t"."""
    import re

    plain = re.sub(r"\((?:r|tm|c)\)|\bcpu\b|\bprocessor\b|@", " ", cpu_model.lower())
    words = re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or "machine"
    return f"{words[:48]}-{threads}t"


def _needs(space: str | None) -> list[ProfiledModel]:
    """The model of the space at each of its widths, if one is named."""
    if space is None:
        return []
    from mpsearch.search.preparation import profiled_models, traced_task
    from mpsearch.search.space_file import load_space

    return list(profiled_models(traced_task(load_space(space), None, lambda _: None)))
