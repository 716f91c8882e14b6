"""What one forward pass of a model does, as plain data: readable and writable without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from mpsearch.errors import ConfigError, FormatError
from mpsearch.models.graph import ModelGraph
from mpsearch.models.layer_shape import Extra, LayerShape


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedLayer:
    """A layer that can be quantized, with one shape per call in one forward pass.

    `aliases` are further names of the same module.
    """

    name: str
    calls: tuple[LayerShape, ...]
    weight_count: int
    has_bias: bool
    aliases: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.calls[0].kind

    @property
    def macs(self) -> int:
        return sum(call.macs for call in self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnquantizedModule:
    """A module that stays 32-bit, and why. `parameter_bytes` counts its own parameters and buffers."""

    name: str
    type_name: str
    reason: str
    parameter_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTrace:
    """What one forward pass of a model does.

    `layers` in the order of their first call. `other_parameter_bytes`: every parameter and buffer
    that is no weight or bias of `layers`, each once. `peak_activation_bytes`: the most that input
    and output of one layer call take together as float32. `fingerprint`: sixteen hex digits of the
    structure (names and shapes, not values).
    `graph`: the operators, if a compiled plan knows them all; otherwise the model runs in torch with packed
    layers inside, and `eager_reasons` say what keeps it there.
    """

    layers: tuple[TracedLayer, ...]
    unquantized: tuple[UnquantizedModule, ...]
    other_parameter_bytes: int
    peak_activation_bytes: int
    fingerprint: str
    graph: ModelGraph | None = None
    eager_reasons: tuple[str, ...] = ()

    def layer(self, name: str) -> TracedLayer:
        """The layer of that name or alias.

        Raises: ConfigError if there is none.
        """
        for layer in self.layers:
            if name == layer.name or name in layer.aliases:
                return layer
        known = ", ".join(layer.name for layer in self.layers) or "none"
        raise ConfigError(f"The model has no quantizable layer {name!r}; it has {known}.")

    def with_extras(self, extras: tuple[Extra, ...]) -> ModelTrace:
        """The trace of the model whose layers compute that beside their schemes, where it applies."""
        if not extras:
            return self
        layers = tuple(
            replace(layer, calls=tuple(replace(call, extras=extras) for call in layer.calls))
            for layer in self.layers
        )
        graph = self.graph
        if graph is not None:
            graph = graph.with_extras({node.layer: extras for node in graph.nodes if node.layer})
        return replace(self, layers=layers, graph=graph)

    @property
    def parameter_bytes(self) -> int:
        """All parameters and buffers as they are now, before any quantization."""
        own = sum(4 * layer.weight_count for layer in self.layers)
        own += sum(4 * layer.calls[0].out_channels for layer in self.layers if layer.has_bias)
        return own + self.other_parameter_bytes

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` is its inverse."""
        layers = [
            {**asdict(layer), "calls": [call.to_dict() for call in layer.calls]} for layer in self.layers
        ]
        graph = None if self.graph is None else self.graph.to_dict()
        return {**asdict(self), "layers": layers, "graph": graph}

    @classmethod
    def from_dict(cls, fields: Any) -> ModelTrace:
        """Raises: FormatError if it is not a model trace."""
        try:
            layers = tuple(
                TracedLayer(
                    **{
                        **layer,
                        "calls": tuple(LayerShape.from_dict(call) for call in layer["calls"]),
                        "aliases": tuple(layer["aliases"]),
                    }
                )
                for layer in fields["layers"]
            )
            unquantized = tuple(UnquantizedModule(**module) for module in fields["unquantized"])
            plain = {**fields, "layers": layers, "unquantized": unquantized}
            if plain.get("graph") is not None:
                plain["graph"] = ModelGraph.from_dict(plain["graph"])
            plain["eager_reasons"] = tuple(plain.get("eager_reasons", ()))
            trace = cls(**plain)
            trace._check_types()
        except (TypeError, KeyError, AttributeError, ConfigError) as error:
            raise FormatError(f"Not a model trace ({error!r:.200}): {fields!r:.200}.") from error
        return trace

    def _check_types(self) -> None:
        texts: list[object] = [self.fingerprint, *self.eager_reasons]
        counts: list[object] = [self.other_parameter_bytes, self.peak_activation_bytes]
        flags: list[object] = []
        for layer in self.layers:
            texts += [layer.name, *layer.aliases]
            counts += [layer.weight_count, len(layer.calls) - 1]  # a layer is called at least once
            flags.append(layer.has_bias)
        for module in self.unquantized:
            texts += [module.name, module.type_name, module.reason]
            counts.append(module.parameter_bytes)
        nodes = () if self.graph is None else self.graph.nodes
        texts += [node.layer for node in nodes]
        for kind, values in ((str, texts), (int, counts), (bool, flags)):
            odd = [v for v in values if type(v) is not kind or (isinstance(v, int) and v < 0)]
            if odd:
                raise TypeError(f"{odd[0]!r:.80} instead of {kind.__name__}")
        unknown = {node.layer for node in nodes if node.layer} - {layer.name for layer in self.layers}
        if unknown:
            raise TypeError(f"the graph runs {unknown!r:.80}, which is no layer")
