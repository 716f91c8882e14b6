"""The training loop that baselines and trials share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mpsearch.errors import TrialError
from mpsearch.training.device import device_of
from mpsearch.training.layout import as_model_input

CPU = torch.device("cpu")
Progress = Callable[[int, int, float], None]  # (steps done, steps in all, loss of the last one)


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    batch_loss: Callable[[int, Tensor, Tensor, Tensor], Tensor],
    *,
    steps: int,
    rate_at: Callable[[float], float],
    bfloat16: bool = False,
    gradient_clip: float | None = None,
    before_step: Callable[[float], None] | None = None,
    after_step: Callable[[float], None] | None = None,
    on_progress: Progress | None = None,
) -> tuple[float, ...]:
    """Train in place for `steps` batches; return the loss of every step.

    `batch_loss(step, output, inputs, targets)` is a scalar; `rate_at(t)` gives the factor on each parameter
    group's own learning rate at t = step / steps in [0, 1), which `before_step` and `after_step` get too.
    Batches go to the model's device.

    Raises: TrialError if the loss is NaN or infinite.
    """
    own_rates = [group["lr"] for group in optimizer.param_groups]
    losses: list[float] = []
    device = device_of(model)
    model.train()
    for step, (inputs, targets) in enumerate(batches):
        t = step / steps
        factor = rate_at(t)
        for group, rate in zip(optimizer.param_groups, own_rates, strict=True):
            group["lr"] = rate * factor
        if before_step is not None:
            before_step(t)
        images = as_model_input(inputs.to(device))
        with reduced_precision(enabled=bfloat16, device=device):
            output = model(images)
        loss = batch_loss(step, widened(output), images, targets.to(device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrialError(
                f"The loss must stay finite; it was {value} at step {step} of {steps}, learning rate "
                f"{max(group['lr'] for group in optimizer.param_groups):.3g}. Lower the learning rate."
            )
        optimizer.zero_grad()
        loss.backward()
        if gradient_clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
        optimizer.step()
        if after_step is not None:
            after_step(t)
        losses.append(value)
        if on_progress is not None:
            on_progress(step + 1, steps, value)
    return tuple(losses)


def reduced_precision(*, enabled: bool, device: torch.device = CPU) -> torch.autocast:
    """A context in which products are bfloat16, if enabled and the device has instructions for them.

    Without the instructions it would only cost time.
    """
    if device.type == "cpu":
        enabled = enabled and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def widened(output: Tensor) -> Tensor:
    """In 32 bits, if it is bfloat16."""
    return output.float() if output.dtype == torch.bfloat16 else output


def one_cycle(warmup_fraction: float) -> Callable[[float], float]:
    """Rise from 1/25 to 1 over `warmup_fraction`, then fall to 0, both along half a cosine.

    Source: Smith and Topin 2017, arXiv:1708.07120.
    """

    def rate_at(t: float) -> float:
        if t < warmup_fraction:
            return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * t / warmup_fraction))
        return cosine((t - warmup_fraction) / (1 - warmup_fraction))

    return rate_at


def cosine(t: float) -> float:
    """Fall from 1 to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * t))
