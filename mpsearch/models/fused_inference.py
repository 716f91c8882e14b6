"""PyTorch's fused transformer inference, which reads weights without calling the layers."""

from __future__ import annotations

from torch import nn


def disable_fused_inference(model: nn.Module) -> None:
    """Make nn.TransformerEncoder and its layers call their modules in eval mode too.

    Their fused path would compute a replaced nn.Linear in 32 bits without a word. It is left out when the
    activation is neither ReLU nor GELU, and the flags that say so have no other use.
    """
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        elif isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
