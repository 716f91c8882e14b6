"""What reads each kind of file, as far as its commands go: either it can be read and shown, or MpsearchError.

A loader is given whole folders, damaged by `fuzz_mutations`, and may take bounded time and memory.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import resource
import shutil
import signal
import sqlite3
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from fuzz_mutations import mutated
from fuzz_samples import Samples, small_task
from rich.console import Console

from mpsearch.errors import MpsearchError
from mpsearch.export import packed_model
from mpsearch.export.manifest import Manifest
from mpsearch.export.packed_file import CHECK_FILE, MANIFEST_FILE, WEIGHTS_FILE, read_packed
from mpsearch.export.packed_model import model_from_packed
from mpsearch.export.policy_file import PolicyFile
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.report.csv_report import csv_report
from mpsearch.report.front_plot import front_plot
from mpsearch.report.json_report import json_report
from mpsearch.report.policy_view import policy_view
from mpsearch.report.profile_view import profile_view
from mpsearch.report.run_overview import next_step, run_overview
from mpsearch.search.resolve import cost_model_of, resolve
from mpsearch.search.run import load_run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space_file import load_space, parse_space
from mpsearch.search.study import StudyStore

Files = dict[str, bytes | None]  # name -> content, None where the file is missing

HARMLESS_BYTES = 512 << 20  # more than any of these files may make us reserve
HARMLESS_S = 10.0  # of processor time, on any machine; valid files take milliseconds


class TookTooLong(BaseException):
    """No Exception, so that nothing takes it for a file's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`end`: `read`, the class of the typed error, or `crash`, and then `crash` says where it was."""

    end: str
    crash: str | None = None


class Loader(ABC):
    """One kind of file or folder. `samples` are valid ones; `folder` is the loader's own to write to."""

    name: str

    def __init__(self, samples: Samples, folder: Path) -> None:
        self.samples = samples
        self.folder = folder
        self.pristine = self._files()
        folder.mkdir(parents=True, exist_ok=True)
        self._there: Files = {}

    @abstractmethod
    def _files(self) -> Files: ...

    @abstractmethod
    def _read(self, rng: Random) -> None:
        """Read what lies in `folder` and use it as the commands do."""

    def damaged(self, number: int) -> Files:
        """The files of that input."""
        rng = Random(f"{self.name} {number}")
        name = rng.choice([name for name, content in self.pristine.items() if content])
        content = self.pristine[name]
        return {**self.pristine, name: mutated(name, content, rng)} if content else self.pristine

    def verdict(self, files: Files, number: int = 0) -> Verdict:
        """Read these files, under limits."""
        self._lay_out(files)
        try:
            with _limits():
                self._read(Random(number))
        except MpsearchError as error:
            return self._judged(error)
        except (Exception, TookTooLong):  # whatever else comes out of a loader is what we look for
            return Verdict(end="crash", crash=traceback.format_exc(limit=-6))
        return Verdict(end="read")

    def _judged(self, error: MpsearchError) -> Verdict:
        try:
            text = str(error)
            text.encode()  # half a surrogate pair could not be shown
        except ValueError:
            return Verdict(end="crash", crash=f"{type(error).__name__} that cannot be shown\n")
        if len(text) > 20_000:
            return Verdict(
                end="crash", crash=f"{type(error).__name__} of {len(text)} letters: {text[:200]}\n"
            )
        return Verdict(end=type(error).__name__)

    def _lay_out(self, files: Files) -> None:
        for stranger in {path.name for path in self.folder.iterdir()} - files.keys():
            path = self.folder / stranger
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink(missing_ok=True)
            elif self._there.get(name) is not content or not path.exists():
                path.unlink(missing_ok=True)
                path.write_bytes(content)
        self._there = dict(files)


class SpaceLoader(Loader):
    name = "space"

    def _files(self) -> Files:
        return {"space.yaml": (self.samples.run.parent / "space.yaml").read_bytes()}

    def _read(self, rng: Random) -> None:  # noqa: ARG002
        space = load_space(self.folder / "space.yaml")
        again = parse_space(space.to_yaml())
        assert not again.differences(space)
        assert again.budgets.texts() == space.budgets.texts()
        resolve(space, self.samples.trace)


class ProfileLoader(Loader):
    name = "profile"

    def _files(self) -> Files:
        return {"profile.json": (self.samples.run / "profile.json").read_bytes()}

    def _read(self, rng: Random) -> None:
        profile = HardwareProfile.load(self.folder / "profile.json")
        document = json.loads(json.dumps(profile.to_dict()))
        assert HardwareProfile.from_dict(document).to_dict() == document
        if rng.random() < 0.05:
            _show(profile_view(profile, self.folder / "profile.json"))
        space = load_space(self.samples.run / "space.yaml")
        model = cost_model_of(space, self.samples.trace, profile)
        model.evaluate(resolve(space, self.samples.trace).anchors()[0])


class PolicyLoader(Loader):
    name = "policy"

    def _files(self) -> Files:
        return {"policy.json": self.samples.policy.read_bytes()}

    def _read(self, rng: Random) -> None:  # noqa: ARG002
        PolicyFile.load(self.folder / "policy.json").save(self.folder / "again.json")
        assert PolicyFile.load(self.folder / "again.json") == PolicyFile.load(self.folder / "policy.json")


class PackedLoader(Loader):
    name = "packed"

    def __init__(self, samples: Samples, folder: Path) -> None:
        super().__init__(samples, folder)
        self._task = small_task()
        torch.manual_seed(0)
        self._input = torch.randn(2, 6, 5, 4)

    def _files(self) -> Files:
        names = (WEIGHTS_FILE, CHECK_FILE, MANIFEST_FILE)
        return {name: (self.samples.packed / name).read_bytes() for name in names}

    def damaged(self, number: int) -> Files:
        """Checksums are made to fit again most of the time, as someone who means harm would."""
        files = super().damaged(number)
        return _with_checksums(files) if Random(f"checksums {number}").random() < 0.8 else files

    def _read(self, rng: Random) -> None:  # noqa: ARG002
        packed = read_packed(self.folder)
        with _traced_once():
            loaded = model_from_packed(packed, self._task, threads=packed.manifest.predicted.threads)
        with torch.no_grad():
            assert tuple(loaded.model(self._input).shape) == (2, 3)
        packed.manifest.save(self.folder / "again.json")
        assert Manifest.load(self.folder / "again.json") == packed.manifest


class RunLoader(Loader):
    name = "run"

    def _files(self) -> Files:
        names = ("run.json", "trials.jsonl", "measured.jsonl", "profile.json", "space.yaml", "study.db")
        return {name: (self.samples.run / name).read_bytes() for name in names}

    def damaged(self, number: int) -> Files:
        """One file, or two; where trials.jsonl is meant, the study is often missing, as in a shared run."""
        rng = Random(f"run {number}")
        files = dict(self.pristine)
        weights = {"run.json": 4, "trials.jsonl": 5, "measured.jsonl": 2, "profile.json": 1, "space.yaml": 2,
                   "study.db": 5}  # fmt: skip
        for name in rng.choices(list(weights), list(weights.values()), k=rng.choice([1, 1, 1, 2])):
            content = files[name] or b"{}\n"
            files[name] = None if rng.random() < 0.02 else mutated(name, content, rng)
        if rng.random() < 0.4 and files["study.db"] is self.pristine["study.db"]:
            files["study.db"] = None
        return files

    def _read(self, rng: Random) -> None:
        run = load_run(self.folder)
        json.dumps(json_report(run), ensure_ascii=False, allow_nan=False).encode()
        if rng.random() < 0.2:
            list(csv.reader(io.StringIO(csv_report(run))))
            repr(run)
        if rng.random() < 0.04:
            _show(run_overview(run, plot=front_plot(run), failed=True))
            if run.front.records:
                _show(next_step(run))
                _show(policy_view(run, run.front.records[0]))


class StudyLoader(RunLoader):
    """The folder as a search takes it up: the study is opened for writing, and made whole."""

    name = "study"

    def damaged(self, number: int) -> Files:
        rng = Random(f"study {number}")
        name = rng.choice(["study.db", "study.db", "study.db", "trials.jsonl"])
        return {**self.pristine, name: mutated(name, self.pristine[name] or b"", rng)}

    def _read(self, rng: Random) -> None:  # noqa: ARG002
        folder = RunFolder(self.folder)
        space = load_space(self.samples.run / "space.yaml")
        with StudyStore(folder.database, resolve(space, self.samples.trace), space.objectives) as store:
            store.recover(folder.written_records())
            store.history()
        connection = sqlite3.connect(folder.database)
        verdict = connection.execute("PRAGMA integrity_check").fetchone()
        connection.close()
        assert verdict == ("ok",), verdict


LOADERS: Mapping[str, type[Loader]] = {
    loader.name: loader
    for loader in (SpaceLoader, ProfileLoader, PolicyLoader, PackedLoader, RunLoader, StudyLoader)
}


def _with_checksums(files: Files) -> Files:
    """The same with a manifest that says what the other files hash to, if there is still one to say it."""
    weights, check = files[WEIGHTS_FILE] or b"", files[CHECK_FILE] or b""
    try:
        document = json.loads(files[MANIFEST_FILE] or b"")
        document["weights"]["bytes"] = len(weights)
        document["weights"]["sha256"] = hashlib.sha256(weights).hexdigest()
        document["check"]["outputs_sha256"] = hashlib.sha256(check).hexdigest()
        return {**files, MANIFEST_FILE: json.dumps(document).encode()}
    except (ValueError, TypeError, KeyError, RecursionError):
        return files


def _show(what: Any) -> None:
    Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=120).print(what)


@contextmanager
def _limits() -> Iterator[None]:
    """Reserving much more than there is now fails; so does going on for long."""

    def too_long(_signal: int, _frame: Any) -> None:
        raise TookTooLong(f"more than {HARMLESS_S:.0f} s of processor time")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGPROF, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + HARMLESS_BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, HARMLESS_S, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


@functools.cache
def _trace() -> ModelTrace:
    task = small_task()
    return trace_model(task.new_model().eval(), task.example_inputs)


@contextmanager
def _traced_once() -> Iterator[None]:
    """The model is the same each time, and takes longer to trace than all the rest."""
    before = packed_model.trace_model
    packed_model.trace_model = lambda *_: _trace()
    try:
        yield
    finally:
        packed_model.trace_model = before
