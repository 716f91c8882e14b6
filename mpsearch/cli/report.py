"""`mpsearch report`: a run as a page to share, and its front as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mpsearch.cli.completion import complete_objective
from mpsearch.cli.run_argument import RunArgument

if TYPE_CHECKING:
    from mpsearch.search.run import Run


_PICTURE = "The front alone, as a picture"


def report(
    run: RunArgument,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The page.", show_default="RUN.html, without --png or --svg"
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Write a PNG.", rich_help_panel=_PICTURE)
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write an SVG.", rich_help_panel=_PICTURE)
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            "--x",
            metavar="NAME",
            help="Across: accuracy, latency, memory, latency@pi5 and the like.",
            show_default="the first cost",
            rich_help_panel=_PICTURE,
            autocompletion=complete_objective,
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            "--y",
            metavar="NAME",
            help="Up, likewise.",
            show_default="accuracy",
            rich_help_panel=_PICTURE,
            autocompletion=complete_objective,
        ),
    ] = None,
) -> None:
    """Write a run as one HTML file to share, or its front as a picture.

    The file is interactive, light or dark as the reader's system is, and fetches nothing from anywhere.

    With --png or --svg, write the front alone as a picture for a paper or a pull request.

        $ mpsearch report runs/digits -o report.html

        $ mpsearch report runs/digits --svg front.svg --x memory
    """
    from mpsearch.errors import ConfigError
    from mpsearch.search.run import load_run

    page = out if out is not None or png or svg else Path(f"{run.resolve().name}.html")
    if (x or y) and not (png or svg):
        raise ConfigError(
            "--x and --y choose the axes of a picture, and need --png or --svg; the page lets its reader "
            "choose."
        )
    if open_it and page is None:
        raise ConfigError("--open shows the page, and --png or --svg alone write none. Add -o report.html.")
    found = load_run(run)
    if png is not None:
        _write_picture(found, png, "png", x, y)
    if svg is not None:
        _write_picture(found, svg, "svg", x, y)
    if page is not None:
        _write_page(found, page, open_it=open_it)


def _write_page(run: Run, path: Path, *, open_it: bool) -> None:
    from rich.text import Text

    from mpsearch.atomic_file import write_atomically
    from mpsearch.cli.console import output
    from mpsearch.report.page.page_html import report_page

    text = report_page(run).encode()
    write_atomically(path, text)
    _say_written(path, len(text))
    place = path.resolve().as_uri()
    if open_it:
        import webbrowser

        webbrowser.open(place)
    else:
        output().print(Text.assemble(("next  ", "bold"), "open ", (place, "cyan")), soft_wrap=True)


def _write_picture(run: Run, path: Path, kind: Literal["png", "svg"], x: str | None, y: str | None) -> None:
    from mpsearch.atomic_file import write_atomically
    from mpsearch.report.figure import front_figure

    picture = front_figure(run, kind, x, y)
    write_atomically(path, picture, f"--{kind}")
    _say_written(path, len(picture))


def _say_written(path: Path, size_bytes: int) -> None:
    from rich.text import Text

    from mpsearch.cli.console import output
    from mpsearch.report.units import bytes_text

    output().print(
        Text.assemble("wrote ", (str(path), "bold"), f", {bytes_text(size_bytes)}"), soft_wrap=True
    )
