"""Searches that start in a fraction of a second: everything is imported once, and each one is a fork of that.

A program, run by `WarmSearches`. Each line on standard input is a JSON object:

    {"start": [arguments of mpsearch], "output": FILE, "errors": FILE, "environment": {...}, "die_at": N}
        answered by the number of the process, which leads a session of its own. With a `die_at` it kills
        itself at the N-th moment between two steps of its work on files; 0 writes how many there were to
        FILE.moments. With a "terminal" that is its own, for what is not told to FILE.
    {"wait": NUMBER, "limit_s": SECONDS}
        answered by its exit status, negative for a signal; null if it goes on after that time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

# Audit events (https://docs.python.org/3/library/audit_events.html) before a step on a file.
_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect"}


def import_everything():
    import optuna
    import sqlalchemy.dialects.sqlite
    import torch

    import mpsearch.cli.app
    import mpsearch.models.trace
    import mpsearch.report.live_view
    import mpsearch.report.progress
    import mpsearch.report.run_overview
    import mpsearch.search.engine
    import mpsearch.training.trial

    torch.set_num_threads(1)
    mpsearch.models.trace.trace_model(torch.nn.Linear(1, 1), (torch.zeros(1, 1),))  # and of torch, here
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study().ask().suggest_int("x", 0, 1)  # much of Optuna is imported on first use
    return mpsearch.cli.app, sqlalchemy.dialects.sqlite


class Moments:
    """Counts the steps between which a process may be killed; kills it at one of them."""

    def __init__(self, die_at):
        self.die_at = die_at
        self.count = 0

    def watch(self):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "commit", lambda _connection: self.step())
        sys.addaudithook(self.hear)

    def hear(self, name, arguments):
        if name not in _STEPS:
            return
        if name == "open" and not (isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE):
            return  # to read
        self.step()

    def step(self):
        self.count += 1
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def search(request):
    """In the fork: be `mpsearch ARGUMENTS`."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(request["environment"])
    errors = request["terminal"] or request["errors"]  # opened by a session without one, it is its terminal
    for file, descriptor in (("/dev/null", 0), (request["output"], 1), (errors, 2)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["mpsearch", *request["start"]]
    moments = Moments(request["die_at"])
    if request["die_at"] is not None:
        moments.watch()
    code = 0
    try:
        sys.modules["mpsearch.cli.app"].main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        if request["die_at"] == 0:
            Path(request["output"] + ".moments").write_text(str(moments.count))
    return code


def wait(process, limit_s):
    deadline = time.monotonic() + limit_s
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    _kept = import_everything()
    answer("ready")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer(wait(request["wait"], request["limit_s"]))
            continue
        process = os.fork()
        if not process:
            code = 70
            try:
                code = search(request)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        answer(process)


if __name__ == "__main__":
    main()
