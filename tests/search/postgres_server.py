"""A real PostgreSQL server in a temporary folder, on a port of the loopback address, for one test session."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

NOBODY = 65534  # the server refuses to run as root
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB")


def programs() -> Path:
    """The folder of the newest server's programs; the test is left out where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("PostgreSQL's server is not here: apt-get install postgresql")
    return (found[-1] if found else Path(on_path)).parent


class PostgresServer:
    """`url` names its one database; `stop` and `start` interrupt it as an administrator would."""

    def __init__(self) -> None:
        self._programs = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="mpsearch-pg-", dir="/tmp"))
        self._as_user = {}
        if os.getuid() == 0:
            os.chown(self._folder, NOBODY, NOBODY)
            self._as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self._folder / "password").write_text("correct horse\n")
        self._run(
            "initdb",
            "-U",
            "tester",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-sync",
            "--pwfile",
            str(self._folder / "password"),
        )
        self.start()
        self.create("studies")

    @property
    def url(self) -> str:
        return self.url_of("studies")

    def url_of(self, database: str, password: str | None = "correct%20horse") -> str:
        secret = "" if password is None else f":{password}"
        return f"postgresql://tester{secret}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> None:
        import psycopg

        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')

    def start(self) -> None:
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder), *FAST]
        self._run(
            "pg_ctl", "start", "-w", "-t", "30", "-l", str(self._folder / "log"), "-o", " ".join(options)
        )

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is as good as kill -9 of every process of the server."""
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def kill(self) -> None:
        """SIGKILL to all its processes, in no order of their own."""
        lock = self._folder / "data" / "postmaster.pid"
        first = int(lock.read_text().split()[0])
        processes = [first, *_children(first)]
        for process in processes:
            os.kill(process, signal.SIGKILL)
        while any(_is_alive(process) for process in processes):  # their shared memory is in use until then
            time.sleep(0.01)
        # A dead process that nobody waits for, as in a container, would pass for one that holds its locks.
        lock.unlink()
        (self._folder / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), "-D", str(self._folder / "data"), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            **self._as_user,
        )


def _children(parent: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _status(entry)[1:2] == [str(parent)]]


def _is_alive(process: int) -> bool:
    return _status(Path("/proc", str(process)))[:1] not in ([], ["Z"])


def _status(entry: Path) -> list[str]:
    """State, then the number of the parent; empty where there is no such process any more."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []
