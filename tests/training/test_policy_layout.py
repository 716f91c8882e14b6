import copy

import pytest
import torch
from torch import nn

from mpsearch.errors import ShapeError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.gpt import Gpt
from mpsearch.models.gpt2 import Gpt2
from mpsearch.training.policy_layout import lie_in_channels

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.arange(16).reshape(2, 8) % 11


class ReadsAcross(nn.Module):
    """Its output for a sample depends on the samples beside it."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        h = self.fc(x.flatten(1))
        return h + h.mean()


class ReadsChannels(nn.Module):
    """Its output for a sample depends on how many channels there are."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((1, 2, 3))[:, None]


def gpt(kind):
    return kind(11, context=8, depth=1, width=16, heads=2)


def test_policies_of_convolutions_lie_in_the_channels():
    assert lie_in_channels(DigitsCnn(), IMAGES)


def test_policies_of_what_needs_all_channels_lie_among_the_samples():
    assert not lie_in_channels(ReadsChannels(), IMAGES)
    assert not lie_in_channels(gpt(Gpt), TOKENS)


@pytest.mark.parametrize(
    ("model", "inputs"), [(ReadsAcross(), IMAGES), (gpt(Gpt2), TOKENS)], ids=["samples", "a tied table"]
)
def test_policies_that_would_mix_are_refused(model, inputs):
    with pytest.raises(ShapeError, match="other outputs than each alone"):
        lie_in_channels(model, inputs)


class DropsByFunction(nn.Module):
    def __init__(self, *, share):
        super().__init__()
        self.fc = nn.Linear(8, 3)
        self.share = share

    def forward(self, x):
        return nn.functional.dropout(self.fc(x), self.share, self.training)


@pytest.mark.parametrize(
    "model",
    [
        DropsByFunction(share=0.5),
        nn.Sequential(nn.Linear(8, 3), nn.Dropout(0.5)),
        nn.Sequential(nn.Linear(8, 3), nn.RReLU()),
    ],
    ids=["function", "module", "slopes"],
)
def test_a_model_that_draws_in_training_is_refused_and_no_draw_is_taken_from_others(model):
    before = torch.get_rng_state()
    with pytest.raises(ShapeError, match="must draw no random numbers in training"):
        lie_in_channels(model.eval(), torch.randn(4, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_of_nothing_is_no_draw():
    assert lie_in_channels(DropsByFunction(share=0.0), torch.ones(4, 8))


def test_a_model_with_parameters_of_its_own_is_refused():
    model = nn.Sequential(nn.Linear(8, 3))
    model.register_parameter("gain", nn.Parameter(torch.ones(3)))
    with pytest.raises(ShapeError, match="must hold parameters and buffers in modules"):
        lie_in_channels(model, torch.zeros(4, 8))


def test_looking_whether_policies_mix_leaves_the_model_as_it_was():
    model = DigitsCnn().train()
    before = copy.deepcopy(model.state_dict())
    lie_in_channels(model, IMAGES)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
