import numpy as np
import pytest
import torch

from mpsearch.errors import ConfigError, DataError
from mpsearch.training.cifar10_task import MODELS
from mpsearch.training.task import load_task


@pytest.fixture
def data(tmp_path, monkeypatch):
    """40 training and 6 test pictures as official binary files, in a folder laid out as MPSEARCH_DATA."""
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, count in [(f"data_batch_{number}.bin", 8) for number in range(1, 6)] + [("test_batch.bin", 6)]:
        records = generator.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / name)
    monkeypatch.setenv("MPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPSEARCH_DATA", str(tmp_path / "data"))
    return folder


def rows(split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.inputs}


def test_a_tenth_is_kept_back_for_validation_and_the_splits_are_disjoint(data):
    task = load_task("cifar10")
    assert (len(task.train), len(task.validation), len(task.test)) == (36, 4, 6)
    assert len(rows(task.train) | rows(task.validation) | rows(task.test)) == 46


def test_the_splits_are_the_same_every_time(data):
    first, second = load_task("cifar10"), load_task("cifar10")
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(first, name).inputs, getattr(second, name).inputs)
        assert torch.equal(getattr(first, name).targets, getattr(second, name).targets)


def test_a_limit_shortens_only_the_training_data(data):
    task = load_task("cifar10", {"train_limit": 10})
    assert (len(task.train), len(task.validation)) == (10, 4)
    assert rows(task.train) < rows(load_task("cifar10").train)


@pytest.mark.parametrize("model", MODELS)
def test_the_model_runs_on_the_example_input(data, model):
    task = load_task("cifar10", {"model": model})
    with torch.no_grad():
        assert task.new_model().eval()(*task.example_inputs).shape == (1, 10)


def test_the_folder_may_be_given_as_an_argument(data, monkeypatch):
    monkeypatch.delenv("MPSEARCH_DATA")
    task = load_task("cifar10", {"data": str(data)})
    assert task.path_args == ("data",)


def test_without_a_folder_the_error_says_what_to_set(monkeypatch):
    monkeypatch.delenv("MPSEARCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"none is set. Set MPSEARCH_DATA"):
        load_task("cifar10")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            {"model": "resnet50"},
            r"`model` of task cifar10 must be one of resnet20, resnet18, .*, vgg; got 'resnet50'",
        ),
        ({"train_limit": 0}, r"`train_limit` must be a whole number of at least 1; got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(data, args, message):
    with pytest.raises(ConfigError, match=message):
        load_task("cifar10", args)
