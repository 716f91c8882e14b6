import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.annealing import anneal_quantizers
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.quant.swap import calibrate, quantize_model


def gradients_over_a_training(gradient):
    torch.manual_seed(0)
    policy = PrecisionPolicy({"0": "w8a8", "1": "w1a1"})
    choice = QuantizerChoice(sign_gradient=gradient)
    model = quantize_model(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)), policy, choice)
    x = torch.randn(20, 6)
    calibrate(model, [x])
    found = []
    for t in (0.0, 1.0):
        anneal_quantizers(model, t)
        model.zero_grad()
        model(x).square().sum().backward()
        found.append(model[0].weight.grad)
    return found


def test_annealed_gradients_change_with_the_progress_of_the_training():
    assert not torch.allclose(*gradients_over_a_training("tanh"))


def test_other_gradients_do_not():
    assert torch.equal(*gradients_over_a_training("clipped"))


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_the_progress_is_a_share(t):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        anneal_quantizers(nn.Linear(2, 2), t)
