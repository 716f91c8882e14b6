"""Several students of one model as one model: the policies lie one after the other in the batch dimension."""

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
from mpsearch.training.joined_parameters import JoinedParameter
from mpsearch.training.joined_weights import JoinedWeights, groups_to_join

CHECK_SAMPLES = 2  # of each policy


class EachPolicy(nn.Module):
    """K modules in the place of one: each takes its share of the batch.

    Shape: inputs (K * N, *) -> (K * N, *), policy by policy.
    Raises: ShapeError if the batch is no multiple of K.
    """

    def __init__(self, own: Sequence[nn.Module]) -> None:
        super().__init__()
        self.own = list(own)  # a plain list: their parameters are those of the students

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        count = len(self.own)
        shares = [self._share(value) for value in (*args, *kwargs.values())]
        outputs = []
        for place in range(count):
            parts = [share[place] for share in shares]
            named = dict(zip(kwargs, parts[len(args) :], strict=True))
            outputs.append(self.own[place](*parts[: len(args)], **named))
        return torch.cat(outputs)

    def _share(self, value: Any) -> Sequence[Any]:
        count = len(self.own)
        if not isinstance(value, Tensor) or value.ndim == 0:
            return [value] * count
        if len(value) % count:
            raise ShapeError(f"A batch of {count} policies must divide by {count}; got {tuple(value.shape)}.")
        return value.chunk(count)

    def train(self, mode: bool = True) -> EachPolicy:  # noqa: FBT001 - as nn.Module has it
        super().train(mode)
        for module in self.own:
            module.train(mode)
        return self


class BatchedModel:
    """Students that are trained in one forward and one backward pass.

    Modules with parameters or buffers run once per policy, on its share of the batch; weights of one kind are
    quantized together; all else sees K times the batch. The students keep their parameters, as views: their
    optimizers change what this model computes with. `release` when done.

    Raises: ShapeError if the students' model cannot be batched so; `refusal` says why not, without trying.
    """

    def __init__(self, students: Sequence[nn.Module], inputs: Tensor) -> None:
        self.students = list(students)
        self._weights: list[JoinedWeights] = []
        self._parameters = [parameter for student in students for parameter in student.parameters()]
        self.model = self._batched()
        self._check(inputs[:CHECK_SAMPLES])

    def train(self) -> None:
        for student in self.students:
            student.train()
        self.model.train()

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs of all students on the same inputs, with gradients.

        Shape: inputs (N, *) -> (K * N, *), of one student after the other.
        """
        for weights in self._weights:
            weights.quantize()
        outputs: Tensor = self.model(self._repeated(inputs))
        return outputs

    def clear_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def hand_out_gradients(self) -> None:
        """Give the students' parameters what the backward pass left at the joined ones."""
        for parameter in self._joined:
            parameter.hand_out()

    def release(self) -> None:
        """Let the students compute for themselves again."""
        for weights in self._weights:
            weights.release()

    @property
    def _joined(self) -> list[JoinedParameter]:
        return [parameter for weights in self._weights for parameter in weights.parameters]

    def _repeated(self, inputs: Tensor) -> Tensor:
        layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
        return torch.cat([inputs] * len(self.students)).contiguous(memory_format=layout)

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
            instead[id(module)] = EachPolicy(own)
            if is_candidate(module) and not any(parameter in tied for parameter in module.parameters()):
                self._weights += [JoinedWeights(group) for group in groups_to_join(own)]
        return copy.deepcopy(first, instead)

    @torch.no_grad()
    def _check(self, inputs: Tensor) -> None:
        """Raises: ShapeError unless it computes what each student does."""
        given = 0
        with evaluating(self.model):
            try:
                outputs = self.model(self._repeated(inputs))
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
