"""Quantizers that compute more than their scheme says: packed layers return what was scored, to the bit."""

import pytest
import torch
from torch import nn

from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.xnor_cnn import XnorCnn
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_layer, freeze_model
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.compiled_model import CompiledModel
from mpsearch.runtime.packed_layer import PackedLayer
from mpsearch.training.layout import prepare_model

CHOICES = {
    "ttq": QuantizerChoice(ternary="ttq"),
    "per_token": QuantizerChoice(activation="per_token"),
    "ttq and per_token": QuantizerChoice(ternary="ttq", activation="per_token"),
    "xnor": QuantizerChoice(binary_activation="xnor"),
    "ternary": QuantizerChoice(activation="ternary"),
    "ttq and ternary_threshold": QuantizerChoice(ternary="ttq", activation="ternary_threshold"),
}
LAYERS = {
    "linear": (lambda: nn.Linear(37, 21), (5, 37)),
    "linear on tokens": (lambda: nn.Linear(37, 21, bias=False), (5, 3, 37)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 5, stride=2, padding=3, dilation=2), (3, 4, 17)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (3, 4, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, padding="same", groups=4), (3, 4, 6, 6)),
}
LOW = [name for name in SCHEMES if name != "w32a32"]
MODELS = {
    "digits cnn": (DigitsCnn, (1, 8, 8)),
    "xnor cnn": (XnorCnn, (1, 8, 8)),
    "ds cnn": (DsCnn, (1, 49, 10)),
    "mlp": (lambda: Mlp(64), (64,)),
}


def applies(choice, scheme):
    extras = set(choice.extras)
    return bool(
        (scheme == "w1.58a8" and "two_scales" in extras)
        or (scheme == "w1a1" and "pixel_scale" in extras)
        or (scheme != "w1a1" and extras & {"token_scale", "ternary_input"})
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("choice", "scheme"),
    [(name, scheme) for name, choice in CHOICES.items() for scheme in LOW if applies(choice, scheme)],
)
def test_a_trained_layer_is_packed_to_the_bit(name, choice, scheme):
    torch.manual_seed(0)
    build, size = LAYERS[name]
    model = quantize_model(nn.Sequential(build()), PrecisionPolicy({"0": scheme}), CHOICES[choice])
    calibrate(model, [torch.randn(size)])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(size)).square().mean().backward()
        optimizer.step()
    x = torch.randn(size) * 2
    trained = model(x).detach()
    with torch.no_grad():
        scored = model(x)
        packed = PackedLayer(freeze_layer(model[0]))(x)
    assert torch.equal(scored, packed)
    torch.testing.assert_close(trained, scored, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_model_returns_what_was_scored_to_the_bit(name, choice, twins):
    build, size = MODELS[name]
    model = twins(build, size)
    for offset in range(len(LOW)):  # each layer at each scheme, among all others
        policy = {layer: LOW[(place + offset) % len(LOW)] for place, layer in enumerate(model.layers)}
        fake = quantize_model(model.model, PrecisionPolicy(policy), CHOICES[choice])
        calibrate(fake, [model.x])
        compiled = CompiledModel(model.model, freeze_model(fake.eval()), model.graph)
        # As trials are scored: torch's mean over pixels then sums in the order of the plan's, and a scale
        # that is found out at run time shows the last bit.
        prepare_model(fake)
        x = model.x.contiguous(memory_format=torch.channels_last) if model.x.ndim == 4 else model.x
        with torch.no_grad():
            assert torch.equal(compiled(model.x), fake(x))
