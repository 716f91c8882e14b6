import dataclasses

import pytest
import torch

from mpsearch.errors import TaskError
from mpsearch.training.evaluate import evaluate
from mpsearch.training.task import top1_correct


def test_the_score_does_not_depend_on_the_batch_size(tiny_task):
    model = tiny_task.new_model()
    whole = evaluate(model, tiny_task.validation, tiny_task, batch_size=80)
    parts = evaluate(model, tiny_task.validation, tiny_task, batch_size=33)
    assert whole == pytest.approx(parts, rel=1e-6)


def test_the_mode_of_the_model_is_restored_and_its_statistics_untouched(tiny_task):
    model = tiny_task.new_model().train()
    before = model[1].running_mean.clone()
    evaluate(model, tiny_task.validation, tiny_task)
    assert model.training
    assert torch.equal(model[1].running_mean, before)


def test_a_metric_without_a_score_per_sample_is_refused(tiny_task):
    task = dataclasses.replace(tiny_task, metric=lambda output, targets: top1_correct(output, targets).sum())
    with pytest.raises(TaskError, match="one score per sample; got shape"):
        evaluate(task.new_model(), task.validation, task)


def test_a_metric_that_fails_is_named(tiny_task):
    task = dataclasses.replace(tiny_task, metric=lambda output, targets: output - targets)
    with pytest.raises(TaskError, match="The metric of task 'blobs' must run"):
        evaluate(task.new_model(), task.validation, task)


def test_sequences_are_scored_position_by_position():
    output = torch.eye(3)[None, [0, 1, 2, 2]]
    assert top1_correct(output, torch.tensor([[0, 1, 2, 0]])).tolist() == [[1, 1, 1, 0]]
