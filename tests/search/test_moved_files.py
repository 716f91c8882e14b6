"""A run and the file of its task, moved or copied after the search."""

import shutil
from dataclasses import replace

import pytest

from mpsearch.errors import ConfigError, RunError
from mpsearch.export.exporters import export_trial
from mpsearch.search.engine import run_search
from mpsearch.search.run import load_run
from mpsearch.search.space_file import load_space

SPACE = """
schema: 1
task: {name: "code/clouds.py:tiny_task"}
layers: [{match: "*", schemes: [w1a1, w8a8, w32a32]}]
trial: {steps: 2, high_bit_steps: 1, batch_size: 32, calibration_samples: 32, bn_samples: 32}
search: {trials: 3, workers: 0}
"""


@pytest.fixture
def project(tmp_path, tiny_module, profile, training):
    """A folder with code/clouds.py, space.yaml and a finished run."""
    folder = tmp_path / "project"
    (folder / "code").mkdir(parents=True)
    shutil.copy(tiny_module.__file__, folder / "code" / "clouds.py")
    (folder / "space.yaml").write_text(SPACE)
    run_search(load_space(folder / "space.yaml"), out=folder / "runs" / "mine", profile=profile)
    return folder


def go_on(project, run, profile):
    return run_search(load_space(project / "space.yaml"), out=run, profile=profile, trials=5)


def test_a_run_holds_no_absolute_path_to_its_task(project, tmp_path):
    assert str(tmp_path) not in (project / "runs" / "mine" / "space.yaml").read_text()
    assert load_run(project / "runs" / "mine").space.task.name == f"{project}/code/clouds.py:tiny_task"


def test_a_project_that_moved_with_its_run_goes_on(project, tmp_path, profile):
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    project.rename(moved)
    assert load_run(moved / "runs" / "mine").space.task.name == f"{moved}/code/clouds.py:tiny_task"
    run = go_on(moved, moved / "runs" / "mine", profile)
    assert len(run.records) == 5


def test_a_run_that_moved_alone_goes_on_by_its_space(project, tmp_path, profile):
    run = tmp_path / "alone"
    (project / "runs" / "mine").rename(run)
    assert len(load_run(run).records) == 3
    assert len(go_on(project, run, profile).records) == 5


def test_another_function_of_the_file_is_another_search(project, profile):
    run = project / "runs" / "mine"
    (project / "space.yaml").write_text(SPACE.replace(":tiny_task", ":other_task"))
    with pytest.raises(RunError, match="holds another search: task differs"):
        go_on(project, run, profile)


def test_an_export_names_the_missing_file_and_takes_its_new_place(project, tmp_path, monkeypatch):
    (project / "runs" / "mine").rename(tmp_path / "alone")
    run = load_run(tmp_path / "alone", exporter=export_trial)
    number = run.front.numbers[0]
    with pytest.raises(
        ConfigError, match=r"there is no .*clouds.py. Put it there, or name its place.*--task"
    ):
        run.export(number, tmp_path / "packed")
    monkeypatch.chdir(project)
    placed = run.with_task_at("code/clouds.py:tiny_task")
    assert placed.space == replace(run.space, task=placed.space.task)
    assert placed.space.task.name == f"{project}/code/clouds.py:tiny_task"
