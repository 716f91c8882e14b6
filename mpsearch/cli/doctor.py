"""`mpsearch doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from mpsearch.search.checkup import Section

EXIT_BROKEN = 1
_NARROWEST = 80


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this machine and tell what is missing.

    Kernels, cores, PyTorch, libraries, data. The kernels really run, against the numpy reference. Exit code
    1: something that every search needs does not work.

        $ mpsearch doctor

        $ mpsearch doctor --json
    """
    from mpsearch.cli.console import messages, output, print_json
    from mpsearch.search.checkup import Checkup

    console = output()
    progress = messages()
    if progress.is_terminal:
        with progress.status("looking at this machine"):
            sections = _sections(console)
    else:
        sections = _sections(console)
    checkup = Checkup(sections=sections)
    if as_json:
        print_json(checkup.to_dict())
    else:
        from mpsearch.report.doctor_view import CheckupView

        console.print(CheckupView(checkup))
    if checkup.is_broken:
        raise typer.Exit(EXIT_BROKEN)


def _sections(console: Console) -> tuple[Section, ...]:
    """What needs torch is looked at only where it is there."""
    from importlib.util import find_spec

    from mpsearch.search.checkup import Finding, Section

    if find_spec("torch") is None:
        gone = Finding(
            name="torch",
            value="not installed; nothing runs without it",
            state="broken",
            advice="pip install torch",
        )
        return (Section(title="PyTorch", findings=(gone,)), _terminal(console))
    from mpsearch.search.checkup_machine import kernel_section, machine_section
    from mpsearch.search.checkup_software import library_section, place_section, torch_section

    return (
        machine_section(),
        kernel_section(),
        torch_section(),
        library_section(),
        place_section(),
        _terminal(console),
    )


def _terminal(console: Console) -> Section:
    """What of the tables, plots and colours this terminal can show."""
    from mpsearch.search.checkup import Finding, Section

    is_unicode = console.encoding.startswith("utf")
    colours = {"truecolor": "16 million", "256": "256", "standard": "16", "windows": "16"}
    amount = colours.get(console.color_system or "", "")
    is_wide = console.width >= _NARROWEST
    if not console.is_terminal:
        size = Finding(name="size", value=f"no terminal: {console.width} columns are assumed")
    else:
        size = Finding(
            name="size",
            value=f"{console.width} × {console.height}" + ("" if is_wide else ": tables leave columns out"),
            state="ok" if is_wide else "note",
        )
    return Section(
        title="Terminal",
        findings=(
            size,
            Finding(
                name="colours",
                value=amount or "none: symbols tell the same",
                state="ok" if amount else "fact",
            ),
            Finding(
                name="Unicode",
                value=console.encoding if is_unicode else f"{console.encoding}: plots and marks become ASCII",
                state="ok" if is_unicode else "note",
                advice=None if is_unicode else "For plots with finer dots: export LC_ALL=C.UTF-8",
            ),
        ),
    )
