"""`--help` of every command: purpose, usage, examples, options by group; as wide as the terminal."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from mpsearch.cli.console import output

OPTIONS = "Options"
_WIDEST = 100
_NARROW = 60  # below, an explanation stands under its option
_LONGEST_NAME = 30  # of those that stand beside their explanation
_NAME = "NAME"
_TYPE_NAMES = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}
_WORDS = re.compile(r'(?:[^\s"]|"[^"]*")+')
_LONGEST_TYPE = 24
_TEXTS = {
    "help": "Show this help.",
    "install_completion": "Let this shell complete commands, runs, trials, layers.",
    "show_completion": "Print what --install-completion would install.",
}
_QUOTED = re.compile(r"`([^`]+)`")


class HelpCommand(TyperCommand):
    """A command with our help screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(_rendered(_command_help(self, ctx)))


class HelpGroup(TyperGroup):
    """A group of commands with our help screen, which is also what it shows without a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or [ctx.help_option_names[0]])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(_rendered(_group_help(self, ctx)))


def examples(text: str | None) -> list[str]:
    """The lines of a docstring that can be typed, less their dollar."""
    return [line.strip()[2:] for line in (text or "").splitlines() if line.strip().startswith("$ ")]


def usage_line(command: Any, ctx: Any) -> str:
    """`mpsearch show RUN [TRIAL] [OPTIONS]`."""
    arguments = [p for p in command.get_params(ctx) if p.param_type_name == "argument"]
    return " ".join([ctx.command_path, *(_argument_name(p) for p in arguments), "[OPTIONS]"])


def _rendered(parts: Sequence[RenderableType]) -> str:
    console = output()
    with console.capture() as capture:
        console.print(Group(*parts), width=min(console.width, _WIDEST))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _command_help(command: Any, ctx: Any) -> list[RenderableType]:
    parts = [*_purpose(command.help), _usage(usage_line(command, ctx)), *_examples(command.help)]
    types = _types(command)
    panels: dict[str, list[Any]] = {"Arguments": []}
    others = []
    for parameter in command.get_params(ctx):
        if getattr(parameter, "hidden", False):
            continue
        panel = getattr(parameter, "rich_help_panel", None)
        if parameter.param_type_name == "argument":
            panels["Arguments"].append(parameter)
        elif panel:
            panels.setdefault(panel, []).append(parameter)
        else:
            others.append(parameter)
    panels[OPTIONS] = others
    rows = {title: [_row(p, types) for p in members] for title, members in panels.items() if members}
    return [*parts, *_sections(rows)]


def _group_help(group: Any, ctx: Any) -> list[RenderableType]:
    usage = f"{ctx.command_path} COMMAND [OPTIONS]"
    parts = [*_purpose(group.help), _usage(usage), *_examples(group.help)]
    panels: dict[str, list[tuple[Text, Text]]] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None and not command.hidden:
            title = getattr(command, "rich_help_panel", None)
            first = inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")
            row = (Text(name, "bold cyan"), _prose(first))
            panels.setdefault(title if isinstance(title, str) else "Commands", []).append(row)
    types = _types(group)
    panels[OPTIONS] = [_row(p, types) for p in group.get_params(ctx) if not getattr(p, "hidden", False)]
    return [*parts, *_sections(panels)]


def _purpose(text: str | None) -> Iterator[RenderableType]:
    """The first paragraph in bold, the rest as prose; examples are left out."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    told = [
        " ".join(line.strip() for line in paragraph.splitlines())
        for paragraph in paragraphs
        if not paragraph.strip().startswith("$ ")
    ]
    for number, paragraph in enumerate(told):
        yield _prose(paragraph, "bold" if number == 0 else "")
        yield Text()


def _prose(text: str, style: str = "") -> Text:
    """Text whose `quoted` words are names to type."""
    prose = Text(style=style)
    for place, part in enumerate(_QUOTED.split(text)):
        prose.append(part, "cyan" if place % 2 else "")
    return prose


def _usage(line: str) -> Text:
    return Text.assemble(("usage  ", "dim"), line)


def _examples(text: str | None) -> Iterator[RenderableType]:
    lines = examples(text)
    if lines:
        yield Text()
        yield Text("Examples" if len(lines) > 1 else "Example", "bold")
    for line in lines:
        yield _Command(line)


class _Command:
    """A line to type; one that is too long goes on after a backslash, so that it can be copied."""

    def __init__(self, line: str) -> None:
        self._words = _WORDS.findall(line)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[RenderableType]:
        room = options.max_width - 6  # "  $ " and " \\"
        lines = [""]
        for word in self._words:
            if lines[-1] and cell_len(f"{lines[-1]} {word}") > room:
                lines[-1] += " \\"
                lines.append("    " + word)
            else:
                lines[-1] += f" {word}" if lines[-1] else word
        for number, line in enumerate(lines):
            yield Text.assemble(("    " if number else "  $ ", "dim"), (line, "green"))


def _sections(panels: dict[str, list[tuple[Text, Text]]]) -> Iterator[RenderableType]:
    """Titles with two columns under them, aligned over all sections of a kind: commands, options."""
    for title, rows in panels.items():
        alike = [members for members in panels.values() if _is_options(members) == _is_options(rows)]
        names = [name.cell_len for members in alike for name, _ in members]
        width = max((length for length in names if length <= _LONGEST_NAME), default=0)
        if rows:
            yield Text()
            yield Text(title, "bold")
            yield _Rows(rows, width)


def _is_options(rows: Sequence[tuple[Text, Text]]) -> bool:
    return any(name.plain.startswith("-") for name, _ in rows)


class _Rows:
    """Names, and beside them (below them where the terminal is narrow) what they mean."""

    def __init__(self, rows: Sequence[tuple[Text, Text]], width: int) -> None:
        self._rows = rows
        self._width = width

    def __rich_console__(self, console: Any, options: Any) -> Iterator[RenderableType]:
        is_narrow = options.max_width < _NARROW
        for name, meaning in self._rows:
            if is_narrow or name.cell_len > self._width:
                yield Padding(name, (0, 0, 0, 2))
                yield Padding(meaning, (0, 0, 0, 6 if is_narrow else self._width + 4))
            else:
                grid = Table.grid(padding=(0, 2, 0, 0))
                grid.add_column(width=self._width, no_wrap=True)
                grid.add_column()
                grid.add_row(name, meaning)
                yield Padding(grid, (0, 0, 0, 2))


def _row(parameter: Any, types: dict[str, Any]) -> tuple[Text, Text]:
    kind = types.get(parameter.name, str)
    return _name(parameter, kind), _meaning(parameter, kind)


def _name(parameter: Any, kind: Any) -> Text:
    """`--trials N`, `-h, --help`, `--grid / --no-grid`."""
    if parameter.param_type_name == "argument":
        return Text(_argument_name(parameter).strip("[]"), "bold cyan")
    short_first = sorted(parameter.opts, key=len)
    text = Text(", ".join(short_first), "bold cyan")
    if parameter.secondary_opts:
        text.append(" / ", "dim").append(", ".join(parameter.secondary_opts), "bold cyan")
    if not parameter.is_flag:
        text.append(f" {parameter.metavar or _type_name(kind)}", "not bold yellow")
    return text


def _meaning(parameter: Any, kind: Any) -> Text:
    text = _prose(_TEXTS.get(parameter.name, parameter.help or ""))
    if _choices(kind) and _type_name(kind) == _NAME:
        text.append(f" One of {', '.join(_choices(kind))}.")
    default = _default(parameter)
    if default:
        text.append(f" [{default}]", "dim")
    return text


def _default(parameter: Any) -> str:
    """What holds where the option is not given; nothing for a flag, or where there is nothing."""
    shown = parameter.show_default
    if isinstance(shown, str):
        return f"default: {shown}"
    value = parameter.default
    is_told = shown is not False and value is not None and not callable(value)
    if not is_told or getattr(parameter, "is_flag", False) or parameter.required:
        return ""
    return f"default: {value.value if isinstance(value, Enum) else value}"


def _argument_name(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name).upper().replace("_", "-")
    name += "..." if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def _types(command: Any) -> dict[str, Any]:
    """Parameter -> the type of its values, from the function's annotations."""
    function = inspect.unwrap(command.callback) if command.callback is not None else None
    return {} if function is None else {n: _inner(hint) for n, hint in get_type_hints(function).items()}


def _inner(hint: Any) -> Any:
    """`list[str] | None` -> str."""
    while get_args(hint):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return hint


def _type_name(kind: Any) -> str:
    choices = "|".join(_choices(kind))
    if choices:
        return choices if len(choices) <= _LONGEST_TYPE else _NAME
    return _TYPE_NAMES.get(kind, "TEXT")


def _choices(kind: Any) -> list[str]:
    return [str(member.value) for member in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
