import pytest
import torch
from torch import nn

from mpsearch.models.trace import trace_model
from mpsearch.profiling.timer import PassSettings, TimerSettings


@pytest.fixture
def quick():
    """Too short to measure anything, long enough to test the rest."""
    return TimerSettings(
        sample_s=1e-6, rounds=3, least_rounds=2, warm_up_s=0, budget_s=1e-3, patience=0, noise_limit=1e9
    )


@pytest.fixture
def quick_passes():
    return PassSettings(
        turns=1,
        passes=2,
        most_passes=2,
        warm_up=0,
        warm_up_s=0,
        models=2,
        contexts=1,
        noise_limit=1e9,
        patience=0,
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * 16, 8),
        nn.Linear(8, 8),
    ).eval()
    inputs = (torch.zeros(1, 1, 4, 4),)
    return model, inputs, trace_model(model, inputs)
