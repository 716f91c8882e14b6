import math
from typing import get_args

import pytest
import torch
from torch import nn

from mpsearch.precision.scheme import scheme_named
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.quantizer_choice import Binary, QuantizerChoice, Ternary, Uniform
from mpsearch.training.freeze_oscillating import FreezeOscillating

MEMBERS = [
    *[("w1a8", "binary", name) for name in get_args(Binary)],
    *[("w1.58a8", "ternary", name) for name in get_args(Ternary)],
    *[("w4a8", "uniform", name) for name in get_args(Uniform)],
]


def layer(scheme="w4a8", **choice):
    torch.manual_seed(0)
    return quantize_layer(nn.Linear(6, 4), scheme_named(scheme), QuantizerChoice(**choice))


def integers(quantized):
    return quantized.weight_quantizer.quantize(quantized.weight.detach())[0]


def put(quantized, values):
    with torch.no_grad():
        quantized.weight.copy_(values)


def test_a_weight_is_frozen_at_the_step_and_the_integer_of_the_papers_algorithm():
    quantized = layer()
    step = quantized.weight_quantizer.quantize(quantized.weight.detach())[1]
    path = [0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1]  # of one weight; all others rest
    resting = torch.full((4, 6), 3.0)
    put(quantized, resting * step)
    quantized.weight.data[0, 0] = 0.0
    freeze, threshold, m = FreezeOscillating(quantized, 0.04), 0.04, 0.01
    frequency, mean, last, before = 0.0, 0.0, 0, 0
    frozen_at = None
    for place, integer in enumerate(path[1:]):
        quantized.weight.data[0, 0] = integer * step[0, 0] * 1.01
        freeze(place / 11)
        if frozen_at is not None:
            break
        change = integer - before
        flips = change * last < 0
        last, before = (change or last), integer
        frequency = m * flips + (1 - m) * frequency
        mean = m * integer + (1 - m) * mean
        limit = threshold * (1 + 3 * 0.5 * (1 + math.cos(math.pi * place / 11)))
        if frequency > limit:
            frozen_at = place
        assert freeze.frozen_share == (1 / 24 if frozen_at is not None else 0)
    assert frozen_at is not None
    assert 0 < frozen_at < 10
    assert integers(quantized)[0, 0] == round(mean)
    assert quantized.weight.data[0, 0] == round(mean) * step[0, 0]


def test_a_weight_that_moves_on_in_one_direction_is_never_frozen():
    quantized = layer()
    step = quantized.weight_quantizer.quantize(quantized.weight.detach())[1]
    put(quantized, torch.full((4, 6), -8.0) * step)
    freeze = FreezeOscillating(quantized, 1e-6)
    for integer in range(-7, 8):
        put(quantized, torch.full((4, 6), float(integer)) * step)
        freeze(0.5)
    assert freeze.frozen_share == 0


@pytest.mark.parametrize(("scheme", "family", "name"), MEMBERS)
def test_a_frozen_weight_keeps_its_integer_whatever_the_optimizer_does(scheme, family, name):
    quantized = layer(scheme, **{family: name})
    freeze = FreezeOscillating(quantized, 1e-3)
    start = quantized.weight.detach().clone()
    for step in range(6):
        put(quantized, start if step % 2 else -start)
        freeze(0.9)
    assert freeze.frozen_share > 0.3
    frozen = freeze._layers[0].frozen.clone()
    held = integers(quantized)[frozen]
    for step in range(5):
        put(quantized, quantized.weight + 0.05 * torch.randn(4, 6))
        freeze(0.9 + step / 100)
        assert torch.equal(integers(quantized)[frozen], held)


def test_weights_of_a_channel_that_is_centred_are_frozen_beside_its_mean():
    quantized = layer("w1a8", binary="ir_net")
    put(quantized, torch.tensor([0.9, 1.1, 1.0, 1.05, 0.95, 1.2]).repeat(4, 1))
    before = integers(quantized)
    freeze = FreezeOscillating(quantized, 1e-3)
    start = quantized.weight.detach().clone()
    for step in range(6):  # the second weight goes to and fro over the mean
        put(quantized, torch.where(torch.arange(6) == 1, start - 0.2 * (1 - step % 2), start))
        freeze(0.9)
    frozen = freeze._layers[0].frozen
    assert frozen[:, 1].all()
    assert torch.equal(integers(quantized)[frozen], freeze._layers[0].held[frozen])
    assert torch.equal(integers(quantized)[~frozen], before[~frozen])


@pytest.mark.parametrize(
    ("scheme", "choice", "size", "learnt"),
    [
        ("w8a8", {"uniform": "dorefa"}, 3.0, 0.0),  # where the tanh bends
        ("w8a8", {"uniform": "dorefa"}, 30.0, 0.0),  # where it rounds to 1
        ("w8a8", {"uniform": "lsq"}, 3.0, 0.0),
        ("w1.58a8", {"ternary": "ttq"}, 1.0, -1.2),  # scales far below the threshold
        ("w1.58a8", {"ternary": "twn_learnt"}, 1.0, -1.2),
    ],
)
def test_weights_are_frozen_where_they_round_to_their_integer(scheme, choice, size, learnt):
    quantized = layer(scheme, **choice)
    start = size * quantized.weight.detach()
    put(quantized, start)
    with torch.no_grad():
        for parameter in quantized.weight_quantizer.parameters():
            parameter.add_(learnt)
    moved = start.clone()
    moved[:, 0] = start.abs().mean(1)  # one weight of each channel flips, the others rest
    freeze = FreezeOscillating(quantized, 1e-3)
    for step in range(8):
        put(quantized, torch.where(torch.arange(6) == 0, moved * (1 - 0.5 * (step % 2)), start))
        freeze(0.9)
    state = freeze._layers[0]
    assert state.frozen.any()
    assert torch.equal(integers(quantized)[state.frozen], state.held[state.frozen])
