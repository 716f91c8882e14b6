"""Values whose gradients are written down, not derived."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.errors import ShapeError
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims


class _ChosenSlopes(Function):
    @staticmethod
    def forward(
        ctx: Any,
        _weight: Tensor,
        _scale: Tensor | None,
        value: Tensor,
        by_weight: Tensor | None,
        by_scale: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(by_weight, by_scale)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        by_weight, by_scale = ctx.saved_tensors
        grad_weight = grad_scale = None
        if ctx.needs_input_grad[0]:
            grad_weight = grad if by_weight is None else grad * by_weight
        if ctx.needs_input_grad[1]:
            grad_scale = (grad * by_scale).sum(channel_dims(grad), keepdim=True)
        return grad_weight, grad_scale, None, None, None


def chosen_slopes(
    weight: Tensor,
    scale: Tensor | None,
    value: Tensor,
    *,
    by_weight: Tensor | None = None,
    by_scale: Tensor | None = None,
) -> Tensor:
    """`value` to the bit forward, with the gradients that the slopes say.

    weight gets g * by_weight, scale the sum over its channel of g * by_scale.

    Shape: weight, value, by_weight (1 where None), by_scale (N, *); scale (N, 1, ..., 1).
    """
    result: Tensor = _ChosenSlopes.apply(weight, scale, value, by_weight, by_scale)
    return result


class LearntScaleQuantizer(WeightQuantizer):
    """What quantizers with one learnt scale per output channel share.

    The parameter is the logarithm of the scale: an optimizer that normalizes gradients (Adam) then moves
    the scale by a fraction of itself, and it stays positive. It gets the gradient of its equation times
    1 / sqrt(n), n the weights of a channel.

    Shape: log_scale (N, 1, ..., 1).
    Raises: ShapeError if the weight has other channels.
    """

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(scale.detach().float().clamp_min(SMALLEST_SCALE).log())

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def _check(self, weight: Tensor) -> None:
        check_channels(weight, self.log_scale)


def check_channels(weight: Tensor, scale: Tensor) -> None:
    """Raises: ShapeError unless there is one scale per output channel."""
    if len(weight) != len(scale) or weight.ndim != scale.ndim:
        raise ShapeError(
            f"`weight` must have {len(scale)} output channels and {scale.ndim} dimensions; "
            f"got {tuple(weight.shape)}."
        )
