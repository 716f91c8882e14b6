"""How far the outputs of two models are apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpsearch.errors import ExportError
from mpsearch.training.layout import as_model_input

_BATCH = 64
_SAME = 0.01  # of the spread of the expected outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """`share`: of the samples (or positions), those with the same largest output; where there is one output
    only, those whose outputs differ by at most 1% of the spread (standard deviation) of the expected ones.
    """

    samples: int
    max_abs_error: float
    share: float


def outputs_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """(samples, *) float32, in eval mode.

    Raises: ExportError if the model returns something other than one tensor with a row a sample.
    """
    was_training = model.training
    model.eval()
    parts: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(inputs), _BATCH):
            batch = inputs[start : start + _BATCH]
            output = model(as_model_input(batch))
            if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != len(batch):
                kind = (
                    f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
                )
                raise ExportError(
                    f"A model to export must return one tensor, {len(batch)} rows for {len(batch)} samples; "
                    f"got {kind}. Wrap it in a module that does."
                )
            parts.append(output.float().contiguous().clone())
    model.train(was_training)
    return torch.cat(parts)


def agreement(outputs: Tensor, expected: Tensor) -> Agreement:
    """Compare (samples, *) with (samples, *); a last dimension of two or more holds the classes.

    Raises: ExportError if the shapes differ.
    """
    if outputs.shape != expected.shape:
        raise ExportError(
            f"The packed model must return {tuple(expected.shape)} as the trial did; got "
            f"{tuple(outputs.shape)}. The task builds another model than the one that was exported."
        )
    if outputs.ndim > 1 and outputs.shape[-1] > 1:
        same = outputs.argmax(-1) == expected.argmax(-1)
    else:
        same = (outputs - expected).abs() <= _SAME * expected.std(correction=0)
    return Agreement(
        samples=len(outputs),
        max_abs_error=float((outputs - expected).abs().max()),
        share=float(same.float().mean()),
    )
