import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.training.device import device_of, seeded, trial_device

CPU = torch.device("cpu")


def test_a_gpu_that_is_not_there_is_refused_with_what_to_write(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"needs a GPU that torch sees; .* Write `device: cpu`"):
        trial_device("cuda")
    assert trial_device("cpu") == CPU


def test_a_model_lies_where_its_parameters_do():
    assert device_of(nn.Linear(2, 2, device="meta")) == torch.device("meta")
    assert device_of(nn.ReLU()) == CPU


def test_draws_follow_from_the_seed_and_leave_others_alone():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    drawn = []
    for _ in range(2):
        with seeded(4, CPU):
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3), expected)


def test_convolutions_of_a_gpu_multiply_with_all_bits(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with seeded(0, CPU):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
