"""From a model and an example input to the graph that a compiled plan is made from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature

from mpsearch.errors import ConfigError, UnsupportedOperatorError
from mpsearch.models.aten_operators import (
    IGNORED,
    OPERATORS,
    Call,
    Handler,
    Unsupported,
    Value,
    bound_arguments,
    nothing,
    operator_name,
    short_name,
    size_of,
)
from mpsearch.models.fused_inference import disable_fused_inference
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.quantizable import NOT_CALLED, call_shape, is_candidate
from mpsearch.models.silence import silence

# What holds for both of these batch sizes holds for all, but in models that ask for their batch size.
BATCHES = (1, 3)


def capture_graph(model: nn.Module, example_inputs: tuple[Tensor, ...], trace: ModelTrace) -> ModelGraph:
    """The operators of one forward pass in eval mode, by torch.export on a copy of the model.

    Parameters are shared with the copy, and export computes with shapes only, so the model stays as it is.
    `trace` brings the names of the quantizable layers, and the reasons against the others.

    Raises: UnsupportedOperatorError with every reason that keeps the model out of a compiled plan.
    """
    (x,) = _one_input(example_inputs)
    twin = _twin(model)
    refused = _refused_layers(twin, trace)
    captured = [_Capture(twin, trace, refused, torch.cat([x[:1]] * batch)).graph() for batch in BATCHES]
    if captured[0] != captured[1]:
        raise UnsupportedOperatorError((f"the operators for {BATCHES[1]} samples are not those for one",))
    return captured[0]


def _one_input(example_inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    if len(example_inputs) != 1:
        raise UnsupportedOperatorError((f"{len(example_inputs)} inputs; a plan has one",))
    (x,) = example_inputs
    if not isinstance(x, Tensor) or x.layout != torch.strided or x.is_nested or x.dtype != torch.float32:
        kind = str(x.dtype) if isinstance(x, Tensor) else type(x).__name__
        raise UnsupportedOperatorError((f"an input of {kind}; a plan takes one dense float32 tensor",))
    if x.ndim not in (2, 3, 4) or x.numel() == 0:
        raise UnsupportedOperatorError(
            (f"an input of shape {tuple(x.shape)}; a plan takes (N, C), (N, C, L) or (N, C, H, W)",)
        )
    return (x,)


def _twin(model: nn.Module) -> nn.Module:
    tensors = (*model.parameters(), *model.buffers())
    try:
        twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    except Exception as error:  # any module may define how it is copied
        raise UnsupportedOperatorError((f"it cannot be copied ({_first_line(error)})",)) from error
    disable_fused_inference(twin)
    return twin.eval()


def _refused_layers(twin: nn.Module, trace: ModelTrace) -> dict[str, str]:
    """Each name of a layer that was called and cannot be quantized -> a sentence that says why."""
    reasons = {module.name: module.reason for module in trace.unquantized if module.reason != NOT_CALLED}
    names: dict[int, str] = {}
    refused = {}
    for name, module in twin.named_modules(remove_duplicate=False):
        first = names.setdefault(id(module), name)
        if is_candidate(module) and first in reasons:
            refused[name] = f"layer {first}: {reasons[first]}"
    return refused


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].strip():.160}"


@dataclass(slots=True)
class _Owners:
    """Modules by their tensors: `Owners` of one program."""

    signature: ExportGraphSignature
    tensors: dict[str, Tensor]
    layers: dict[int, tuple[str, nn.Module]]
    batch_norms: list[tuple[str, nn.Module]]

    @classmethod
    def of(cls, twin: nn.Module, trace: ModelTrace, signature: ExportGraphSignature) -> _Owners:
        modules = dict(twin.named_modules(remove_duplicate=False))
        return cls(
            signature=signature,
            tensors={
                **dict(twin.named_parameters(remove_duplicate=False)),
                **dict(twin.named_buffers(remove_duplicate=False)),
            },
            layers={
                id(modules[layer.name].get_parameter("weight")): (layer.name, modules[layer.name])
                for layer in trace.layers
            },
            batch_norms=[
                (name, module)
                for name, module in modules.items()
                if isinstance(module, nn.modules.batchnorm._BatchNorm)
            ],
        )

    def tensor(self, argument: object) -> Tensor | None:
        """The parameter or buffer that an argument of an operator stands for; None for a missing one.

        Raises: Unsupported if it is another tensor, such as a constant.
        """
        if not isinstance(argument, fx.Node):
            return None
        name = self.signature.inputs_to_parameters.get(argument.name)
        found = self.tensors.get(name or self.signature.inputs_to_buffers.get(argument.name, ""))
        if found is None:
            raise Unsupported("with a tensor that is no parameter or buffer")
        return found

    def layer(self, call: Call) -> Node:
        weight, bias = self.tensor(call["weight"]), self.tensor(call["bias"])
        if weight is None or id(weight) not in self.layers:
            raise Unsupported("with a weight that is no layer's parameter")
        name, module = self.layers[id(weight)]
        value = call.value("input")
        rank = weight.ndim  # (N, C, L) for conv1d, (N, C, H, W) for conv2d, (N, C) for linear
        if len(value.shape) + 1 != rank:
            raise Unsupported(f"on a value of {len(value.shape) + 1} dimensions; a plan takes {rank}")
        settings = ("stride", "padding", "dilation", "groups")
        if bias is not module._parameters["bias"] or any(
            _plain(call[setting]) != _plain(getattr(module, setting))
            for setting in settings
            if setting in call.arguments
        ):
            raise Unsupported(f"with the weight of {name} and settings of its own")
        shape = call_shape(module, (1, *value.shape))
        size = (*shape.out_spatial, shape.out_channels)
        return Node(name="", kind="layer", inputs=("",), size=size, layer=name, shape=shape)

    def batch_norm(self, call: Call) -> str:
        tensors = [self.tensor(call[name]) for name in ("weight", "bias", "running_mean", "running_var")]
        if call["training"]:
            raise Unsupported("with the statistics of the batch")
        for name, module in self.batch_norms:
            own = (module.weight, module.bias, module.running_mean, module.running_var)
            same = all(ours is theirs for ours, theirs in zip(own, tensors, strict=True))
            if same and module.eps == call["eps"]:
                return name
        raise Unsupported("that is no BatchNorm module's")


def _plain(setting: object) -> object:
    return tuple(setting) if isinstance(setting, list | tuple) else setting


@dataclass(slots=True)
class _Capture:
    """One program on its way to a graph."""

    twin: nn.Module
    trace: ModelTrace
    refused: dict[str, str]
    x: Tensor
    values: dict[fx.Node, Value | None] = field(default_factory=dict)  # None: hangs on what is unknown
    storage: dict[fx.Node, fx.Node] = field(default_factory=dict)  # views -> the operator that filled them
    nodes: dict[str, Node] = field(default_factory=dict)
    stems: dict[str, str] = field(default_factory=dict)  # node -> what it shall be called
    reasons: dict[str, list[str]] = field(default_factory=dict)  # what -> where

    def graph(self) -> ModelGraph:
        """Raises: UnsupportedOperatorError with all reasons."""
        program = self._exported()
        signature = program.graph_signature
        owners = _Owners.of(self.twin, self.trace, signature)
        places = {node: place for place, node in enumerate(program.graph.nodes)}
        for node in program.graph.nodes:
            if node.op == "placeholder" and node.name in signature.user_inputs:
                shape = tuple(self.x.shape[1:])
                start = Node(name=node.name, kind="input", inputs=(), size=size_of(shape))
                self.nodes[start.name] = start
                self.stems[start.name] = start.name
                self.values[node] = Value(start, shape)
            elif node.op == "call_function" and operator_name(node) not in IGNORED:
                self._call(node, owners, places)
        output = self._output(program)
        if self.reasons:
            raise UnsupportedOperatorError(tuple(_sentence(*reason) for reason in self.reasons.items()))
        assert output is not None
        return self._checked(output)

    def _exported(self) -> ExportedProgram:
        try:
            with silence(), torch.random.fork_rng(devices=()), torch.no_grad():
                return torch.export.export(self.twin, (self.x,), strict=False)
        except Exception as error:  # any model code runs here, so any error can come out of it
            samples = "" if len(self.x) == 1 else f" for {len(self.x)} samples"
            layers = dict.fromkeys(self.refused.values())
            raise UnsupportedOperatorError(
                (*layers, f"torch.export fails{samples} ({_first_line(error)})")
            ) from error

    def _call(self, node: fx.Node, owners: _Owners, places: dict[fx.Node, int]) -> None:
        read = [source for source in node.all_input_nodes if source in self.values]
        self.values[node] = None
        handler = OPERATORS.get(operator_name(node))
        if handler is None:
            self._refuse(node, short_name(node))
            return
        arguments = bound_arguments(node)
        if "weight" in arguments and _module_of(node) in self.refused:
            self.reasons.setdefault(self.refused[_module_of(node)], [])
            return
        if not read:
            self._refuse(node, f"{short_name(node)} of a parameter, buffer or constant")
            return
        try:
            self._check_in_place(node, handler, places)
            if any(self.values[source] is None for source in read):
                return
            inputs = {
                name: value
                for name, source in arguments.items()
                if isinstance(source, fx.Node) and (value := self.values.get(source)) is not None
            }
            call = Call(
                operator=operator_name(node),
                arguments=arguments,
                inputs=inputs,
                out_shape=self._out_shape(node),
                owners=owners,
            )
            self.values[node] = self._entered(node, handler(call))
        except Unsupported as error:
            self._refuse(node, f"{short_name(node)} {error.why}".strip())

    def _check_in_place(self, node: fx.Node, handler: Handler, places: dict[fx.Node, int]) -> None:
        """An operator that overwrites its input is like any other if nobody reads that again."""
        first = node.args[0] if node.args else None
        if not isinstance(first, fx.Node) or first not in self.values:
            return
        alias = node.target._schema.arguments[0].alias_info  # type: ignore[union-attr]
        if alias is None and handler is not nothing:
            return
        root = self.storage.get(first, first)
        if alias is not None and alias.is_write:
            views = (root, *(seen for seen, filled in self.storage.items() if filled is root))
            if any(places[user] > places[node] for view in views for user in view.users):
                raise Unsupported("in place, of a value that is read again")
        self.storage[node] = root

    def _out_shape(self, node: fx.Node) -> tuple[int, ...]:
        made = node.meta["val"]
        if not isinstance(made, Tensor) or made.dtype != torch.float32:
            raise Unsupported(f"to {made.dtype}" if isinstance(made, Tensor) else "with several results")
        batch, *shape = made.shape or (0,)
        if batch != len(self.x):
            raise Unsupported("does not keep the batch dimension")
        return tuple(shape)

    def _entered(self, node: fx.Node, value: Value) -> Value:
        """The value with its node in the graph."""
        if value.node.name:
            return value
        made = value.node
        if made.kind == "subsample" and self.nodes[made.inputs[0]].kind == "subsample":
            before = self.nodes[made.inputs[0]]
            made = replace(
                made,
                inputs=before.inputs,
                stride=(before.stride[0] * made.stride[0], before.stride[1] * made.stride[1]),
                channels_before=before.channels_before + made.channels_before,
            )
        made = replace(made, name=node.name)
        self.nodes[made.name] = made
        path = _module_of(node)
        self.stems[made.name] = made.layer or made.module or ".".join(filter(None, (path, made.kind)))
        return Value(made, value.shape)

    def _refuse(self, node: fx.Node, what: str) -> None:
        self.reasons.setdefault(what, []).append(_module_of(node) or "the model itself")

    def _output(self, program: ExportedProgram) -> Value | None:
        names = program.graph_signature.user_outputs
        spec = program.call_spec.out_spec
        if spec is None or not spec.is_leaf() or len(names) != 1:
            self.reasons[f"it returns {len(names)} values in a structure; a plan returns one tensor"] = []
            return None
        made = {node.name: value for node, value in self.values.items()}
        if names[0] not in made:
            self.reasons["it returns what does not depend on its input"] = []
            return None
        return made[names[0]]

    def _checked(self, output: Value) -> ModelGraph:
        """The graph of what the output depends on, if it holds each call that the trace saw."""
        needed = {output.node.name}
        for name, node in reversed(self.nodes.items()):
            if name in needed:
                needed.update(node.inputs)
        nodes = [node for name, node in self.nodes.items() if name in needed or node.kind == "input"]
        calls: dict[str, list[LayerShape]] = {}
        for node in nodes:
            if node.shape is not None:
                calls.setdefault(node.layer, []).append(node.shape)
        odd = [
            f"layer {layer.name}: called {len(layer.calls)} times, and {len(found)} uses of its weight count"
            for layer in self.trace.layers
            if [replace(call, batch=1) for call in layer.calls] != (found := calls.get(layer.name, []))
        ]
        if odd:
            raise UnsupportedOperatorError(tuple(odd))
        names = _distinct({node.name: self.stems[node.name] for node in nodes})
        try:
            return ModelGraph(
                nodes=tuple(
                    replace(node, name=names[node.name], inputs=tuple(names[name] for name in node.inputs))
                    for node in nodes
                ),
                output=names[output.node.name],
                input_rank=self.x.ndim,
                output_rank=len(output.shape) + 1,
            )
        except ConfigError as error:
            raise UnsupportedOperatorError((str(error),)) from error


def _module_of(node: fx.Node) -> str:
    """The innermost module in whose forward the operator was called, the first of its names."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((path for path, _ in reversed(stack.values())), "")
    return str(path).partition("@")[0]


def _distinct(stems: dict[str, str]) -> dict[str, str]:
    """Each node's stem, with a number where an earlier node has it."""
    taken: dict[str, None] = {}
    for stem in stems.values():
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem}#{count}"
        taken[name] = None
    return dict(zip(stems, taken, strict=True))


def _sentence(what: str, where: list[str]) -> str:
    if not where:
        return what
    return f"{what} in {where[0]}" + (f" and {len(where) - 1} more" if len(where) > 1 else "")
