"""CIFAR-10 with fewer images to score by: two thirds of a short trial would be scoring all 5,000."""

from __future__ import annotations

from dataclasses import replace

from mpsearch.training.split import Split
from mpsearch.training.task import Task, load_task

SCORED = 2000


def cifar10_of_2000() -> Task:
    """ResNet-20 with the first 2,000 validation images; its baseline and training images are `cifar10`'s.

    They stand for the test images too: the comparison judges by validation images, and test scores of whole
    fronts would take as long as its trials.
    """
    task = load_task("cifar10", {"model": "resnet20"})
    whole = task.validation
    few = Split(whole.inputs[:SCORED], whole.targets[:SCORED])
    return replace(task, validation=few, test=few)
