"""Gradients of the sign that grow sharper while a model trains."""

from __future__ import annotations

from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.quant.layers import QuantLayer


def anneal_quantizers(model: nn.Module, t: float) -> None:
    """Tell every quantizer of the model how far its training is: 0 at the start, 1 at the end.

    What follows t is said by each: see `sign_slope`. Outputs do not change, gradients do.

    Raises: ConfigError if t is outside 0..1.
    """
    if not 0 <= t <= 1:  # also refuses NaN
        raise ConfigError(f"`t` must be from 0 to 1, the share of the training that is done; got {t}.")
    for module in model.modules():
        if isinstance(module, QuantLayer):
            module.weight_quantizer.anneal(t)
            module.activation_quantizer.anneal(t)
