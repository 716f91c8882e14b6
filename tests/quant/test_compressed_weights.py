"""Sizes of compressed weights are those of the packed bytes that a trial with such weights would have."""

import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.kernels.compression import compressed_size_bytes
from mpsearch.kernels.packing import pack_weights, packed_size_bytes
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.quant.compressed_weights import compressed_weights
from mpsearch.quant.freeze import freeze_layer
from mpsearch.quant.swap import calibrate, quantize_model


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32))


def test_each_size_is_that_of_the_packed_integers_of_an_untrained_policy(model):
    found = compressed_weights(model, {"0": SCHEMES.values(), "2": [SCHEMES["w4a8"]]})
    for name in ("w1a8", "w1.58a8", "w4a8", "w8a8"):
        quantized = quantize_model(model, PrecisionPolicy({"0": SCHEMES[name]}))
        calibrate(quantized, [torch.randn(8, 64)])
        packed = pack_weights(freeze_layer(quantized[0]).weight, SCHEMES[name]).tobytes()
        assert (
            found["0"][SCHEMES[name]]
            == compressed_size_bytes(packed)
            <= packed_size_bytes(64 * 48, SCHEMES[name])
        )
    assert set(found["2"]) == {SCHEMES["w4a8"], FULL_PRECISION}
    assert found["2"][FULL_PRECISION] == compressed_size_bytes(model[2].weight.detach().numpy().tobytes())


def test_weights_that_are_mostly_zero_are_smaller_when_compressed(model):
    with torch.no_grad():
        model[0].weight[torch.rand_like(model[0].weight) < 0.95] = 0
    sizes = compressed_weights(model, {"0": [SCHEMES["w8a8"]]})["0"]
    assert sizes[SCHEMES["w8a8"]] < 0.5 * packed_size_bytes(64 * 48, SCHEMES["w8a8"])


def test_the_model_stays_as_it_was_and_an_unknown_layer_is_refused(model):
    before = model[0].weight.clone()
    compressed_weights(model, {"0": SCHEMES.values()})
    assert torch.equal(model[0].weight, before)
    assert type(model[0]) is nn.Linear
    with pytest.raises(ConfigError, match="no 'head'"):
        compressed_weights(model, {"head": SCHEMES.values()})
