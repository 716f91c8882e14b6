"""Fine-tuning several students on the same batches, in one forward and one backward pass a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import AdamW

from mpsearch.errors import TrialError
from mpsearch.training.batched_loss import BatchedLoss
from mpsearch.training.batched_model import BatchedModel
from mpsearch.training.fused_steps import FusedSteps
from mpsearch.training.layout import as_model_input
from mpsearch.training.loop import cosine, reduced_precision, widened

OnStep = Callable[[int, int, int, float], None]  # (place, steps done, steps in all, loss of the last one)


@dataclass(kw_only=True, eq=False)
class Student:
    """One policy's model in training; `failure` is why it stopped before its `steps`."""

    place: int
    model: nn.Module
    optimizer: AdamW
    steps: int
    before_step: Sequence[Callable[[float], None]] = ()
    curve: list[float] = field(default_factory=list)
    failure: TrialError | None = None

    def __post_init__(self) -> None:
        self._steps = FusedSteps(self.optimizer)
        self._own_rates = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def is_training(self) -> bool:
        return self.failure is None and len(self.curve) < self.steps

    def begin(self) -> None:
        """Set learning rates, and apply the rules that come before a step."""
        t = len(self.curve) / self.steps
        for group, rate in zip(self.optimizer.param_groups, self._own_rates, strict=True):
            group["lr"] = rate * cosine(t)
        for rule in self.before_step:
            rule(t)

    def end(self, loss: float) -> None:
        """Step by the gradients that the parameters hold, or fail if that loss is not finite."""
        if math.isfinite(loss):
            self._steps.step()
            self.curve.append(loss)
            return
        fastest = max(group["lr"] for group in self.optimizer.param_groups)
        self.failure = TrialError(
            f"The loss must stay finite; it was {loss} at step {len(self.curve)} of {self.steps}, learning "
            f"rate {fastest:.3g}. Lower the learning rate."
        )


def fit_together(
    students: Sequence[Student],
    batches: Iterator[tuple[Tensor, Tensor]],
    batch_loss: BatchedLoss,
    *,
    in_channels: bool,
    bfloat16: bool = False,
    on_step: OnStep | None = None,
) -> None:
    """Train all students in place, each for its own steps at its own learning rate.

    They share batches, not numbers: each learns what it would alone, up to the rounding of sums. One that
    ends early leaves, and so does one whose loss is not finite. `in_channels` as `BatchedModel` has it.

    Raises: ShapeError if their model cannot be batched.
    """
    together: BatchedModel | None = None
    training: list[Student] = []
    for step, (inputs, targets) in enumerate(batches):
        remaining = [student for student in students if student.is_training]
        images = as_model_input(inputs)
        if together is None or remaining != training:
            training = remaining
            if not training:
                return
            together = BatchedModel([student.model for student in training], in_channels=in_channels)
            together.train()
        for student in training:
            student.begin()
        with reduced_precision(enabled=bfloat16):
            outputs = together(images)
        losses = batch_loss(step, widened(outputs), images, targets, len(training))
        together.clear_gradients()
        losses.sum().backward()
        together.hand_out_gradients()
        for student, loss in zip(training, losses.tolist(), strict=True):
            student.end(loss)
            if on_step is not None and student.failure is None:
                on_step(student.place, len(student.curve), student.steps, loss)
