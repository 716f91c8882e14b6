"""Learning from the 32-bit model's outputs beside the labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.training.device import device_of

MEMORY_BYTES = 256 * 2**20


def distillation_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), the mean over all but the last axis.

    Shape: student and teacher (*, classes) -> scalar.
    Source: Hinton et al. 2015, arXiv:1503.02531.
    """
    classes = student.shape[-1]
    log_student = F.log_softmax(student.reshape(-1, classes) / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.reshape(-1, classes) / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


@dataclass(slots=True, eq=False)
class TeacherMemory:
    """What the 32-bit model said about the batches of earlier trials; its trace, and whether varied
    inputs suit its BatchNorm (`trial_statistics`), once one has needed these.

    All trials of one seed see the same batches, so the teacher runs in the first trial only. Outputs beyond
    `MEMORY_BYTES` are not kept.
    """

    outputs: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    size_bytes: int = 0
    trace: ModelTrace | None = None
    suits_varied: bool | None = None

    def output(self, key: tuple[object, ...], teacher: nn.Module, inputs: Tensor) -> Tensor:
        """The output of `teacher` (in eval mode) for `inputs`, which `key` must name uniquely."""
        known = self.outputs.get(key)
        if known is None:
            with torch.no_grad():
                known = teacher(inputs).float()
            size_bytes = known.numel() * known.element_size()
            if self.size_bytes + size_bytes <= MEMORY_BYTES:
                self.outputs[key] = known
                self.size_bytes += size_bytes
        return known

    def traced(self, teacher: nn.Module, example_inputs: tuple[Tensor, ...]) -> ModelTrace:
        """The trace of `teacher`, which is the same one each time.

        Raises: TraceError as `trace_model`.
        """
        if self.trace is None:
            device = device_of(teacher)
            self.trace = trace_model(teacher, tuple(example.to(device) for example in example_inputs))
        return self.trace
