"""What a trial makes of everything that user code can do."""

import math
import threading
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from mpsearch.errors import ConfigError, StorageError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.packed_work import PackedWork, read_packed
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_job import TrialJob
from mpsearch.training.split import Split

POLICY = PrecisionPolicy({"0": "w8a8"})


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.fixture
def work(space, tiny_task):
    return TrainingWork(space=space, threads=1, tasks={None: tiny_task})


@pytest.fixture
def outcome_of(work, training, tmp_path):
    """A function: the outcome of a trial in which user code does `answer`."""
    loaded = work.load()

    def run(answer):
        training.answer = answer
        return loaded.run(TrialJob(number=7, policy=POLICY, weights=tmp_path / "w.safetensors"))

    return run


def raising(error):
    def answer(*_):
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("Grüße\nand more"), "ValueError: Grüße"),
        (ValueError("half a \ud800"), r"ValueError: half a \ud800"),
        (RecursionError("deep"), "RecursionError: deep"),
        (MemoryError(), "MemoryError: "),
        (SystemExit("enough"), "SystemExit: enough"),
        (MuteError(), "MuteError: (its text raised RuntimeError)"),
    ],
)
def test_a_trial_fails_with_what_its_code_raised(outcome_of, error, failure):
    outcome = outcome_of(raising(error))
    assert (outcome.number, outcome.score, outcome.failure) == (7, None, failure)
    assert outcome.failure.encode()


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_trial_that_diverges_fails_with_its_score(outcome_of, answer_with, score):
    assert f"must be finite; got {score}" in outcome_of(lambda *_: answer_with(score)).failure


def test_weights_that_cannot_be_written_are_no_failure_of_the_trial(outcome_of):
    with pytest.raises(StorageError):
        outcome_of(raising(StorageError("The disk is full.")))


def test_work_is_sent_with_its_task_and_its_tensors_are_the_same(work):
    assert work.as_it_can_travel(has_name=True) is work
    packed = PackedWork.of(work)
    again = PackedWork.from_bytes(packed.to_bytes())
    for file in (packed, again):
        task = read_packed(file.fileno()).tasks[None]
        assert task.train.inputs.equal(work.tasks[None].train.inputs)
        assert task.example_inputs[0].shape == (1, 8)
        file.close()


def test_a_view_is_sent_without_what_it_is_a_view_of(work):
    many = torch.zeros(1_000_000)
    seen = replace(work.tasks[None], example_inputs=(many[:8].reshape(1, 8),))
    with closing(PackedWork.of(replace(work, tasks={None: seen}))) as packed:
        assert len(packed.to_bytes()) < many.nbytes / 10


def test_a_worker_may_change_a_mapped_tensor_and_nobody_else_sees_it(work):
    large = Split(torch.zeros(40_000, 8, dtype=torch.bfloat16), torch.zeros(40_000, dtype=torch.int64))
    task = replace(work.tasks[None], train=large)
    with closing(PackedWork.of(replace(work, tasks={None: task}))) as packed:
        first, second = (read_packed(packed.fileno()).tasks[None].train.inputs for _ in range(2))
        assert first.dtype == torch.bfloat16
        first += 1
        assert not second.any()


def test_a_task_that_cannot_be_sent_goes_by_its_name_where_it_has_one(work):
    held = replace(work, tasks={None: replace(work.tasks[None], metric=threading.Lock().acquire)})
    assert held.as_it_can_travel(has_name=True).tasks is None
    assert held.as_it_can_travel(has_name=False) is held


def test_a_worker_without_the_gpu_that_trials_need_refuses_before_any_trial(work, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu = replace(work, space=replace(work.space, trial=replace(work.space.trial, device="cuda")))
    with pytest.raises(ConfigError, match="needs a GPU that torch sees"):
        on_gpu.load()
