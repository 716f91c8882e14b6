import dataclasses
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from mpsearch.errors import ConfigError, DataError, TaskError
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.split import Split
from mpsearch.training.task import load_task, task_from, top1_correct

TASK_FILE = """
import torch
from torch import nn
from mpsearch.training.task import task_from

def make(classes=3, *, name="mine"):
    x, y = torch.randn(12, 4), torch.arange(12) % classes
    return task_from(nn.Linear(4, classes), [(x, y), (x, y)], name=name)

def breaks():
    raise ValueError("no such shard")

def returns_a_model():
    return nn.Linear(4, 3)

def refuses():
    from mpsearch.errors import DataError
    raise DataError("The shard must exist.")
"""


@pytest.fixture
def task_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my_tasks.py"
    path.write_text(TASK_FILE)
    yield path
    sys.modules.pop("my_tasks", None)


@pytest.mark.parametrize("name", ["my_tasks:make", "my_tasks.py:make", "./my_tasks.py:make"])
def test_a_task_is_found_by_module_or_by_file(task_file, name):
    task = load_task(name, {"classes": 5, "name": "five"})
    assert task.name == "five"
    assert task.new_model().out_features == 5


def test_a_file_may_import_what_lies_beside_it(task_file):
    (task_file.parent / "beside_it.py").write_text("from my_tasks import make")
    assert load_task(f"{task_file.parent / 'beside_it.py'}:make").name == "mine"


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("cifar", "cifar10, shakespeare, speech_digits, digits"),
        ("digit", "digits, speech_digits, cifar10, shakespeare"),
    ],
)
def test_an_unknown_name_lists_the_known_ones_nearest_first(name, order):
    with pytest.raises(ConfigError, match=f"must be one of {order}, or `package.module:function`.*{name!r}"):
        load_task(name)


def test_a_task_that_was_an_object_says_how_to_open_its_run():
    with pytest.raises(ConfigError, match=r"was an object in Python. Open its run by mpsearch.load_run"):
        load_task("mlp (in memory)")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"must name an existing file; there is no .*gone.py"):
        load_task(f"{tmp_path}/gone.py:make")


def test_a_missing_module_is_a_task_error_with_its_cause(task_file):
    with pytest.raises(TaskError, match=r"ModuleNotFoundError: No module named 'absent'") as caught:
        load_task("absent.tasks:make")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_file_that_does_not_run_is_a_task_error(task_file):
    task_file.write_text("1 / 0")
    with pytest.raises(TaskError, match=r"must run as a module.*ZeroDivisionError"):
        load_task("my_tasks.py:make")


def test_a_missing_function_names_the_nearest(task_file):
    with pytest.raises(ConfigError, match=r"there is no 'brakes'. Nearest: breaks"):
        load_task("my_tasks:brakes")


def test_an_exception_of_the_function_is_a_task_error_with_its_cause(task_file):
    with pytest.raises(TaskError, match=r"it raised ValueError: no such shard") as caught:
        load_task("my_tasks:breaks")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_deliberate_error_of_the_function_passes_through(task_file):
    with pytest.raises(DataError, match=r"The shard must exist"):
        load_task("my_tasks:refuses")


def test_another_return_type_is_a_task_error(task_file):
    with pytest.raises(TaskError, match=r"must return an mpsearch Task; got Linear"):
        load_task("my_tasks:returns_a_model")


def test_an_unknown_argument_shows_what_the_function_takes(task_file):
    with pytest.raises(ConfigError, match=r"must fit make\(classes=3, \*, name='mine'\).*'depth'"):
        load_task("my_tasks:make", {"depth": 3})


def test_a_built_in_refuses_an_unknown_argument_too():
    with pytest.raises(ConfigError, match=r"must fit digits_task.*'depth'"):
        load_task("digits", {"depth": 3})


X, Y = torch.randn(20, 4), torch.arange(20) % 3


@pytest.mark.parametrize(
    "part",
    [(X, Y), [X, Y], (X.numpy(), Y.numpy()), Split(X, Y), TensorDataset(X, Y)],
    ids=["tuple", "list", "arrays", "split", "dataset"],
)
def test_data_may_be_pairs_splits_or_datasets(part):
    task = task_from(nn.Linear(4, 3), (part, part, part))
    for split in (task.train, task.validation, task.test):
        assert torch.equal(split.inputs, X)
        assert torch.equal(split.targets, Y)


def test_the_given_model_is_never_changed(tmp_path):
    model = nn.Linear(4, 3)
    before = model.weight.detach().clone()
    task = task_from(model, ((X, Y), (X, Y)))
    trained_baseline(task, cache_dir=tmp_path)
    assert torch.equal(model.weight, before)


def test_a_model_changed_later_does_not_change_the_task():
    model = nn.Linear(4, 3)
    task = task_from(model, ((X, Y), (X, Y)))
    before = model.weight.detach().clone()
    nn.init.zeros_(model.weight)
    assert torch.equal(task.new_model().weight, before)


def test_other_initial_weights_make_another_baseline(tmp_path):
    tasks = [task_from(nn.Linear(4, 3), ((X, Y), (X, Y))) for _ in range(2)]
    first, second = (trained_baseline(task, cache_dir=tmp_path) for task in tasks)
    assert first.key != second.key


def test_a_pretrained_model_is_the_baseline(tmp_path):
    model = nn.Linear(4, 3)
    task = task_from(model, ((X, Y), (X, Y)), pretrained=True)
    assert torch.equal(trained_baseline(task, cache_dir=tmp_path).state_dict["weight"], model.weight)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y, X, Y), r"got a tuple of length 4"),
        (X, r"got a Tensor"),
        ((X, Y), r"The train data must be a pair .*; got a Tensor"),
        (((X, Y), (X, "labels")), r"The validation data must be tensors or arrays"),
    ],
)
def test_data_of_another_kind_is_refused(data, message):
    with pytest.raises(TaskError, match=message):
        task_from(nn.Linear(4, 3), data)


def test_a_dataset_of_unequal_samples_is_refused():
    class Ragged(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, place):
            return np.zeros(place + 1), 0

    with pytest.raises(TaskError, match=r"equal shapes; reading it raised RuntimeError"):
        task_from(nn.Linear(4, 3), (Ragged(), (X, Y)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("train", (X, Y)),
        ("test", X),
        ("loss", "cross_entropy"),
        ("example_inputs", X),
        ("example_inputs", ()),
        ("baseline", {"epochs": 3}),
        ("augment", 0.5),
    ],
)
def test_a_field_of_the_wrong_type_is_named(tiny_task, field, value):
    with pytest.raises(TaskError, match=r"needs a name" if field == "name" else f"`{field}` of task 'blobs'"):
        dataclasses.replace(tiny_task, **{field: value})


def test_a_model_that_cannot_be_built_is_a_task_error(tiny_task):
    with pytest.raises(
        TaskError, match=r"`build_model` of task 'blobs' must return a model; it raised TypeError"
    ):
        dataclasses.replace(tiny_task, build_model=nn.Linear).new_model()
    with pytest.raises(TaskError, match=r"must return a torch.nn.Module; got a dict"):
        dataclasses.replace(tiny_task, build_model=dict).new_model()


def test_lazy_parameters_get_the_shapes_of_the_example_inputs(tiny_task):
    task = dataclasses.replace(
        tiny_task, build_model=lambda: nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
    )
    model = task.new_model()
    assert model[0].weight.shape == (4, 8)
    assert model[1].weight.shape == (4,)
    assert model.training


def test_a_loss_that_is_a_module_moves_to_a_device_and_leaves_the_tasks_own(tiny_task):
    task = dataclasses.replace(tiny_task, loss=nn.CrossEntropyLoss(weight=torch.ones(3)))
    moved = task.to(torch.device("meta"))
    assert moved.loss.weight.device.type == "meta"
    assert task.loss.weight.device.type == "cpu"
    assert moved.metric is task.metric
    assert task.to(torch.device("cpu")) is task


@pytest.mark.parametrize(
    ("output", "targets"),
    [(torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)), (torch.zeros(4, 3), torch.zeros(4))],
)
def test_accuracy_refuses_one_logit_and_targets_that_are_no_classes(output, targets):
    with pytest.raises(TaskError, match="Give the task a `metric` of its own"):
        top1_correct(output, targets)


@pytest.mark.parametrize("targets", [(4, 1), (4, 3), (3,)])
def test_accuracy_refuses_targets_that_would_be_broadcast(targets):
    with pytest.raises(TaskError, match=r"for each row of two logits.*Give the task a `metric` of its own"):
        top1_correct(torch.zeros(4, 3), torch.zeros(targets, dtype=torch.long))
