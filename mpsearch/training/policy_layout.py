"""Where policies lie in one batch: in its channels, or among its samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mpsearch.errors import ShapeError
from mpsearch.models.trace import evaluating
from mpsearch.training.batched_model import BatchedModel
from mpsearch.training.layout import as_model_input

CHECK_SAMPLES = 2
CHECK_COPIES = 2
SPREAD = 0.2  # by how much parameters are drawn apart to see whether policies mix


def lie_in_channels(model: nn.Module, inputs: Tensor) -> bool:
    """Whether policies may lie in the channels of this 32-bit model; else they may among its samples.

    Found out by trying: copies whose parameters are drawn apart must compute together what each does alone.
    Of the 32-bit model, once: a quantized one has signs that tip over with the rounding of a sum, and their
    outputs would look like those of policies that mix.

    Shape: inputs (N, *), of which the first are taken.
    Raises: ShapeError if neither may be, or the model draws random numbers in training; it says why.
    """
    if any(True for _ in model.parameters(recurse=False)) or any(True for _ in model.buffers(recurse=False)):
        raise ShapeError("A model must hold parameters and buffers in modules; this one has some of its own.")
    samples = as_model_input(inputs[:CHECK_SAMPLES])
    _refuse_draws(model, samples)
    copies = _drawn_apart(model)
    if samples.ndim > 1:
        try:
            _check(copies, samples, in_channels=True)
        except ShapeError:
            pass
        else:
            return True
    _check(copies, samples, in_channels=False)
    return False


@torch.no_grad()
def _refuse_draws(model: nn.Module, inputs: Tensor) -> None:
    """Dropout and the like, of which functions leave no module to see.

    Raises: ShapeError if the model draws random numbers in training.
    """
    copied = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        _run(copied, inputs)
        if not torch.equal(before, torch.get_rng_state()):
            raise ShapeError(
                "A model must draw no random numbers in training, such as for dropout; those of several "
                "policies in one batch would be others than in a trial alone."
            )


def _drawn_apart(model: nn.Module) -> list[nn.Module]:
    """Alike, one that reads another's parameters would go unseen."""
    copies = [copy.deepcopy(model) for _ in range(CHECK_COPIES)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in copies:
            for parameter in each.parameters():
                factor = 1 + SPREAD * torch.rand(parameter.shape, generator=generator)
                parameter.mul_(factor.to(parameter.device, parameter.dtype))
    return copies


@torch.no_grad()
def _check(copies: Sequence[nn.Module], inputs: Tensor, *, in_channels: bool) -> None:
    """Raises: ShapeError unless the copies compute together what each does alone."""
    batched = BatchedModel(copies, in_channels=in_channels)
    with evaluating(batched.model):
        together = _run(batched, inputs)
    outputs = together.chunk(len(copies))
    for each, output in zip(copies, outputs, strict=False):
        with evaluating(each):
            alone = each(inputs)
        close = output.shape == alone.shape and torch.allclose(
            output, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max())
        )
        if not close or len(together) != len(copies) * len(alone):
            raise ShapeError(
                "A model must compute each sample of a batch by itself, and read parameters in their own "
                "module only; several policies in one batch gave other outputs than each alone."
            )


def _run(model: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    try:
        return model(inputs)
    except Exception as error:  # the model's own code
        raise ShapeError(
            f"A model must take samples of several policies in one batch; it raised "
            f"{type(error).__name__}: {error}"
        ) from error
