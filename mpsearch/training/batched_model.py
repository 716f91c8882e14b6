"""Several students of one model as one model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpsearch.errors import ShapeError
from mpsearch.models.quantizable import is_candidate
from mpsearch.training.joined_batch_norm import is_plain_batch_norm, joined_batch_norm
from mpsearch.training.joined_layers import JoinedLayer, can_be_joined
from mpsearch.training.joined_parameters import JoinedParameter


class EachPolicy(nn.Module):
    """K modules in the place of one: each takes its share of the inputs along dimension `dim`.

    Shape: inputs (K * N, *) -> (K * N, *) or (N, K * C, *) -> (N, K * C, *), policy by policy.
    Raises: ShapeError if that dimension is no multiple of K.
    """

    def __init__(self, own: Sequence[nn.Module], *, dim: int) -> None:
        super().__init__()
        self.own = list(own)  # a plain list: their parameters are those of the students
        self._dim = dim

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        count = len(self.own)
        shares = [self._share(value) for value in (*args, *kwargs.values())]
        outputs = []
        for place in range(count):
            parts = [share[place] for share in shares]
            named = dict(zip(kwargs, parts[len(args) :], strict=True))
            outputs.append(self.own[place](*parts[: len(args)], **named))
        return torch.cat(outputs, self._dim)

    def _share(self, value: Any) -> Sequence[Any]:
        count = len(self.own)
        if not isinstance(value, Tensor) or value.ndim == 0:
            return [value] * count
        if value.ndim <= self._dim or value.shape[self._dim] % count:
            raise ShapeError(
                f"Dimension {self._dim} of {count} policies must divide by {count}; got {tuple(value.shape)}."
            )
        return value.chunk(count, self._dim)

    def train(self, mode: bool = True) -> EachPolicy:  # noqa: FBT001 - as nn.Module has it
        super().train(mode)
        for module in self.own:
            module.train(mode)
        return self


class BatchedModel:
    """Students that are trained in one forward and one backward pass.

    `in_channels`: the policies lie one after the other in the channels, dimension 1; one grouped convolution,
    one product of matrices and one BatchNorm then serve all policies. Otherwise they lie among the samples,
    dimension 0. `lie_in_channels` finds out what the model allows. Other modules with parameters or buffers
    run once per policy, on its share; all else sees K times the numbers. The students keep their parameters,
    as views: their optimizers change what this model computes with.
    """

    def __init__(self, students: Sequence[nn.Module], *, in_channels: bool) -> None:
        self.students = list(students)
        self._in_channels = in_channels
        self._parameters = [parameter for student in students for parameter in student.parameters()]
        self._joined: list[JoinedParameter] = []
        self.model = self._batched()

    def train(self) -> None:
        for student in self.students:
            student.train()
        self.model.train()

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs of all students on the same inputs, with gradients.

        Shape: inputs (N, *) -> (K * N, *), of one student after the other.
        Raises: ShapeError if a module gets inputs whose policies it cannot tell apart.
        """
        count = len(self.students)
        if not self._in_channels:
            outputs: Tensor = self.model(_in_layout(torch.cat([inputs] * count)))
            return outputs
        outputs = self.model(_in_layout(torch.cat([inputs] * count, 1)))
        if outputs.ndim < 2 or outputs.shape[1] % count:
            raise ShapeError(
                f"Outputs of {count} policies must divide by {count}; got {tuple(outputs.shape)}."
            )
        return outputs.unflatten(1, (count, -1)).transpose(0, 1).flatten(0, 1)

    def clear_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def hand_out_gradients(self) -> None:
        """Give the students' parameters what the backward pass left at the joined ones."""
        for parameter in self._joined:
            parameter.hand_out()

    def _batched(self) -> nn.Module:
        first = self.students[0]
        tied = {
            parameter
            for parameter, count in Counter(
                parameter for module in first.modules() for parameter in module._parameters.values()
            ).items()
            if parameter is not None and count > 1
        }
        # The copy finds what stands for a module wherever the model holds it, in a plain list too.
        instead: dict[int, Any] = {}
        for name, module in _stateful_modules(first):
            own = [student.get_submodule(name) for student in self.students]
            is_tied = any(parameter in tied for parameter in module.parameters())
            instead[id(module)] = self._in_place_of(own, is_tied=is_tied)
        return copy.deepcopy(first, instead)

    def _in_place_of(self, own: Sequence[nn.Module], *, is_tied: bool) -> nn.Module:
        if self._in_channels and not is_tied:
            if can_be_joined(own):
                layer = JoinedLayer(own)
                self._joined += layer.joined
                return layer
            if is_plain_batch_norm(own[0]):
                norm, parameters = joined_batch_norm(own)
                self._joined += parameters
                return norm
        return EachPolicy(own, dim=int(self._in_channels))


def _in_layout(inputs: Tensor) -> Tensor:
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    return inputs.contiguous(memory_format=layout)


def _stateful_modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The outermost modules with parameters or buffers of their own, each once."""
    found: list[tuple[str, nn.Module]] = []

    def visit(name: str, module: nn.Module) -> None:
        if is_candidate(module) or _has_state(module):
            found.append((name, module))
            return
        for child_name, child in module.named_children():
            visit(f"{name}.{child_name}" if name else child_name, child)

    visit("", model)
    return list({id(module): (name, module) for name, module in reversed(found)}.values())[::-1]


def _has_state(module: nn.Module) -> bool:
    return any(value is not None for value in (*module._parameters.values(), *module._buffers.values()))
