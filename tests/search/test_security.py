"""A run, a model or a cache from a stranger runs nothing; only a task that the user names is imported."""

from __future__ import annotations

import ast
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import save_file

import mpsearch
from mpsearch.errors import MpsearchError
from mpsearch.export.exporters import export_trial
from mpsearch.export.packed_file import read_packed
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.engine import run_search
from mpsearch.search.run import load_run
from mpsearch.search.run_folder import RunFolder
from mpsearch.training.weights_file import read_weights

PACKAGE = Path(mpsearch.__file__).parent
# What runs code that data names, and the files that may call it, with the reason.
UNPICKLING = {"load", "loads", "Unpickler"}
ALLOWED = {"search/packed_work.py": "a worker's work, from the search that started it"}
FORBIDDEN = {
    "eval", "exec", "compile", "os.system", "os.popen", "torch.load", "torch.jit.load", "marshal.load",
    "marshal.loads", "shelve.open", "joblib.load", "pandas.read_pickle", "yaml.load", "yaml.load_all",
    "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader",
}  # fmt: skip
KEYWORDS = {"allow_pickle": "False", "shell": "False", "weights_only": "True"}  # what each must be
TASK = """
from pathlib import Path
Path({mark!r}).write_text("imported")
from tiny_task import tiny_task
"""


class Harm:
    """What runs when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def mark(tmp_path):
    """A folder that is there once harm was done."""
    return tmp_path / "harm-was-done"


@pytest.fixture
def harm(mark):
    return pickle.dumps(Harm(mark))


def test_the_planted_pickle_does_its_harm_where_it_is_loaded(harm, mark):
    pickle.loads(harm)
    assert mark.exists()


def longer(space_of):
    return space_of(search="{trials: 7, sampler: random, workers: 0}")


@pytest.fixture
def project(tmp_path, tmp_path_factory, space_of, profile, monkeypatch):
    """A finished run with true weights, and its cache; searched once, copied for each test."""
    made = tmp_path_factory.getbasetemp() / "run-and-cache"
    if not made.exists():
        monkeypatch.setenv("MPSEARCH_CACHE", str(made / "cache"))
        space = space_of(search="{trials: 6, sampler: random, workers: 0}")
        run_search(space, out=made / "run", profile=profile)
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.setenv("MPSEARCH_CACHE", str(tmp_path / "project" / "cache"))
    return tmp_path / "project"


def planted(folder: Path, harm: bytes) -> None:
    """Pickles under every name that a careless loader would open."""
    names = ("study.pkl", "sampler.pkl", "trials.pkl", "model.pt", "model.pth", "weights.bin", "state.pickle",
             "data.npz", "array.npy", "__init__.py.bak", "searcher-state.pkl", "tuner.pkl", "optimizer.ckpt",
             "model.safetensors", "check.safetensors", "0.pt", "conda.joblib")  # fmt: skip
    for name in names:
        if not (folder / name).exists():
            (folder / name).write_bytes(harm)


def attempt(action):
    """Do it; a typed error is as good as success."""
    with suppress(MpsearchError):
        action()


def test_no_pickle_in_a_run_folder_is_ever_loaded(project, harm, mark, space_of, profile):
    run = project / "run"
    for folder in (run, run / "checkpoints", project / "cache", project / "cache" / "baselines"):
        planted(folder, harm)
    trial = load_run(run).front.records[0].number
    attempt(lambda: load_run(run, exporter=export_trial).export(trial, project / "packed"))
    attempt(lambda: run_search(longer(space_of), out=run, profile=profile))
    assert len(load_run(run).records) == 7
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["run.json", "profile.json", "space.yaml", "trials.jsonl", "measured.jsonl", "study.db"]
)
def test_a_pickle_in_the_place_of_any_file_of_a_run_is_not_loaded(
    project, harm, mark, space_of, profile, name
):
    run = project / "run"
    (run / name).write_bytes(harm)
    attempt(lambda: load_run(run))
    attempt(lambda: run_search(longer(space_of), out=run, profile=profile))
    assert not mark.exists()


def test_a_pickle_in_the_place_of_weights_is_not_loaded(project, harm, mark, space_of, profile):
    run = RunFolder(project / "run")
    for weights in [*run.checkpoints.iterdir(), *(project / "cache").rglob("*.safetensors")]:
        weights.write_bytes(harm)
        with pytest.raises(MpsearchError):
            read_weights(weights)
    trial = load_run(run.path).front.records[0].number
    with pytest.raises(MpsearchError):
        load_run(run.path, exporter=export_trial).export(trial, project / "packed")
    attempt(lambda: run_search(longer(space_of), out=run.path, profile=profile))
    assert not mark.exists()


def test_a_pickle_as_a_value_of_the_study_is_not_loaded(project, harm, mark, space_of, profile):
    database = project / "run" / "study.db"
    with sqlite3.connect(database) as connection:
        for table in ("trial_user_attributes", "trial_system_attributes", "study_user_attributes"):
            connection.execute(f"UPDATE {table} SET value_json = ?", (harm,))
        connection.execute(
            "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (1, 'sampler', ?)",
            (harm,),
        )
    connection.close()
    attempt(lambda: load_run(project / "run"))
    attempt(lambda: run_search(longer(space_of), out=project / "run", profile=profile))
    assert not mark.exists()


def test_a_packed_model_and_a_profile_of_pickles_are_not_loaded(tmp_path, harm, mark):
    for name in ("manifest.json", "weights.bin", "check.safetensors", "profile.json"):
        (tmp_path / name).write_bytes(harm)
    with pytest.raises(MpsearchError):
        read_packed(tmp_path)
    with pytest.raises(MpsearchError):
        HardwareProfile.load(tmp_path / "profile.json")
    assert not mark.exists()


def test_weights_of_another_program_are_refused(tmp_path):
    import torch

    save_file({"w": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(MpsearchError, match="written by mpsearch"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "arguments",
    [["pareto"], ["pareto", "--json"], ["show"], ["report", "--out", "page.html"]],
    ids=lambda arguments: arguments[0],
)
def test_reading_a_run_does_not_import_the_task_that_it_names(project, mark, arguments):
    run = project / "run"
    (project / "evil.py").write_text(TASK.format(mark=str(mark)))
    text = (run / "space.yaml").read_text()
    line = next(line for line in text.splitlines() if "tiny_task.py" in line)
    (run / "space.yaml").write_text(text.replace(line, f"  name: {project / 'evil.py'}:tiny_task"))
    command, *options = arguments
    ended = subprocess.run(
        [sys.executable, "-m", "mpsearch", command, str(run), *options],
        capture_output=True, text=True, check=False, cwd=project,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert not mark.exists()


def names_called(tree: ast.Module) -> dict[str, int]:
    """Dotted names of all that is called -> line, with imported names spelled out."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {(alias.asname or alias.name): alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            known |= {(alias.asname or alias.name): f"{node.module}.{alias.name}" for alias in node.names}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            found[known.get(first, first) + dot + rest] = node.lineno
    return found


def offences(place: str, tree: ast.Module) -> list[str]:
    """What in a module could run what a file says."""
    found = []
    for name, line in names_called(tree).items():
        module, _, function = name.rpartition(".")
        unpickles = module in ("pickle", "_pickle", "cloudpickle", "dill") and function in UNPICKLING
        if name in FORBIDDEN or (unpickles and place not in ALLOWED):
            found.append(f"{place}, line {line}: {name}")
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in KEYWORDS]
    odd = [node for node in keywords if ast.unparse(node.value) != KEYWORDS[str(node.arg)]]
    found += [f"{place}, line {node.value.lineno}: {node.arg}" for node in odd]
    return found


def test_no_module_runs_what_a_file_says():
    found = []
    for path in PACKAGE.rglob("*.py"):
        place = str(path.relative_to(PACKAGE))
        found += offences(place, ast.parse(path.read_text(encoding="utf-8")))
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.load(f)",
        "from pickle import loads as read\nread(b'')",
        "import cloudpickle as c\nc.loads(b'')",
        "import torch\ntorch.load('x')",
        "import yaml\nyaml.load('x', Loader=yaml.Loader)",
        "eval('1')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import torch\ntorch.frombuffer(weights_only=False)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
    ],
)
def test_the_check_of_the_modules_notices(code):
    assert offences("some/module.py", ast.parse(code))


def test_unpickling_happens_where_it_is_said_to():
    """So that the list of exceptions stays as short as it can be."""
    for place in ALLOWED:
        assert offences("elsewhere.py", ast.parse((PACKAGE / place).read_text(encoding="utf-8")))
