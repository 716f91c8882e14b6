import shutil
from pathlib import Path

import pytest

from mpsearch.training.task_name import is_in_file, located, relative_to, without_folder

NOT_IN_FILES = ["digits", "package.module:make", "mlp (in memory)", "", ":", "x.py"]


@pytest.fixture
def project(tmp_path):
    """project/code/mine.py and a folder of runs."""
    (tmp_path / "project" / "code").mkdir(parents=True)
    (tmp_path / "project" / "code" / "mine.py").write_text("")
    (tmp_path / "project" / "runs").mkdir()
    return tmp_path / "project"


@pytest.mark.parametrize("name", NOT_IN_FILES)
def test_a_name_without_a_file_is_left_alone(name, tmp_path):
    assert not is_in_file(name)
    assert (located(name, tmp_path), relative_to(tmp_path, name), without_folder(name)) == (name,) * 3


def test_what_is_written_in_a_folder_is_found_from_there(project):
    name = f"{project}/code/mine.py:make"
    for folder in (project / "runs" / "one", project, project / "code"):
        written = relative_to(folder, name)
        assert not written.startswith("/")
        assert located(written, folder) == name


def test_a_project_can_move_as_a_whole(project, tmp_path):
    written = relative_to(project / "runs" / "one", f"{project}/code/mine.py:make")
    moved = tmp_path / "deep" / "down" / "elsewhere"
    moved.parent.mkdir(parents=True)
    shutil.move(project, moved)
    (moved / "runs" / "one").mkdir()
    assert located(written, moved / "runs" / "one") == f"{moved}/code/mine.py:make"


def test_a_link_to_the_folder_leads_to_the_same_file(project, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    link = tmp_path / "far" / "away" / "runs"
    link.symlink_to(project / "runs")
    written = relative_to(link, f"{project}/code/mine.py:make")
    assert located(written, link) == f"{project}/code/mine.py:make"
    assert located(written, project / "runs") == f"{project}/code/mine.py:make"


def test_where_only_the_root_is_shared_the_full_path_stays(tmp_path):
    assert relative_to(tmp_path, "/elsewhere/mine.py:make") == "/elsewhere/mine.py:make"


def test_folders_are_tried_in_order_and_a_missing_file_is_missing_from_the_first(project):
    folders = (project / "runs", project / "code")
    assert located("mine.py:make", *folders) == f"{project}/code/mine.py:make"
    assert located("gone.py:make", *folders) == f"{project}/runs/gone.py:make"


def test_the_home_folder_is_written_as_users_write_it(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project))
    assert located("~/code/mine.py:make", project / "runs") == f"{project}/code/mine.py:make"


@pytest.mark.parametrize("file", ["n" * 5000 + ".py", "~nobody-of-that-name/x.py", "null\0byte.py"])
def test_a_path_that_is_none_is_left_to_what_loads_the_task(file, tmp_path):
    for name in (located(f"{file}:make", tmp_path), relative_to(tmp_path, f"{file}:make")):
        assert without_folder(name) == f"{Path(file).name}:make"
