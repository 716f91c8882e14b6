import dataclasses
import functools
import importlib.util
import linecache
import logging
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import StorageError, TaskError
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.baseline_key import baseline_key, made_of
from mpsearch.training.evaluate import evaluate
from mpsearch.training.recipe import BaselineRecipe


def same_weights(first, second) -> bool:
    return first.state_dict.keys() == second.state_dict.keys() and all(
        torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items()
    )


def test_a_baseline_learns_the_task_and_its_score_is_that_of_its_weights(tiny_task, tmp_path):
    baseline = trained_baseline(tiny_task, cache_dir=tmp_path)
    model = tiny_task.new_model()
    model.load_state_dict(baseline.state_dict)
    assert evaluate(model, tiny_task.validation, tiny_task) == (
        baseline.validation_score,
        baseline.validation_loss,
    )
    assert baseline.validation_score > 0.8


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize("judge", ["metric", "loss"])
def test_a_baseline_that_scores_no_number_is_refused(tiny_task, tmp_path, pretrained, judge):
    def broken(output, targets):
        value = getattr(tiny_task, judge)(output, targets)
        return value if output.requires_grad else value * math.nan

    task = dataclasses.replace(tiny_task, pretrained=pretrained, **{judge: broken})
    with pytest.raises(TaskError, match=r"must have a finite score and loss.*; got .*nan"):
        trained_baseline(task, cache_dir=tmp_path)
    assert not list(tmp_path.glob("baselines/*"))


def test_the_second_call_reads_the_first_ones_weights(tiny_task, tmp_path):
    first = trained_baseline(tiny_task, cache_dir=tmp_path)
    second = trained_baseline(tiny_task, cache_dir=tmp_path)
    assert (first.cached, second.cached) == (False, True)
    assert same_weights(first, second)
    assert (first.validation_score, first.key) == (second.validation_score, second.key)


def test_training_again_gives_the_same_weights(tiny_task, tmp_path):
    first = trained_baseline(tiny_task, cache_dir=tmp_path / "a")
    second = trained_baseline(tiny_task, cache_dir=tmp_path / "b")
    assert not second.cached
    assert same_weights(first, second)


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_corrupt_cache_is_trained_again_and_said_in_the_log(tiny_task, tmp_path, caplog, damage):
    first = trained_baseline(tiny_task, cache_dir=tmp_path)
    (path,) = tmp_path.glob("baselines/*")
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        again = trained_baseline(tiny_task, cache_dir=tmp_path)
    assert not again.cached
    assert same_weights(first, again)
    assert "training it again" in caplog.text
    assert trained_baseline(tiny_task, cache_dir=tmp_path).cached


def test_whatever_changes_the_weights_changes_the_key(tiny_task, tmp_path):
    def twice_the_loss(output, targets):
        return 2 * F.cross_entropy(output, targets)

    others = [
        dataclasses.replace(tiny_task, name="other"),
        dataclasses.replace(tiny_task, args={"depth": 2}),
        dataclasses.replace(tiny_task, baseline=BaselineRecipe(epochs=2, batch_size=32, learning_rate=0.05)),
        dataclasses.replace(tiny_task, train=tiny_task.train.take(150)),
        dataclasses.replace(tiny_task, validation=tiny_task.validation.take(70)),
        dataclasses.replace(tiny_task, loss=twice_the_loss),
        dataclasses.replace(tiny_task, build_model=lambda: nn.Linear(8, 3)),
        dataclasses.replace(tiny_task, augment=lambda inputs, _generator: inputs),
    ]
    keys = {trained_baseline(task, cache_dir=tmp_path).key for task in [tiny_task, *others]}
    keys.add(trained_baseline(tiny_task, seed=1, cache_dir=tmp_path).key)
    assert len(keys) == len(others) + 2


MODEL_OF_A_USER = """
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return self.layer({inputs})
"""


def test_another_forward_of_a_users_model_changes_the_key(tiny_task, tmp_path):
    keys = []
    for inputs in ("x", "x.relu()", "x"):
        path = tmp_path / "model.py"
        path.write_text(MODEL_OF_A_USER.format(inputs=inputs))
        spec = importlib.util.spec_from_file_location("a_users_model", path)
        sys.modules["a_users_model"] = module = importlib.util.module_from_spec(spec)
        linecache.clearcache()  # of a file as young as the one before
        spec.loader.exec_module(module)
        task = dataclasses.replace(tiny_task, build_model=module.Model)
        keys.append(trained_baseline(task, cache_dir=tmp_path).key)
    assert keys[0] == keys[2] != keys[1]


class Attention(nn.Module):
    def __init__(self, heads=2, activation=F.relu):
        super().__init__()
        self.heads, self.activation = heads, activation
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return self.layer(self.activation(x)) / self.heads


def frozen():
    model = Attention()
    model.layer.bias.requires_grad_(False)
    return model


def test_settings_that_a_model_or_a_loss_does_not_print_change_the_key(tiny_task, tmp_path):
    weight = torch.tensor([1.0, 2.0, 1.0])
    changes = [
        {"build_model": Attention},
        {"build_model": functools.partial(Attention, 4)},
        {"build_model": functools.partial(Attention, activation=F.gelu)},
        {"build_model": frozen},
        {"build_model": functools.partial(nn.MultiheadAttention, 8, 2)},
        {"build_model": functools.partial(nn.MultiheadAttention, 8, 4)},
        {"loss": nn.CrossEntropyLoss()},
        {"loss": nn.CrossEntropyLoss(label_smoothing=0.2)},
        {"loss": nn.CrossEntropyLoss(weight=weight)},
        {"loss": nn.CrossEntropyLoss(weight=2 * weight)},
    ]
    keys = []
    for change in changes + changes:
        task = dataclasses.replace(tiny_task, **change)
        torch.manual_seed(0)
        keys.append(baseline_key(made_of(task, task.new_model(), 0)))
    assert len(set(keys)) == len(changes)
    assert keys[len(changes) :] == keys[: len(changes)]


class KeepsATable(nn.Module):
    """Its table is made in the first pass."""

    def __init__(self):
        super().__init__()
        self.layer, self.table = nn.Linear(8, 3), None

    def forward(self, x):
        if self.table is None:
            self.table = torch.linspace(0.5, 1, 8)
        return self.layer(x) @ (self.table[:3] * torch.eye(3)) * self.table[:3]


def test_a_model_that_keeps_a_tensor_of_its_first_pass_can_be_trained(tiny_task, tmp_path):
    task = dataclasses.replace(tiny_task, build_model=KeepsATable)
    assert trained_baseline(task, cache_dir=tmp_path).validation_score > 0.5


def test_where_the_data_lies_does_not_change_the_key(tiny_task, tmp_path):
    here, there = (
        dataclasses.replace(tiny_task, args={"data": folder}, path_args=("data",)) for folder in ("a", "b")
    )
    assert not trained_baseline(here, cache_dir=tmp_path).cached
    assert trained_baseline(there, cache_dir=tmp_path).cached


def test_a_pretrained_model_is_the_baseline_as_it_is(tiny_task, tmp_path):
    model = tiny_task.new_model()
    task = dataclasses.replace(tiny_task, build_model=lambda: model, pretrained=True)
    baseline = trained_baseline(task, cache_dir=tmp_path)
    assert torch.equal(baseline.state_dict["0.weight"], model.get_parameter("0.weight"))
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_step(tiny_task, tmp_path):
    seen = []
    trained_baseline(tiny_task, cache_dir=tmp_path, progress=lambda *report: seen.append(report))
    assert [step for step, _, _ in seen] == list(range(1, 16))
    assert {total for _, total, _ in seen} == {15}


def test_training_leaves_the_global_random_state_alone(tiny_task, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trained_baseline(tiny_task, cache_dir=tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_divergence_is_a_task_error_that_names_the_step(tiny_task, tmp_path):
    wild = BaselineRecipe(epochs=3, batch_size=32, learning_rate=1e30, warmup_fraction=0.0)
    task = dataclasses.replace(tiny_task, baseline=wild)
    with pytest.raises(TaskError, match=r"baseline of task 'blobs' diverged.*at step \d+ of 15"):
        trained_baseline(task, cache_dir=tmp_path)


def test_adam_trains_too(tiny_task, tmp_path):
    recipe = BaselineRecipe(epochs=3, batch_size=32, optimizer="adam", learning_rate=0.02, gradient_clip=1.0)
    task = dataclasses.replace(tiny_task, baseline=recipe)
    assert trained_baseline(task, cache_dir=tmp_path).validation_score > 0.8


def test_a_cache_folder_that_is_a_file_is_a_storage_error(tiny_task, tmp_path):
    blocked = tmp_path / "cache"
    blocked.write_text("")
    with pytest.raises(StorageError, match=r"must be writable.*MPSEARCH_CACHE"):
        trained_baseline(tiny_task, cache_dir=blocked)


def test_a_model_that_does_not_fit_its_data_is_a_task_error(tiny_task, tmp_path):
    task = dataclasses.replace(tiny_task, build_model=lambda: nn.Linear(5, 3))
    with pytest.raises(TaskError, match=r"The model of task 'blobs' must run on inputs \(2, 8\)"):
        trained_baseline(task, cache_dir=tmp_path)


def test_what_fails_in_training_only_is_a_task_error(tiny_task, tmp_path):
    def augment(_inputs, _generator):
        raise RuntimeError("no such crop")

    task = dataclasses.replace(tiny_task, augment=augment)
    with pytest.raises(TaskError, match=r"of task 'blobs' must train on .* RuntimeError: no such crop"):
        trained_baseline(task, cache_dir=tmp_path)
    task = dataclasses.replace(tiny_task, baseline=BaselineRecipe(epochs=1, batch_size=1))
    with pytest.raises(TaskError, match="batches of 1; it raised ValueError: Expected more than 1 value"):
        trained_baseline(task, cache_dir=tmp_path)


def test_what_a_listener_raises_ends_the_training_as_it_is(tiny_task):
    class EnoughError(Exception):
        """Not the task's fault."""

    def stop(step, steps, loss):
        raise EnoughError

    with pytest.raises(EnoughError):
        trained_baseline(tiny_task, progress=stop)
