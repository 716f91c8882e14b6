"""One BatchNorm of several models."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mpsearch.training.joined_parameters import JoinedParameter, join_tensors

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d)


def is_plain_batch_norm(layer: nn.Module) -> bool:
    """Whether it is a BatchNorm of PyTorch's own with weights and statistics, the latter a moving average.

    A plain average (no momentum) divides by the number of batches, of which a joined layer has one a policy.
    """
    state = (*layer._parameters.values(), *layer._buffers.values())
    return type(layer) in KINDS and layer.momentum is not None and all(value is not None for value in state)


def joined_batch_norm(layers: Sequence[nn.Module]) -> tuple[nn.Module, list[JoinedParameter]]:
    """A BatchNorm over the channels of all, whose parameters and statistics stay theirs too, as views.

    Shape: x (N, K * C, *) -> the same, policy by policy.
    """
    first = layers[0]
    assert isinstance(first, nn.BatchNorm1d | nn.BatchNorm2d)
    channels = first.num_features * len(layers)
    joined = type(first)(channels, eps=first.eps, momentum=first.momentum, device="meta")
    parameters = {
        name: JoinedParameter([layer.get_parameter(name) for layer in layers]) for name in first._parameters
    }
    for name, parameter in parameters.items():
        joined.register_parameter(name, parameter.whole)
    for name in first._buffers:
        joined.register_buffer(name, join_tensors([layer.get_buffer(name) for layer in layers]))
    return joined, list(parameters.values())
