"""What README.md and docs/ tell a reader to type: every command parses, and what is cheap really runs."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import mpsearch
from mpsearch.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# A block of Python runs, after those above it on its page, unless the line before it says why it cannot.
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+) -->\n)?^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.M | re.S
)
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
SHELL_WORDS = {"|", "||", "&", "&&", ";", ">", ">>", "<"}
# Commands that only read a run; both names are copies of the example, which lies in the repository.
CHEAP = {"pareto", "show", "compare", "explain", "report"}
RUNS = ("runs/digits", "runs/digits-example")


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str
    line: int
    runs: bool

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            found["language"],
            found["text"],
            text[: found.start("text")].count("\n") + 1,
            not found["reason"],
        )
        for found in BLOCK.finditer(text)
        if found["language"] == language
    ]


def commands_of(block):
    """Each `mpsearch ...` of a block of shell, as its arguments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        for is_split, words in itertools.groupby(lexer, key=SHELL_WORDS.__contains__):
            name, *arguments = words
            if not is_split and name == "mpsearch":
                yield arguments


def parsed(arguments):
    """The names of the command that the real command line finds there, all arguments read by it.

    Raises: what typer raises for an unknown command, option or value.
    """
    command, rest, context, names = typer.main.get_command(app), arguments, None, []
    while True:
        context = command.make_context(names[-1] if names else "mpsearch", list(rest), parent=context)
        if not hasattr(command, "resolve_command"):
            return names
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        names.append(name)


DOCUMENTED = [
    (block, arguments) for page in PAGES for block in blocks(page, "bash") for arguments in commands_of(block)
]
QUICK = [(b, a) for b, a in DOCUMENTED if a and a[0] in CHEAP and any(word in RUNS for word in a)]
PYTHON_PAGES = [page for page in PAGES if any(block.runs for block in blocks(page, "python"))]


def named(value):
    return shlex.join(value) if isinstance(value, list) else str(value)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder as a reader has it after `mpsearch search digits`, beside the documented task."""
    folder = tmp_path_factory.mktemp("reader")
    for run in RUNS:
        shutil.copytree(ROOT / "runs/digits-example", folder / run)
    shutil.copytree(ROOT / "docs/examples", folder / "docs/examples")
    return folder


@pytest.mark.parametrize(("block", "arguments"), DOCUMENTED, ids=named)
def test_every_documented_command_is_one(block, arguments):
    assert parsed(arguments)


def test_a_command_that_is_none_is_found_out():
    for wrong in (["paretto", "runs/digits"], ["pareto", "runs/digits", "--jsn"], ["pareto"]):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parsed(wrong)


def test_every_command_is_documented():
    groups, commands = [typer.main.get_command(app)], []
    while groups:
        for command in groups.pop().commands.values():
            (groups if hasattr(command, "commands") else commands).append(command)
    known = {tuple(parsed(arguments)) for _, arguments in DOCUMENTED}
    assert {command.name for command in commands} <= {names[-1] for names in known}


@pytest.mark.parametrize(("block", "arguments"), QUICK, ids=named)
def test_documented_commands_that_read_a_run_work_on_the_example(block, arguments, reader, monkeypatch):
    monkeypatch.chdir(reader)
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_documented_python_runs(page, reader, tmp_path):
    """As one program a page, in a process of its own: what it imports and changes is its own too."""
    program = "\n".join(
        f"exec(compile({block.text!r}, {str(block)!r}, 'exec'))"
        for block in blocks(page, "python")
        if block.runs
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=reader,
        env={**os.environ, "MPSEARCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_lists_every_page():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index


def test_pictures_are_there_small_and_described():
    shown = re.findall(
        r"!\[([^\]]*)\]\(([^)]+)\)", "".join(page.read_text(encoding="utf-8") for page in PAGES)
    )
    assert all(description for description, _ in shown)
    for picture in (ROOT / "docs/images").iterdir():
        assert picture.stat().st_size < {".svg": 200_000, ".png": 300_000}[picture.suffix]
        assert any(picture.name == Path(target).name for _, target in shown), (
            f"{picture.name} is shown nowhere"
        )


def test_the_documented_task_searches_and_exports(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MPSEARCH_CACHE", str(tmp_path / "cache"))
    run = mpsearch.search("docs/examples/tumours.yaml", trials=7, out=tmp_path / "run", progress=False)
    assert len(run.trials) == 7
    assert run.front.knee().accuracy > 0.9
    packed = run.front.knee().export(tmp_path / "packed", format="packed")
    assert (packed / "manifest.json").exists()


@pytest.mark.parametrize("space", sorted(ROOT.glob("search_spaces/*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_space_is_valid_and_found_by_its_name(space):
    assert mpsearch.load_space(space.stem).name == space.stem


@pytest.mark.parametrize("profile", sorted(ROOT.glob("hw_profiles/*.json")), ids=lambda path: path.stem)
def test_every_shipped_profile_opens(profile):
    assert mpsearch.HardwareProfile.load(profile).measurements
