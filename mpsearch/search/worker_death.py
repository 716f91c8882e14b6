"""Why a worker process ended: the words that its trial fails with."""

from __future__ import annotations

import re
import signal
from functools import cache
from pathlib import Path

_MOST_OUTPUT = 300


def killed_for_memory() -> int:
    """How often the kernel has killed for want of memory: in this process's control group, else anywhere.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events) and
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (memory.oom_control).
    """
    for file in _counters():
        try:
            found = re.search(r"^oom_kill (\d+)", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return 0


def cause_of_death(exit_code: int, *, killed_before: int, output: str) -> str:
    """One sentence. `exit_code`: negative for a signal; `killed_before`: `killed_for_memory` at the start."""
    if exit_code >= 0:
        last = output.strip().rpartition("\n")[2].strip()[:_MOST_OUTPUT]
        return f"The worker process ended with exit code {exit_code}{f': {last}' if last else ''}."
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    if -exit_code == signal.SIGKILL:
        if killed_for_memory() > killed_before:
            return (
                f"The system was out of memory and ended the worker process ({name}). Train smaller batches "
                "(trial.batch_size), or fewer trials at a time (workers)."
            )
        return f"The worker process was ended by {name} (out of memory?)."
    place = _crash_site(output)
    return f"The worker process was ended by {name}{f' {place}' if place else ''}."


def _crash_site(output: str) -> str:
    """The innermost line of Python that faulthandler has printed."""
    found = re.search(r"^Current thread .*\n\s+File \"(.+)\", line (\d+) in (.+)", output, re.MULTILINE)
    if found is None:
        return ""
    return f"in `{found[3]}`, {Path(found[1]).name} line {found[2]}"


@cache
def _counters() -> tuple[Path, ...]:
    root = Path("/sys/fs/cgroup")
    files = []
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            files.append(root / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(root / "memory" / path.lstrip("/") / "memory.oom_control")
    return (*files, root / "memory.events", root / "memory" / "memory.oom_control", Path("/proc/vmstat"))
