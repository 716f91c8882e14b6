"""A check-up of what is installed and where things lie."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from mpsearch.errors import DataError
from mpsearch.search.checkup import Finding, Section
from mpsearch.search.quantities import format_size
from mpsearch.training.cifar10_files import find_layout
from mpsearch.training.fsdd_files import fsdd_files
from mpsearch.training.locations import cache_dir, data_dir
from mpsearch.training.shakespeare_task import FILE as SHAKESPEARE_FILE
from mpsearch.training.task import BUILT_IN_TASKS

# Distribution -> (module, what it is for, whether every search needs it).
LIBRARIES: dict[str, tuple[str, str, bool]] = {
    "numpy": ("numpy", "everything", True),
    "optuna": ("optuna", "the search", True),
    "pydantic": ("pydantic", "reading search spaces", True),
    "safetensors": ("safetensors", "weights on disk", True),
    "ray": ("ray", "searches on several machines", False),
    "textual": ("textual", "mpsearch inspect", False),
    "plotly": ("plotly", "mpsearch report", False),
    "matplotlib": ("matplotlib", "mpsearch report --png and --svg", False),
    "pandas": ("pandas", "tables in Python", False),
    "scikit-learn": ("sklearn", "task digits", False),
    "pyarrow": ("pyarrow", "task cifar10", False),
    "pillow": ("PIL", "task cifar10", False),
}


def torch_section() -> Section:
    """The build of PyTorch, and how many threads it would use."""
    backends: dict[str, Any] = {
        "MKL": torch.backends.mkl,
        "oneDNN": torch.backends.mkldnn,
        "OpenMP": torch.backends.openmp,
    }
    there = ", ".join(name for name, backend in backends.items() if backend.is_available())
    threads = torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS")
    source = f"OMP_NUM_THREADS is {asked}" if asked else "OMP_NUM_THREADS is not set"
    cuda = torch.cuda.is_available()
    return Section(
        title="PyTorch",
        findings=(
            Finding(
                name="torch",
                value=f"{torch.__version__}, instructions {torch.backends.cpu.get_cpu_capability()}",
                state="ok",
            ),
            Finding(
                name="with",
                value=there or "none of MKL, oneDNN and OpenMP",
                state="fact" if there else "note",
            ),
            Finding(
                name="threads",
                value=f"{threads} in one operator ({source}), {torch.get_num_interop_threads()} between "
                "operators; a search sets its own",
            ),
            Finding(
                name="CUDA",
                value="there, and not used: searches train on the processor"
                if cuda
                else "not in this build or machine",
            ),
        ),
    )


def library_section() -> Section:
    """What else is installed."""
    return Section(title="Libraries", findings=tuple(_library(name) for name in LIBRARIES))


def _library(name: str) -> Finding:
    module, purpose, is_required = LIBRARIES[name]
    try:
        installed = version(name)
        is_there = find_spec(module) is not None
    except PackageNotFoundError:
        installed, is_there = "", False
    if not is_there:
        return Finding(
            name=name,
            value=f"not installed; for {purpose}",
            state="broken" if is_required else "missing",
            advice=f"pip install {name}",
        )
    more = "not started, for " if name == "ray" else "for "
    return Finding(name=name, value=f"{installed}, {more}{purpose}", state="ok")


def place_section() -> Section:
    """The data of each built-in task, and the cache."""
    tasks = tuple(_DATA[name]() for name in BUILT_IN_TASKS)
    return Section(title="Data and cache", findings=(_data_folder(), *tasks, cache_finding(cache_dir())))


def _data_folder() -> Finding:
    folder = data_dir()
    if folder is None:
        return Finding(name="MPSEARCH_DATA", value="not set; task digits needs none")
    try:
        sets = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        return Finding(
            name="MPSEARCH_DATA",
            value=f"{folder}: {error.strerror or error}",
            state="missing",
            advice="Set MPSEARCH_DATA to the folder with one sub-folder a data set.",
        )
    return Finding(name="MPSEARCH_DATA", value=f"{folder}: {', '.join(sets) or 'empty'}")


def _digits() -> Finding:
    is_there = find_spec("sklearn") is not None
    return Finding(
        name="task digits",
        value="in scikit-learn, nothing to download" if is_there else "needs scikit-learn",
        state="ok" if is_there else "missing",
        advice=None if is_there else "pip install scikit-learn",
    )


def _cifar10() -> Finding:
    folder = data_dir()
    if folder is not None:
        try:
            train, _, _ = find_layout(folder / "cifar10")
        except (DataError, OSError):
            pass
        else:
            return Finding(name="task cifar10", value=f"{train[0].parent}", state="ok")
    return Finding(
        name="task cifar10",
        value="not found" if folder is None else f"not in {folder / 'cifar10'}",
        state="missing",
        advice="For task cifar10: put train.parquet and test.parquet (or the official binary files) into a "
        "folder cifar10/, and set MPSEARCH_DATA to the folder above it.",
    )


def _speech_digits() -> Finding:
    folder = data_dir()
    if folder is not None:
        try:
            train, _ = fsdd_files(folder / "fsdd")
        except DataError:
            pass
        else:
            return Finding(name="task speech_digits", value=f"{train.parent}", state="ok")
    return Finding(
        name="task speech_digits",
        value="not found" if folder is None else f"not in {folder / 'fsdd'}",
        state="missing",
        advice="For task speech_digits: put train.parquet and test.parquet of the Free Spoken Digit Dataset "
        "into a folder fsdd/, and set MPSEARCH_DATA to the folder above it.",
    )


def _shakespeare() -> Finding:
    folder = data_dir()
    path = None if folder is None else folder / "tinyshakespeare" / SHAKESPEARE_FILE
    if path is not None and path.is_file():
        return Finding(name="task shakespeare", value=f"{path.parent}", state="ok")
    return Finding(
        name="task shakespeare",
        value="not found" if path is None else f"not in {path.parent}",
        state="missing",
        advice=f"For task shakespeare: put {SHAKESPEARE_FILE} of Tiny Shakespeare into a folder "
        "tinyshakespeare/, and set MPSEARCH_DATA to the folder above it.",
    )


_DATA = {
    "digits": _digits,
    "cifar10": _cifar10,
    "speech_digits": _speech_digits,
    "shakespeare": _shakespeare,
}


def cache_finding(folder: Path) -> Finding:
    """How much is cached, and whether more can be."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(place, os.W_OK) or not place.is_dir():
        return Finding(
            name="cache",
            value=f"{folder} cannot be written",
            state="broken",
            advice="Set MPSEARCH_CACHE to a folder that can be written: 32-bit baselines are kept there.",
        )
    if not folder.exists():
        return Finding(name="cache", value=f"{folder}, nothing in it yet", state="ok")
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = format_size(sum(path.stat().st_size for path in files))
    return Finding(name="cache", value=f"{folder}, {size} in {len(files)} files", state="ok")
