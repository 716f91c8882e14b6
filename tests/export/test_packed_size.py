"""weights.bin takes the bytes that the cost model claims, to the byte."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mpsearch.cost.memory import layer_memory_bytes
from mpsearch.export.exporters import export_trial
from mpsearch.export.packed_bytes import packed_bytes
from mpsearch.export.packed_file import WEIGHTS_FILE
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.resnet import resnet20
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.swap import calibrate, quantize_model

MODELS = {
    "digits": (DigitsCnn, (1, 8, 8)),
    "resnet20": (resnet20, (3, 32, 32)),
    "ds-cnn": (DsCnn, (1, 49, 10)),
    "mlp": (lambda: Mlp(64), (64,)),
}


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    """A model, inputs and its trace."""
    build, size = MODELS[request.param]
    torch.manual_seed(0)
    model, x = build(), torch.randn(2, *size)
    return model, x, trace_model(model, (x[:1],))


def claimed_bytes(trace: ModelTrace, policy: PrecisionPolicy) -> int:
    return trace.other_parameter_bytes + sum(
        layer_memory_bytes(
            weight_count=layer.weight_count,
            in_channels=layer.calls[0].in_channels,
            out_channels=layer.calls[0].out_channels,
            has_bias=layer.has_bias,
            scheme=policy[layer.name],
        )
        for layer in trace.layers
    )


def counted_bytes(model: torch.nn.Module, policy: PrecisionPolicy) -> int:
    """The same from the model alone: bits, scales, thresholds, and 32-bit for all else."""
    tensors = dict(model.state_dict())
    size = 0
    for name, scheme in policy.items():
        if scheme.is_full_precision:
            continue
        weight, bias = tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.bias", None)
        inputs = weight.shape[1] * getattr(model.get_submodule(name), "groups", 1)
        size += -(-round(10 * weight.numel() * scheme.storage_bits) // 80)
        size += 4 * (len(weight) + 1) + (4 * inputs if scheme.activation_bits == 1 else 0)
        size += 0 if bias is None else 4 * len(bias)
    return size + sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


@pytest.mark.parametrize("choice", [*SCHEMES, "in turn", "at random"])
def test_the_file_takes_what_the_cost_model_claims(network, choice):
    model, x, trace = network
    names = [layer.name for layer in trace.layers]
    schemes = {
        "in turn": itertools.cycle(SCHEMES),
        "at random": iter(np.random.default_rng(0).choice(list(SCHEMES), len(names))),
    }.get(choice, itertools.repeat(choice))
    policy = PrecisionPolicy({name: str(scheme) for name, scheme in zip(names, schemes, strict=False)})
    fake = quantize_model(model, policy)
    calibrate(fake, [x])
    layers = freeze_model(fake)
    own = {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    data = packed_bytes(layers, {key: t for key, t in model.state_dict().items() if key not in own})
    assert len(data) == claimed_bytes(trace, policy) == counted_bytes(model, policy)


def test_an_exported_trial_takes_what_the_cost_model_claims(trained_run, tmp_path):
    record = trained_run.records[0]
    written = export_trial(trained_run, record, tmp_path / "out")
    assert (written / WEIGHTS_FILE).stat().st_size == claimed_bytes(trained_run.model, record.policy)
