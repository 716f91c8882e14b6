"""Compiled models with arbitrary weights: time does not depend on the values."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.models.graph import ModelGraph
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import Scheme
from mpsearch.profiling.random_layer import random_quantized_layer
from mpsearch.runtime.compiled_model import CompiledModel


class RandomPlans:
    """Builds the compiled model of any policy; each layer's weights are drawn once a scheme."""

    def __init__(
        self, model: nn.Module, graph: ModelGraph, shapes: Mapping[str, LayerShape], *, threads: int
    ) -> None:
        self._model, self._graph, self._shapes, self._threads = model, graph, shapes, threads
        self._drawn: dict[tuple[str, Scheme], QuantizedLayer] = {}

    def build(self, policy: Mapping[str, Scheme]) -> CompiledModel:
        layers = {
            name: self._layer(name, scheme) for name, scheme in policy.items() if not scheme.is_full_precision
        }
        return CompiledModel(self._model, layers, self._graph, threads=self._threads)

    def _layer(self, name: str, scheme: Scheme) -> QuantizedLayer:
        if (name, scheme) not in self._drawn:
            self._drawn[name, scheme] = random_quantized_layer(self._shapes[name], scheme)
        return self._drawn[name, scheme]
