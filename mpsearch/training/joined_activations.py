"""One layer's inputs in several models, quantized together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.errors import ShapeError
from mpsearch.kernels.extension import forced_isa, load_extension
from mpsearch.quant.int8_activation import LsqActivation
from mpsearch.quant.native_memory import native_order, native_threads
from mpsearch.quant.quantizer import ActivationQuantizer
from mpsearch.quant.sign_activation import RSignActivation
from mpsearch.quant.sign_pass import NATIVE_SLOPES, ChannelLayout, native_sign_gradients, native_signs
from mpsearch.quant.sign_slope import sign_slope
from mpsearch.quant.ste import scale_grad
from mpsearch.quant.uniform_grid import Grid
from mpsearch.training.joined_parameters import JoinedParameter


class JoinedActivations(nn.Module):
    """What each of K quantizers makes of its channels; those of None stay as they are.

    Learnt scales on a grid (`LsqActivation`) and learnt thresholds (`RSignActivation`), which one pass and
    one node of the graph serve: `serves` says whether all are such.

    Shape: x (N, K * C, *) -> the same, policy by policy.
    """

    def __init__(self, quantizers: Sequence[ActivationQuantizer | None]) -> None:
        super().__init__()
        self.parts = list(quantizers)
        grid = [quantizer for quantizer in quantizers if isinstance(quantizer, LsqActivation)]
        sign = [quantizer for quantizer in quantizers if isinstance(quantizer, RSignActivation)]
        self.grids = [quantizer.grid() for quantizer in grid]
        self.has_torch_slopes = any(quantizer.gradient not in NATIVE_SLOPES for quantizer in sign)
        for quantizer in sign:
            quantizer.check_calibrated()
        self.grid_scales = _joined([quantizer.log_scale for quantizer in grid])
        self.sign_scales = _joined([quantizer.log_scale for quantizer in sign])
        self.thresholds = _joined([quantizer.threshold for quantizer in sign])

    @staticmethod
    def serves(quantizers: Sequence[ActivationQuantizer | None]) -> bool:
        kinds = (LsqActivation, RSignActivation, type(None))
        return all(type(quantizer) in kinds for quantizer in quantizers)

    @property
    def joined(self) -> list[JoinedParameter]:
        found = (self.grid_scales, self.sign_scales, self.thresholds)
        return [parameter for parameter in found if parameter is not None]

    def forward(self, x: Tensor) -> Tensor:
        """Raises: ShapeError if a threshold would be for another number of channels."""
        self._check(x)
        inputs = max(x[0].numel() // len(self.parts), 1)
        scales = [
            None if joined is None else scale_grad(joined.whole.exp(), share)
            for joined, share in (
                (self.grid_scales, (inputs * 127) ** -0.5),
                (self.sign_scales, inputs**-0.5),
            )
        ]
        thresholds = None if self.thresholds is None else self.thresholds.whole
        y: Tensor = _Quantized.apply(x.float(), *scales, thresholds, self)
        return y

    def _check(self, x: Tensor) -> None:
        # Native code takes the thresholds' number from x: it would read beyond their end.
        channels = x.shape[1] / len(self.parts)
        for quantizer in self.parts:
            if isinstance(quantizer, RSignActivation) and quantizer.channels != channels:
                raise ShapeError(
                    f"`x` must have {quantizer.channels} channels of each of {len(self.parts)} policies in "
                    f"dimension 1; got {tuple(x.shape)}."
                )


def _joined(members: Sequence[Tensor]) -> JoinedParameter | None:
    parameters = [member for member in members if isinstance(member, nn.Parameter)]
    return JoinedParameter(parameters) if parameters else None


class _Pieces:
    """Where the channels of each policy lie in the memory of x and of tensors that lie alike."""

    def __init__(self, x: Tensor, policies: int) -> None:
        order = native_order(x, torch.float32)
        self.order = torch.contiguous_format if order is None else order
        self.is_last = self.order == torch.channels_last
        self.number = x.numel() // x.shape[1] if self.is_last else len(x)
        self.stride = x.numel() // max(self.number, 1)
        self.count = self.stride // policies
        self._channels = x.shape[1] // policies

    def at(self, x: Tensor, place: int) -> int:
        return x.data_ptr() + 4 * place * self.count

    def numbers(self, x: Tensor, place: int) -> tuple[int, bool]:
        """Address, and that these are no numbers of 16 bits."""
        return self.at(x, place), False

    def part(self, x: Tensor, place: int) -> Tensor:
        return x.narrow(1, place * self._channels, self._channels)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.number, self.count, self.stride

    @property
    def channels(self) -> ChannelLayout:
        inner = self.count // self._channels
        return ChannelLayout(pieces=self.number, channels=self._channels, inner=inner, stride=self.stride)


class _Quantized(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, grid_scales, sign_scales, thresholds, joined = given
        pieces = _Pieces(x, len(joined.parts))
        x = x.contiguous(memory_format=pieces.order)
        y = torch.empty_like(x)
        numbers = _Numbers(grid_scales, sign_scales, joined.grids)
        for place, quantizer in enumerate(joined.parts):
            if quantizer is None:
                pieces.part(y, place).copy_(pieces.part(x, place))
            elif isinstance(quantizer, LsqActivation):
                scale, inverse, grid = numbers.next_grid()
                load_extension().round_pieces_to_grid(
                    pieces.at(x, place),
                    pieces.at(y, place),
                    *pieces.shape,
                    scale,
                    inverse,
                    grid.low,
                    grid.high,
                    native_threads(),
                    forced_isa(),
                )
            else:
                which, scale = numbers.next_sign()
                native_signs(
                    pieces.numbers(x, place),
                    pieces.numbers(y, place),
                    pieces.channels,
                    threshold=_thresholds(thresholds, which, quantizer),
                    scale=scale,
                )
        signs = y if joined.has_torch_slopes else None
        ctx.save_for_backward(x, signs, grid_scales, thresholds)
        ctx.joined, ctx.pieces, ctx.numbers = joined, pieces, numbers
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, signs, grid_scales, thresholds = ctx.saved_tensors
        pieces, numbers = ctx.pieces, ctx.numbers.again()
        grad = grads[0].contiguous(memory_format=pieces.order)
        grad_x = torch.empty_like(x)
        by_grid: list[float] = []
        by_sign: list[float] = []
        by_threshold: list[Tensor] = []
        for place, quantizer in enumerate(ctx.joined.parts):
            if quantizer is None:
                pieces.part(grad_x, place).copy_(pieces.part(grad, place))
            elif isinstance(quantizer, LsqActivation):
                scale, inverse, grid = numbers.next_grid()
                by_scale, _ = load_extension().round_pieces_to_grid_backward(
                    pieces.at(grad, place),
                    pieces.at(x, place),
                    pieces.at(grad_x, place),
                    *pieces.shape,
                    scale,
                    inverse,
                    grid.low,
                    grid.high,
                    grid.margin,
                    native_threads(),
                    forced_isa(),
                )
                by_grid.append(by_scale)
            else:
                which, scale = numbers.next_sign()
                threshold = _thresholds(thresholds, which, quantizer)
                if quantizer.gradient in NATIVE_SLOPES:
                    of_threshold, of_scale = native_sign_gradients(
                        pieces.numbers(grad, place),
                        pieces.numbers(x, place),
                        pieces.at(grad_x, place),
                        pieces.channels,
                        threshold=threshold,
                        window=scale,
                        gradient=quantizer.gradient,
                    )
                else:
                    g, inputs = pieces.part(grad, place), pieces.part(x, place)
                    of_threshold = _slopes_in_torch(
                        quantizer, inputs, g, threshold=threshold, scale=scale, out=pieces.part(grad_x, place)
                    )
                    of_scale = float((g * pieces.part(signs, place)).sum()) / scale
                by_threshold.append(of_threshold)
                by_sign.append(of_scale)
        return (
            grad_x,
            grid_scales.new_tensor(by_grid) if by_grid else None,
            thresholds.new_tensor(by_sign) if by_sign else None,
            torch.cat(by_threshold) if by_threshold else None,
            None,
        )


class _Numbers:
    """Scales as Python's numbers, in the order of the quantizers that take them."""

    def __init__(self, grid_scales: Tensor | None, sign_scales: Tensor | None, grids: Sequence[Grid]) -> None:
        scales = [] if grid_scales is None else grid_scales.tolist()
        inverses = [] if grid_scales is None else (1 / grid_scales).tolist()
        self._grids = list(zip(scales, inverses, grids, strict=True))
        self._signs = [] if sign_scales is None else list(enumerate(sign_scales.tolist()))
        self.again()

    def again(self) -> _Numbers:
        self._next_grid, self._next_sign = iter(self._grids), iter(self._signs)
        return self

    def next_grid(self) -> tuple[float, float, Grid]:
        return next(self._next_grid)

    def next_sign(self) -> tuple[int, float]:
        return next(self._next_sign)


def _thresholds(thresholds: Tensor, which: int, quantizer: RSignActivation) -> Tensor:
    return thresholds[which * quantizer.channels :][: quantizer.channels]


def _slopes_in_torch(
    quantizer: RSignActivation, x: Tensor, grad: Tensor, *, threshold: Tensor, scale: float, out: Tensor
) -> Tensor:
    """Write the gradient of x to `out`; that of the thresholds."""
    per_channel = threshold.view(-1, *[1] * (x.ndim - 2))
    torch.sub(x, per_channel, out=out).div_(scale)
    out.copy_(sign_slope(quantizer.gradient)(out, quantizer.annealed)).mul_(grad)
    return out.sum_to_size(per_channel.shape).view(-1).neg()
