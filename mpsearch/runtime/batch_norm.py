"""BatchNorm in eval mode as one multiplication and one addition per channel."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpsearch.errors import ConfigError


@torch.no_grad()
def batch_norm_constants(module: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Multiplier and offset of y = x * multiplier[c] + offset[c], to the bit those that PyTorch computes.

    multiplier = weight / sqrt(running_var + eps), offset = bias - running_mean * multiplier. PyTorch's own
    kernel computes them here, because its compiler decides where these expressions are rounded: ones without
    a mean and a bias give the multiplier, zeros give the offset.

    Shape: (C,), (C,).
    Raises: ConfigError if the module is no BatchNorm with running statistics.
    """
    if not isinstance(module, _BatchNorm) or module.running_mean is None or module.running_var is None:
        raise ConfigError(
            f"Only a BatchNorm with running statistics can be folded; got a {type(module).__name__}. Build "
            "the packed model without a graph to run it in torch."
        )
    mean, variance = module.running_mean.float().cpu(), module.running_var.float().cpu()
    weight, bias = (None if p is None else p.float().cpu() for p in (module.weight, module.bias))
    ones = torch.ones(1, mean.numel())
    multiplier = F.batch_norm(ones, torch.zeros_like(mean), variance, weight, None, eps=module.eps)
    offset = F.batch_norm(torch.zeros_like(ones), mean, variance, weight, bias, eps=module.eps)
    return multiplier[0].numpy().copy(), offset[0].numpy().copy()
