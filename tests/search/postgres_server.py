"""A real PostgreSQL server in a temporary folder, on a port of the loopback address, for one test session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

NOBODY = 65534  # the server refuses to run as root
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB")


class PostgresServer:
    """`url` names its one database; `stop` and `start` interrupt it as an administrator would."""

    def __init__(self) -> None:
        self._programs = max(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
        )
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
