"""Models as after training, and their fake-quantized and compiled twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mpsearch.models.graph import ModelGraph
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.compiled_model import CompiledModel


@dataclass(frozen=True, kw_only=True)
class Twins:
    """A 32-bit model with its graph and layer names; `fake` is its fake-quantized copy for a policy."""

    model: nn.Module
    graph: ModelGraph
    layers: tuple[str, ...]
    x: Tensor

    def fake(self, policy: Mapping[str, str]) -> nn.Module:
        fake = quantize_model(self.model, PrecisionPolicy(policy))
        calibrate(fake, [self.x])
        return fake.eval()

    def compiled(self, fake: nn.Module, *, threads: int = 1) -> CompiledModel:
        return CompiledModel(self.model, freeze_model(fake), self.graph, threads=threads)


def with_random_statistics(model: nn.Module) -> nn.Module:
    """As after training: each BatchNorm with another mean, variance, gain and offset."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, -1, 1)
                nn.init.uniform_(module.bias, -1, 1)
    return model


@pytest.fixture
def twins() -> Callable[[Callable[[], nn.Module], tuple[int, ...]], Twins]:
    def make(build: Callable[[], nn.Module], size: tuple[int, ...]) -> Twins:
        torch.manual_seed(0)
        model = with_random_statistics(build()).eval()
        x = torch.randn(6, *size)
        trace = trace_model(model, (x[:1],))
        assert trace.graph is not None, trace.eager_reasons
        return Twins(model=model, graph=trace.graph, layers=tuple(layer.name for layer in trace.layers), x=x)

    return make
