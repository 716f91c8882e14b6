"""Searches that are started, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

WARM_SEARCHES = Path(__file__).with_name("warm_searches.py")
PATIENCE_S = 120.0  # of the test, on a busy machine
_MARK = "MPSEARCH_TEST_OF_KILLS"
_STARTED = 17  # the place of the time of its start in what follows a process's parent in /proc/PID/stat


@dataclass(eq=False)
class Search:
    """One life of a search: `process` is its number, `output` what it tells its user."""

    process: int
    output: Path
    errors: Path
    mark: str
    server: WarmSearches
    status: int | None = field(default=None, init=False)
    _known: set[tuple[int, str]] = field(default_factory=set, init=False)

    def lines(self) -> int:
        return self.output.read_bytes().count(b"\n") if self.output.exists() else 0

    def events(self, name: str) -> list[dict]:
        """Those of that name that were told so far."""
        whole = self.output.read_bytes().split(b"\n")[:-1] if self.output.exists() else []
        return [event for event in map(json.loads, whole) if event["event"] == name]

    def wait_for(self, count: int, event: str = "trial_finished") -> bool:
        """Wait until it has told that event so often; whether it has, for it may end before."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.events(event)) < count:
            if self.wait(limit_s=0.0) is not None:
                return len(self.events(event)) >= count
            assert time.monotonic() < deadline, self.errors.read_text()
            time.sleep(0.002)
        return True

    def signal(self, number: int) -> None:
        if self.status is None:
            os.kill(self.process, number)

    def kill(self) -> int:
        self.signal(signal.SIGKILL)
        status = self.wait()
        assert status is not None
        return status

    def wait(self, limit_s: float = PATIENCE_S) -> int | None:
        """The exit status, negative for a signal; None if it still runs."""
        if self.status is None:
            self.status = self.server.ask(wait=self.process, limit_s=limit_s)
        return self.status

    def family(self) -> list[int]:
        """The processes that it has started and theirs, wherever they went.

        Found by their environment, and by their parents: a process that renames itself (Ray's do) overwrites
        the former. Whom it found once it knows again.
        """
        wanted = f"{_MARK}={self.mark}".encode()
        parents, found = {}, set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                state, parent, *fields = (entry / "stat").read_text().rpartition(")")[2].split()
                is_ours = wanted in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if state in "ZX":
                continue
            person = int(entry.name), fields[_STARTED]
            parents[person] = int(parent)
            if is_ours or person in self._known:
                found.add(person)
        while more := {who for who, by in parents.items() if by in {n for n, _ in found}} - found:
            found |= more
        self._known |= found
        return sorted(number for number, _ in found if number != self.process)

    def relatives(self, program: str) -> list[int]:
        """Those of its family whose command line has this in it."""
        found = []
        for process in self.family():
            with contextlib.suppress(OSError):
                if program.encode() in Path(f"/proc/{process}/cmdline").read_bytes():
                    found.append(process)
        return found

    def wait_for_orphans(self, limit_s: float = PATIENCE_S) -> list[int]:
        """Processes that outlive it by more than a moment."""
        deadline = time.monotonic() + limit_s
        while (orphans := self.family()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return orphans


class WarmSearches:
    """A process from which searches are forked; a context manager that leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Search] = []
        self.whole: tuple[float, int] | None = None  # of a search that nobody kills
        self.finished: Lives | None = None

    def __enter__(self) -> WarmSearches:
        self._errors = (self.folder / "warm_searches.errors").open("w")
        self._server = subprocess.Popen(
            [sys.executable, str(WARM_SEARCHES)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._server.stdout.readline() == '"ready"\n', Path(self._errors.name).read_text()
        return self

    def __exit__(self, *_error) -> None:
        for search in self.started:
            search.kill()
            for process in search.family():
                os.kill(process, signal.SIGKILL)
        self._server.stdin.close()
        self._server.wait(PATIENCE_S)
        self._server.stdout.close()
        self._errors.close()

    def ask(self, **request):
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(
        self,
        arguments: list[str],
        output: Path,
        *,
        die_at: int | None = None,
        terminal: str | None = None,
        **environment: str,
    ):
        """Begin `mpsearch ARGUMENTS`, which writes to `output`."""
        mark = uuid.uuid4().hex
        errors = output.with_suffix(".errors")
        process = self.ask(
            start=arguments,
            output=str(output),
            errors=str(errors),
            environment={**environment, _MARK: mark},
            die_at=die_at,
            terminal=terminal,
        )
        search = Search(process=process, output=output, errors=errors, mark=mark, server=self)
        self.started.append(search)
        return search


class Lives:
    """One run, searched into by one life after the other; after each its files are audited."""

    def __init__(self, searches: WarmSearches, folder: Path, arguments: list[str], total: int, audit) -> None:
        self.run = folder / "run"
        self.total = total
        self.outputs: list[Path] = []
        self.found: list[dict] = []  # the trials on the disk, by audit
        self.expected: set[int] = set()  # exit statuses beside 0 and that of a kill
        self.study = None  # a function that reads it, where it is not in the folder
        self._searches = searches
        self._folder = folder
        self._arguments = [*arguments, "--out", str(self.run), "--json-lines", "--trials", str(total)]
        self._audit = audit

    def begin(
        self, *more: str, die_at: int | None = None, terminal: str | None = None, **environment: str
    ) -> Search:
        output = self._folder / f"life-{len(self.outputs)}.jsonl"
        self.outputs.append(output)
        environment["MPSEARCH_CACHE"] = str(self._searches.folder / "cache")
        arguments = [*self._arguments, *more]
        return self._searches.start(arguments, output, die_at=die_at, terminal=terminal, **environment)

    def audit(self, life: Search) -> None:
        """Fails with all that is wrong; `life` has ended."""
        is_over = life.status == 0
        assert life.status in (0, -signal.SIGKILL, *self.expected), (life.status, life.errors.read_text())
        told = [output for output in self.outputs if output.exists()]
        study = None if self.study is None else self.study()
        problems, found = self._audit(
            self.run, told, total=self.total, is_over=is_over, before=self.found, study=study
        )
        self.found.append(found)
        assert not problems, "\n".join([f"after life {len(self.outputs) - 1}:", *problems])
        assert not life.wait_for_orphans(), life.errors.read_text()

    def come_to_the_end(self, *more: str) -> Search:
        life = self.begin(*more)
        assert life.wait() == 0, life.errors.read_text()
        self.audit(life)
        return life
