"""Linear and convolution layers that compute in 32 bits what the low-bit kernels will compute."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ConfigError
from mpsearch.models.layer_shape import Operator
from mpsearch.models.quantizable import hook_refusal, is_candidate, refusal
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.quantizer import ActivationQuantizer, WeightQuantizer
from mpsearch.quant.quantizer_choice import STANDARD, QuantizerChoice
from mpsearch.quant.scheme_quantizers import LayerInputs, scheme_quantizers


class QuantLayer(nn.Module):
    """What the fake-quantized layers share.

    They subclass the layer they stand for and take over its parameters, so `weight` and `bias` keep their
    names and a 32-bit state dict loads with strict=False. 4- and 8-bit weight steps are fitted to the
    weights at construction: load 32-bit weights before quantizing.

    With gradients: the product of x_hat = s_x * q_x and w_hat = s_w * q_w, plus the bias. Without: the
    product of the integers, which float32 holds exactly up to 2^24, times s_x * s_w, plus the bias: step by
    step what the kernels do, so that a score is the score of the packed model. Weights of two scales and
    inputs whose scale is found out at run time as `QuantizedLayer` says.
    """

    operator: ClassVar[Operator]
    spatial_dims: ClassVar[int]
    weight: Tensor
    scheme: Scheme
    weight_quantizer: WeightQuantizer
    activation_quantizer: ActivationQuantizer

    def _take_over(self, layer: nn.Module, in_channels: int, scheme: Scheme, choice: QuantizerChoice) -> None:
        reason = refusal(layer) or hook_refusal(layer)
        if reason is not None:
            raise ConfigError(f"A {type(layer).__name__} cannot be quantized: {reason}. Leave it at w32a32.")
        self.register_parameter("weight", layer._parameters["weight"])
        self.register_parameter("bias", layer._parameters["bias"])
        quantizers = scheme_quantizers(scheme, choice)
        self.scheme = scheme
        self.weight_quantizer = quantizers.weight(self.weight)
        self.activation_quantizer = quantizers.activation(
            LayerInputs(channels=in_channels, spatial_dims=self.spatial_dims, **self._windows())
        )
        self.to(self.weight.device)
        self.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        bias = self._parameters["bias"]
        output_scale = self.activation_quantizer.output_scale(input)
        if torch.is_grad_enabled():
            x, weight = self.activation_quantizer(input), self.weight_quantizer(self.weight)
            if output_scale is None:
                return self._product(x, weight, bias)
            y = self._product(x, weight, None) * output_scale
            return y if bias is None else y + bias.view(self._per_channel)
        y = self._scaled_sums(input)
        if output_scale is not None:
            y.mul_(output_scale)
        return y if bias is None else y.add_(bias.view(self._per_channel))

    def _scaled_sums(self, x: Tensor) -> Tensor:
        inputs, input_scale = self.activation_quantizer.quantize(x)
        weight, weight_scale = self.weight_quantizer.quantize(self.weight)
        factor = (input_scale * weight_scale).view(self._per_channel)
        negative_scale = self.weight_quantizer.negative_scale()
        if negative_scale is None:
            return self._product(inputs, weight, None) * factor
        negative_factor = (input_scale * negative_scale).view(self._per_channel)
        above = self._product(inputs, weight.clamp(min=0), None) * factor
        return above.add_(self._product(inputs, weight.clamp(max=0), None) * negative_factor)

    @property
    def _per_channel(self) -> tuple[int, ...]:
        return (-1, *[1] * self.spatial_dims)

    def _windows(self) -> dict[str, tuple[int, ...]]:
        """What `LayerInputs` has of it."""
        return {}

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scheme={self.scheme}"

    @property
    def geometry(self) -> dict[str, tuple[int, int]]:
        """stride, padding and dilation as (vertical, horizontal)."""
        return {}


class QuantLinear(QuantLayer, nn.Linear):
    """y = x_hat w_hat^T + b, with x_hat and w_hat on the grids of the scheme.

    Shape: x (*, in_features) -> (*, out_features).
    Raises: ConfigError if the layer or the scheme cannot be quantized.
    """

    operator = "linear"
    spatial_dims = 0

    def __init__(self, layer: nn.Linear, scheme: Scheme, choice: QuantizerChoice = STANDARD) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self._take_over(layer, layer.in_features, scheme, choice)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)


class _QuantConv(QuantLayer):
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]

    def __init__(
        self, layer: nn.Conv1d | nn.Conv2d, scheme: Scheme, choice: QuantizerChoice = STANDARD
    ) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            stride=layer.stride,
            padding=_numeric_padding(layer),
            dilation=layer.dilation,
            groups=layer.groups,
            bias=layer.bias is not None,
            device="meta",
        )
        self._take_over(layer, layer.in_channels, scheme, choice)

    def _windows(self) -> dict[str, tuple[int, ...]]:
        assert isinstance(self.padding, tuple)  # made numeric at construction
        return {
            "kernel": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
        }

    @property
    def geometry(self) -> dict[str, tuple[int, int]]:
        assert isinstance(self.padding, tuple)  # made numeric at construction

        def two(sizes: tuple[int, ...], fill: int) -> tuple[int, int]:
            vertical, horizontal = (fill, *sizes) if len(sizes) == 1 else sizes
            return vertical, horizontal

        return {
            "stride": two(self.stride, 1),
            "padding": two(self.padding, 0),
            "dilation": two(self.dilation, 1),
        }


def _numeric_padding(layer: nn.Conv1d | nn.Conv2d) -> tuple[int, ...]:
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    if layer.padding == "same":
        return tuple(d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
    assert isinstance(layer.padding, tuple)
    return layer.padding


class QuantConv1d(_QuantConv, nn.Conv1d):
    """Convolution of x_hat with w_hat, both on the grids of the scheme; x_hat is padded with the real 0.

    Shape: x (N, C, L) -> (N, out_channels, L_out).
    Raises: ConfigError if the layer or the scheme cannot be quantized.
    """

    operator = "conv1d"
    spatial_dims = 1

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._conv_forward(x, weight, bias)


class QuantConv2d(_QuantConv, nn.Conv2d):
    """Convolution of x_hat with w_hat, both on the grids of the scheme; x_hat is padded with the real 0.

    Shape: x (N, C, H, W) -> (N, out_channels, H_out, W_out).
    Raises: ConfigError if the layer or the scheme cannot be quantized.
    """

    operator = "conv2d"
    spatial_dims = 2

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._conv_forward(x, weight, bias)


QUANT_LAYERS: dict[type[nn.Module], type[QuantLayer]] = {
    nn.Linear: QuantLinear,
    nn.Conv1d: QuantConv1d,
    nn.Conv2d: QuantConv2d,
}


def quantize_layer(layer: nn.Module, scheme: Scheme, choice: QuantizerChoice = STANDARD) -> QuantLayer:
    """The fake-quantized layer that takes over this layer's parameters.

    Raises: ConfigError if the layer or the scheme cannot be quantized.
    """
    if isinstance(layer, QuantLayer) or not is_candidate(layer):
        raise ConfigError(
            f"Only 32-bit nn.Linear, nn.Conv1d and nn.Conv2d layers can be quantized; got a "
            f"{type(layer).__name__}. Leave it at w32a32."
        )
    quant_type = next(quant for kind, quant in QUANT_LAYERS.items() if isinstance(layer, kind))
    return quant_type(layer, scheme, choice)
