"""A task of one's own: which tumours are benign? 569 samples of 30 measurements, embedded in scikit-learn."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

from mpsearch import BaselineRecipe, Task, task_from


def tumours(width: int = 1024) -> Task:
    """A perceptron with two hidden layers."""
    data = load_breast_cancer()
    inputs = torch.tensor((data.data - data.data.mean(0)) / data.data.std(0), dtype=torch.float32)
    targets = torch.tensor(data.target)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    parts = order.split([300, 130, 139])
    model = nn.Sequential(
        nn.Linear(30, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, 2),
    )
    train, validation, test = ((inputs[part], targets[part]) for part in parts)
    return task_from(
        model,
        (train, validation, test),
        name="tumours",
        baseline=BaselineRecipe(epochs=20, batch_size=50, learning_rate=0.05),
    )
