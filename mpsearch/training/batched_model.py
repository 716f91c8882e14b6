"""Several students of one model as one model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from mpsearch.errors import ShapeError
from mpsearch.models.quantizable import is_candidate
from mpsearch.models.trace import evaluating
from mpsearch.training.joined_batch_norm import is_plain_batch_norm, joined_batch_norm
from mpsearch.training.joined_layers import JoinedLayer, can_be_joined
from mpsearch.training.joined_parameters import JoinedParameter

CHECK_SAMPLES = 2  # of each policy
SPREAD = 0.2  # by how much parameters are drawn apart to see whether policies mix


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

    The policies lie one after the other in the channels, dimension 1, where the model keeps these there: one
    grouped convolution, one product of matrices and one BatchNorm then serve all policies. Where it does not,
    they lie in the batch, dimension 0. Other modules with parameters or buffers run once per policy, on its
    share; all else sees K times the numbers. The students keep their parameters, as views: their optimizers
    change what this model computes with.

    Raises: ShapeError if the students' model cannot be batched so; `refusal` says why not, without trying.
    """

    def __init__(self, students: Sequence[nn.Module], inputs: Tensor) -> None:
        self.students = list(students)
        self._parameters = [parameter for student in students for parameter in student.parameters()]
        self._in_channels = inputs.ndim > 1
        try:
            self._build(inputs[:CHECK_SAMPLES])
        except ShapeError:
            if not self._in_channels:
                raise
            self._in_channels = False
            self._build(inputs[:CHECK_SAMPLES])

    def _build(self, inputs: Tensor) -> None:
        self._joined: list[JoinedParameter] = []
        self.model = self._batched()
        self._check(inputs)

    def train(self) -> None:
        for student in self.students:
            student.train()
        self.model.train()

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs of all students on the same inputs, with gradients.

        Shape: inputs (N, *) -> (K * N, *), of one student after the other.
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

    @torch.no_grad()
    def _check(self, inputs: Tensor) -> None:
        """Raises: ShapeError unless it computes what each student does, whatever their parameters."""
        kept = [parameter.clone() for parameter in self._parameters]
        generator = torch.Generator().manual_seed(0)
        # Before training the students may be alike, and one that reads another's parameters goes unseen.
        for parameter in self._parameters:
            factor = 1 + SPREAD * torch.rand(parameter.shape, generator=generator)
            parameter.mul_(factor.to(parameter.device, parameter.dtype))
        try:
            self._compare(inputs)
        finally:
            for parameter, value in zip(self._parameters, kept, strict=True):
                parameter.copy_(value)

    def _compare(self, inputs: Tensor) -> None:
        given = 0
        with evaluating(self.model):
            try:
                outputs = self(inputs)
                given = len(outputs)
            except Exception as error:  # the model's own code
                raise ShapeError(
                    f"A model must take samples of several policies in one batch; it raised "
                    f"{type(error).__name__}: {error}"
                ) from error
        for student, output in zip(self.students, outputs.chunk(len(self.students)), strict=False):
            with evaluating(student):
                alone = student(inputs)
            close = output.shape == alone.shape and torch.allclose(
                output, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max())
            )
            if not close or given != len(self.students) * len(alone):
                raise ShapeError(
                    "A model must compute each sample of a batch by itself, and read parameters in their own "
                    "module only; several policies in one batch gave other outputs than each alone."
                )


def _in_layout(inputs: Tensor) -> Tensor:
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    return inputs.contiguous(memory_format=layout)


def refusal(model: nn.Module) -> str | None:
    """Why several policies of this model cannot be trained in one batch; None if nothing is known against."""
    if any(True for _ in model.parameters(recurse=False)) or any(True for _ in model.buffers(recurse=False)):
        return "the model holds parameters or buffers beside those of its modules"
    dropout = [name for name, module in model.named_modules() if isinstance(module, _DropoutNd) and module.p]
    if dropout:
        return f"{dropout[0]} would drop other values than in a trial alone"
    return None


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
