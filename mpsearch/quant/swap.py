"""From a 32-bit model and a policy to a fake-quantized model."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError
from mpsearch.models.fused_inference import disable_fused_inference
from mpsearch.models.layer_lookup import find_layers
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.batch_norm import ModelInputs, batch_statistics, run_model
from mpsearch.quant.layers import QuantLayer, quantize_layer
from mpsearch.quant.quantizer_choice import STANDARD, QuantizerChoice


def quantize_model(
    model: nn.Module, policy: PrecisionPolicy, choice: QuantizerChoice = STANDARD
) -> nn.Module:
    """A copy of the model whose layers compute as the policy says; call `calibrate` on it next.

    Layers are named as in `named_modules()`. w32a32 and unnamed layers stay as they are. A module that the
    model holds under several names, or a parameter that several modules hold, stays shared.

    Raises: ConfigError if a name is unknown, a layer cannot be quantized, or the names of one shared
        module take different schemes.
    """
    chosen: dict[nn.Module, tuple[str, Scheme]] = {}
    for name, module in find_layers(model, policy).items():
        first, scheme = chosen.setdefault(module, (name, policy[name]))
        if scheme != policy[name]:
            raise ConfigError(
                f"Names of one shared layer must take one scheme; {first!r} takes {scheme} and "
                f"{name!r} {policy[name]}. Name the layer once."
            )
    # The copy finds each quantized layer in `copies` wherever the model holds the layer, in a plain list too.
    copies: dict[int, Any] = {}
    for module, (name, scheme) in chosen.items():
        if scheme.is_full_precision:
            continue
        try:
            quantized = quantize_layer(copy.deepcopy(module, copies), scheme, choice)
        except ConfigError as error:
            raise ConfigError(f"Layer {name!r}: {error}") from error
        copies[id(module)] = quantized
    result: nn.Module = copy.deepcopy(model, copies)
    if any(isinstance(module, QuantLayer) for module in result.modules()):
        disable_fused_inference(result)
    return result


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[ModelInputs]) -> None:
    """Fit the activation quantizers of a quantized model to a few batches of its inputs.

    Each layer is fitted to the input that it gets from the layers before it, quantized already, with
    BatchNorm normalizing by the batch as in training. Modes and BatchNorm statistics are left as found. A
    batch is one tensor, or the tuple of the model's positional arguments: not a pair of input and target.

    Raises: ConfigError if there are no batches or a quantized layer never ran; TrialError if an input of a
        layer is not finite.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}
    if not layers:
        return
    seen: set[nn.Module] = set()

    def observe(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        assert isinstance(module, QuantLayer)
        module.activation_quantizer.observe(args[0] if args else kwargs["input"])
        seen.add(module)

    handles = [layer.register_forward_pre_hook(observe, with_kwargs=True) for layer in layers.values()]
    for layer in layers.values():
        layer.activation_quantizer.start_calibration()
    try:
        with batch_statistics(model):
            for inputs in batches:
                run_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers.values():
            layer.activation_quantizer.end_calibration()
    idle = [name for name, layer in layers.items() if layer not in seen]
    if idle:
        raise ConfigError(
            f"Calibration must run every quantized layer at least once; {', '.join(idle)} did not run. "
            "Give at least one batch, and leave layers that the model never calls at w32a32."
        )
