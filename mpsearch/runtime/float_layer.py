"""A 32-bit layer inside a compiled plan: a torch call from one value of the program to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from mpsearch.models.graph import Size
from mpsearch.models.quantizable import is_candidate
from mpsearch.runtime.value_order import to_channels_last


class FloatLayer:
    """A copy of the weights of a 32-bit layer, laid out for values that are channels last.

    `flattened`: the (H, W, C) of the image that the layer's features were flattened from, if it was larger
    than one pixel: the weights of a linear layer are put in that order.
    """

    def __init__(self, module: nn.Module, flattened: Size | None) -> None:
        assert is_candidate(module)
        self._module = module
        weight = module.get_parameter("weight").detach().clone()
        bias = module._parameters["bias"]
        self.bias = None if bias is None else bias.detach().clone()
        if isinstance(module, nn.Linear):
            if flattened is not None:
                columns = to_channels_last(np.arange(weight.shape[1]), flattened)
                weight = weight[:, torch.from_numpy(columns)]
            self.weight = weight.t()
        else:
            planes = weight if weight.ndim == 4 else weight.unsqueeze(2)  # conv1d is a conv2d of height 1
            self.weight = planes.contiguous(memory_format=torch.channels_last)

    def bind(self, source: NDArray[np.float32], result: NDArray[np.float32]) -> Callable[[], object]:
        """The call that reads `source` and fills `result`, for buffers that stay where they are.

        Shape: source (N, H, W, C), result (N, H_out, W_out, C_out).
        """
        x, out = torch.from_numpy(source), torch.from_numpy(result)
        weight, bias = self.weight, self.bias
        if isinstance(self._module, nn.Linear):
            rows, out_rows = x.view(len(x), -1), out.view(len(out), -1)
            # What F.linear calls, but without a copy of the result.
            if bias is None:
                return lambda: torch.mm(rows, weight, out=out_rows)
            return lambda: torch.addmm(bias, rows, weight, out=out_rows)
        module = cast("nn.Conv2d", self._module)
        image, target = x.permute(0, 3, 1, 2), out.permute(0, 3, 1, 2)
        if image.shape[1] == target.shape[3] == 1:
            # One input channel is channels last and first at once. PyTorch 2.13 (oneDNN) then computes
            # nonsense for outputs of one column, unless all strides are those of channels first.
            image = x.view(-1).view(image.shape)
            weight = weight.reshape(-1).view(weight.shape)
        stride, dilation = _two(module.stride, 1), _two(module.dilation, 1)
        padding = module.padding if isinstance(module.padding, str) else _two(module.padding, 0)
        groups = module.groups
        return lambda: target.copy_(F.conv2d(image, weight, bias, stride, padding, dilation, groups))


def _two(sizes: tuple[int, ...], fill: int) -> tuple[int, ...]:
    return (fill, *sizes) if len(sizes) == 1 else sizes
