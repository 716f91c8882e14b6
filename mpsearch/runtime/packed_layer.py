"""A layer that computes with packed integers in the native kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mpsearch.errors import ExportError, ShapeError
from mpsearch.kernels.native import NativeLayer
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.models.layer_shape import Operator

# What a packed layer, or a stand-in for one, shows as its `weight`: some models ask for its type.
NO_WEIGHT = torch.empty(0)


class PackedLayer(nn.Module):
    """A frozen layer on the CPU, in the bits that its scheme claims. For inference only.

    Kernels read and write channels last: a channels_last image or a (*, C) tensor is passed without a copy.
    With `channels_last` (the default) convolutions return such a view too; without, a contiguous copy in
    the order (N, C, ...), which models need that flatten with `.view`.

    Shape: linear (*, C) -> (*, N); conv1d (B, C, L) -> (B, N, L_out); conv2d (B, C, H, W) ->
        (B, N, H_out, W_out); float32, not empty.
    Raises: ShapeError if the input has another type, device, layout, rank or number of channels, or is empty
        or smaller than the kernel; ExportError if asked for gradients.
    """

    weight = NO_WEIGHT

    def __init__(self, layer: QuantizedLayer, *, threads: int = 1) -> None:
        super().__init__()
        self.native = NativeLayer(layer, threads=threads)
        self.operator: Operator = layer.operator
        self.scheme = layer.scheme
        self.in_channels = layer.in_channels
        self.out_channels = layer.out_channels
        self.channels_last = True
        self._rank, self._run = _OPERATORS[layer.operator]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        self._check(input)
        return self._run(self, input)

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or x.layout != torch.strided:
            found = x.layout if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(f"A packed {self.operator} takes one dense tensor; got {found}.")
        if x.dtype != torch.float32 or x.device.type != "cpu":
            raise ShapeError(
                f"A packed {self.operator} takes float32 on the CPU; got {x.dtype} on {x.device}. "
                "Convert the input with `.float().cpu()`."
            )
        channel_dim = -1 if self.operator == "linear" else 1
        wrong_rank = x.ndim < 1 if self._rank is None else x.ndim != self._rank
        if wrong_rank or x.shape[channel_dim] != self.in_channels:
            raise ShapeError(
                f"A packed {self.operator} takes {_LAYOUTS[self.operator]} with C = {self.in_channels}; "
                f"got {tuple(x.shape)}."
            )
        if x.numel() == 0:
            raise ShapeError(
                f"A packed {self.operator} takes an input that is not empty; got {tuple(x.shape)}."
            )
        if x.requires_grad and torch.is_grad_enabled():
            raise ExportError(
                "A packed layer has no gradients; got an input that requires them. Run it under "
                "torch.inference_mode(), or train the fake-quantized model instead."
            )

    def _run_nhwc(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        out_height, out_width = self.native.out_spatial(height, width)
        out = torch.empty((batch, out_height, out_width, self.out_channels))
        # As numpy arrays: PyTorch's DLPack takes longer than a small layer. `detach`: numpy refuses a tensor
        # that requires gradients, which `_check` lets pass under no_grad.
        self.native.run((x.detach() if x.requires_grad else x).contiguous().numpy(), out.numpy())
        return out

    def _linear(self, x: Tensor) -> Tensor:
        out = self._run_nhwc(x.reshape(-1, 1, 1, self.in_channels))
        return out.view(*x.shape[:-1], self.out_channels)

    def _conv1d(self, x: Tensor) -> Tensor:
        out = self._run_nhwc(x.transpose(1, 2).unsqueeze(1)).squeeze(1).transpose(1, 2)
        return out if self.channels_last else out.contiguous()

    def _conv2d(self, x: Tensor) -> Tensor:
        out = self._run_nhwc(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out if self.channels_last else out.contiguous()

    def extra_repr(self) -> str:
        return (
            f"{self.operator}, {self.in_channels}, {self.out_channels}, scheme={self.scheme}, "
            f"isa={self.native.isa}"
        )


# Operator -> rank of its input (None: any) and how to run it.
_OPERATORS: dict[str, tuple[int | None, Callable[[PackedLayer, Tensor], Tensor]]] = {
    "linear": (None, PackedLayer._linear),
    "conv1d": (3, PackedLayer._conv1d),
    "conv2d": (4, PackedLayer._conv2d),
}
_LAYOUTS = {"linear": "(*, C)", "conv1d": "(B, C, L)", "conv2d": "(B, C, H, W)"}
