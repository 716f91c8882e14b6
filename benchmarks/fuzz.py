"""Damage valid files of every kind and read them: each must be read, or be refused by a typed error.

    python benchmarks/fuzz.py [--inputs N] [--only LOADER]... [--guided SECONDS] [--json OUT] [--jobs N]

Loaders: space (YAML), profile, policy, packed (model and manifest), run (a folder, as `mpsearch pareto` reads
it), study (the folder, as a search takes it up). Inputs are numbered and repeatable: `--show run:123` reads
one again and prints what came of it. Each may take 10 s of processor time and 512 MiB more memory; what does
not, and every error that is no MpsearchError, is a crash. `--guided` hands the same damage to atheris (where
it is installed), which keeps inputs that reach new code, for so many seconds a loader.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

NAMES = ("space", "profile", "policy", "packed", "run", "study")
_CHUNK = 2000  # inputs that one process reads: if it dies, this many are read again one by one
_SHOWN_CRASHES = 20
_HANGS_S = 90  # of wall clock, on a busy machine


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--inputs", type=int, default=1000, metavar="N")
    arguments.add_argument("--only", action="append", choices=NAMES)
    arguments.add_argument("--first", type=int, default=0, metavar="NUMBER", help="of the first input")
    arguments.add_argument("--guided", type=float, default=0, metavar="SECONDS")
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--json", type=Path, metavar="OUT")
    arguments.add_argument("--samples", type=Path, metavar="FOLDER", help="of an earlier run, kept")
    arguments.add_argument("--show", metavar="LOADER:NUMBER")
    arguments.add_argument("--work", help=argparse.SUPPRESS)  # LOADER:FIRST:COUNT, of a child
    given = arguments.parse_args()
    if given.show:
        name, _, number = given.show.partition(":")
        return _show(given.samples, name, int(number))
    if given.work:
        name, first, count = given.work.split(":")
        print(json.dumps(_read_all(given.samples, name, int(first), int(count))))
        return 0
    with tempfile.TemporaryDirectory(prefix="mpsearch-fuzz-") as folder:
        samples = given.samples or Path(folder)
        _make(samples)
        return _run(given, samples)


def _run(given: argparse.Namespace, samples: Path) -> int:
    report: dict[str, Any] = {"done": False, "inputs": given.inputs, "loaders": {}}
    for name in given.only or NAMES:
        started = time.perf_counter()
        firsts = range(given.first, given.first + given.inputs, _CHUNK)
        with ThreadPoolExecutor(given.jobs) as pool:
            parts = [
                pool.submit(_in_child, samples, name, first, min(_CHUNK, given.first + given.inputs - first))
                for first in firsts
            ]
            ends: Counter[str] = Counter()
            seen: set[str] = set()
            crashes: dict[str, dict[str, Any]] = {}
            slowest = (0.0, -1)
            for part in parts:
                found = part.result()
                ends.update(found["ends"])
                seen.update(found["digests"])
                slowest = max(slowest, tuple(found["slowest"]))
                for crash in found["crashes"]:
                    place = crashes.setdefault(crash["place"], {**crash, "times": 0})
                    place["times"] += crash["times"]
                report["loaders"][name] = {
                    "inputs": ends.total(),
                    "different": len(seen),
                    "ends": dict(ends.most_common()),
                    "crashes": sorted(crashes.values(), key=lambda crash: -crash["times"]),
                    "slowest_s": slowest[0],
                    "slowest_input": slowest[1],
                    "seconds": time.perf_counter() - started,
                }
                _write(given.json, report)
        print(_line(name, report["loaders"][name]), flush=True)
        if given.guided:
            report["loaders"][name]["guided"] = guided = _guided(samples, name, given.guided)
            print(f"{'':8} guided: {guided}", flush=True)
            _write(given.json, report)
    report["done"] = True
    _write(given.json, report)
    return int(any(counts["crashes"] or counts.get("guided", {}).get("crashes")
                   for counts in report["loaders"].values()))  # fmt: skip


def _line(name: str, counts: dict[str, Any]) -> str:
    ends = ", ".join(f"{end} {count}" for end, count in counts["ends"].items())
    lines = [
        f"{name:8} {counts['inputs']} inputs, {counts['different']} different: {ends}; slowest "
        f"{counts['slowest_s']:.2f} s (input {counts['slowest_input']}); {counts['seconds']:.0f} s"
    ]
    crashes = counts["crashes"][:_SHOWN_CRASHES]
    lines += [f"{'':8} {crash['times']} x {name}:{crash['input']} {crash['place']}" for crash in crashes]
    return "\n".join(lines)


def _write(path: Path | None, report: dict[str, Any]) -> None:
    if path is not None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(report, indent=1))
        part.replace(path)


def _in_child(samples: Path, name: str, first: int, count: int) -> dict[str, Any]:
    """Read the inputs in another process; the one that kills it is a crash, and the rest are read anyway."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.NamedTemporaryFile() as at:
        command = [sys.executable, __file__, "--samples", str(samples), "--work", f"{name}:{first}:{count}"]
        child = subprocess.run(
            command, env={**environment, "FUZZ_AT": at.name}, capture_output=True, text=True, check=False
        )
        if child.returncode == 0:
            result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
            return result
        begun = Path(at.name).read_text()
        if not begun:
            raise RuntimeError(f"no input was read: {child.stderr[-2000:]}")
        fatal = int(begun)
    place = f"the process ended with {child.returncode}: {child.stderr.strip().splitlines()[-1:]}"
    parts = [
        {
            "ends": {"crash": 1},
            "digests": [],
            "slowest": [0.0, -1],
            "crashes": [{"place": place, "input": fatal, "times": 1, "trace": child.stderr[-2000:]}],
        }
    ]
    for start, end in ((first, fatal), (fatal + 1, first + count)):
        if end > start and child.stderr:
            parts.append(_in_child(samples, name, start, end - start))
    return {
        "ends": sum((Counter(part["ends"]) for part in parts), Counter()),
        "digests": [digest for part in parts for digest in part["digests"]],
        "slowest": max(part["slowest"] for part in parts),
        "crashes": [crash for part in parts for crash in part["crashes"]],
    }


def _read_all(samples: Path, name: str, first: int, count: int) -> dict[str, Any]:
    loader, folder = _loader(samples, name)
    ends: Counter[str] = Counter()
    crashes: dict[str, dict[str, Any]] = {}
    digests = []
    slowest = (0.0, -1)
    at = Path(os.environ["FUZZ_AT"])
    with folder:
        for number in range(first, first + count):
            at.write_text(str(number))
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)  # native code hears no signal handler
            files = loader.damaged(number)
            parts = (f"{part} {hashlib.sha1(content or b'').hexdigest()}" for part, content in files.items())
            digests.append(hashlib.sha1(" ".join(sorted(parts)).encode()).hexdigest()[:16])
            started = time.process_time()
            verdict = loader.verdict(files, number)
            slowest = max(slowest, (time.process_time() - started, number))
            ends[verdict.end] += 1
            if verdict.crash is not None:
                crash = {"place": _place(verdict.crash), "input": number, "times": 0, "trace": verdict.crash}
                crashes.setdefault(crash["place"], crash)["times"] += 1
        faulthandler.cancel_dump_traceback_later()
    return {"ends": ends, "digests": digests, "slowest": slowest, "crashes": list(crashes.values())}


def _place(crash: str) -> str:
    """The last line of ours in the traceback, and the class of the error."""
    lines = crash.strip().splitlines()
    ours = [line.strip() for line in lines if "/mpsearch/" in line and line.strip().startswith("File")]
    kind = next((line for line in reversed(lines) if line and not line.startswith(" ")), "?")
    return f"{kind.partition(':')[0]} at {ours[-1] if ours else lines[-2].strip() if len(lines) > 1 else ''}"


def _guided(samples: Path, name: str, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mpsearch-guided-") as folder:
        command = [
            sys.executable,
            str(Path(__file__).with_name("fuzz_guided.py")),
            str(samples),
            name,
            folder,
        ]
        child = subprocess.run(
            [*command, f"-max_total_time={int(seconds)}", "-timeout=30", "-rss_limit_mb=4096"],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = Path(folder) / "found.json"
        if not found.exists():
            return {"not_run": child.stderr.strip().splitlines()[-1:]}
        result: dict[str, Any] = json.loads(found.read_text())
        covered = [line for line in child.stderr.splitlines() if " cov: " in line]
        return {**result, "last": covered[-1].strip() if covered else ""}


def _show(samples: Path | None, name: str, number: int) -> int:
    with tempfile.TemporaryDirectory() as fallback:
        _make(samples or Path(fallback))
        loader, folder = _loader(samples or Path(fallback), name)
        with folder:
            files = loader.damaged(number)
            for part, content in files.items():
                if content is None:
                    print(f"{part} is missing")
                elif content != loader.pristine[part]:
                    print(f"--- {part}, {len(content)} bytes")
                    print(content[:4000].decode(errors="backslashreplace"))
            print(loader.verdict(files, number))
    return 0


def _make(samples: Path) -> None:
    from fuzz_samples import make_samples  # noqa: PLC0415 - slow, and only to make them

    if not (samples / "packed").exists():
        os.environ.setdefault("MPSEARCH_CACHE", str(samples / "cache"))
        make_samples(samples)


def _loader(folder: Path, name: str) -> tuple[Any, tempfile.TemporaryDirectory[str]]:
    from fuzz_loaders import LOADERS  # noqa: PLC0415 - slow, and only for a child
    from fuzz_samples import samples_in  # noqa: PLC0415

    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable()
    own = tempfile.TemporaryDirectory(
        prefix="mpsearch-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    )
    return LOADERS[name](samples_in(folder), Path(own.name) / "it"), own


if __name__ == "__main__":
    sys.exit(main())
