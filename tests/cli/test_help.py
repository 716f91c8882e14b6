"""The help screens: every command, every parameter, every example."""

from __future__ import annotations

import inspect
import shlex

import pytest
import typer

from mpsearch.cli import app as app_module
from mpsearch.cli.app import app, main
from mpsearch.cli.help_screen import HelpCommand, HelpGroup, examples

ROOT = typer.main.get_command(app)


def walk(command, path=()):
    """Every command with the words that call it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


COMMANDS = dict(walk(ROOT))
RUNNABLE = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}
EXAMPLES = [(path, line) for path, command in COMMANDS.items() for line in examples(command.help)]


def run(capsys, monkeypatch, *words, width=100):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.argv", ["mpsearch", *words])
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def named(path):
    return " ".join(path) or "mpsearch"


@pytest.mark.parametrize("path", COMMANDS, ids=named)
def test_every_parameter_of_every_command_says_what_it_is_for(path):
    for parameter in COMMANDS[path].params:
        assert (parameter.help or "").strip(), parameter.name
        assert parameter.help.rstrip()[-1] in ".!?", f"{parameter.name}: {parameter.help}"


@pytest.mark.parametrize("path", RUNNABLE, ids=named)
def test_every_command_begins_with_its_purpose_in_one_sentence_and_has_examples(path):
    text = inspect.cleandoc(RUNNABLE[path].help)
    assert text.partition("\n\n")[0].replace("\n", " ").endswith(".")
    own = examples(RUNNABLE[path].help)
    assert own
    assert all(line.startswith(f"mpsearch {' '.join(path)}") for line in own)


@pytest.mark.parametrize("path", COMMANDS, ids=named)
def test_every_command_has_our_help_screen(path):
    assert isinstance(COMMANDS[path], (HelpCommand, HelpGroup))


@pytest.mark.parametrize(("path", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_every_example_is_a_line_that_the_command_takes(path, line):
    """Names and options exist and values are of their kind; that it runs as told, others test."""
    words = shlex.split(line)
    assert words.pop(0) == "mpsearch"
    command, called = ROOT, ()
    while words and hasattr(command, "commands"):
        called = (*called, words.pop(0))
        assert called in COMMANDS, line
        command = COMMANDS[called]
    command.make_context("mpsearch", words)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("path", COMMANDS, ids=named)
def test_help_fits_and_tells_every_option_and_example(path, width, capsys, monkeypatch):
    code, out, err = run(capsys, monkeypatch, *path, "-h", width=width)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= width
    told = " ".join(out.replace("\\\n", " ").split())
    for parameter in COMMANDS[path].params:
        if not parameter.hidden and parameter.param_type_name == "option":
            assert parameter.opts[0] in out
    for line in examples(COMMANDS[path].help):
        assert " ".join(line.split()) in told


def test_the_commands_are_listed_by_what_they_are_for(capsys, monkeypatch):
    _, out, _ = run(capsys, monkeypatch)
    places = [out.index(f"\n{title}\n") for title in ("Search", "Look at a run", "Use a policy")]
    assert places == sorted(places)
    for _, function in app_module._COMMANDS:
        assert f"\n  {function.__name__} " in out


@pytest.mark.parametrize("words", [(), ("space",)])
def test_a_group_without_a_command_shows_its_help(words, capsys, monkeypatch):
    assert run(capsys, monkeypatch, *words) == run(capsys, monkeypatch, *words, "--help")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serach",), "Did you mean 'search'?"),
        (("space", "shwo"), "Did you mean 'show'?"),
        (("pareto", "runs", "--jsn"), "--json"),
        (("show",), "Missing argument"),
        (("search", "digits", "--trials", "none"), "for '--trials'"),
    ],
)
def test_a_line_that_is_no_command_is_answered_with_the_nearest_and_where_help_is(
    words, said, capsys, monkeypatch
):
    code, out, err = run(capsys, monkeypatch, *words, width=300)
    assert (code, out) == (2, "")
    assert err.startswith("UsageError: ")
    assert said in err
    assert "--help` tells" in err
    assert err.count("\n") == 1
