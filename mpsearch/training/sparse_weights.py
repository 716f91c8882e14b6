"""Weights held at zero while a model is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mpsearch.precision.scheme import Scheme
from mpsearch.quant.layers import QuantLayer

SPARSE_FROM, SPARSE_UNTIL = 1 / 3, 2 / 3
REDENSE_RATE = 0.1


class SparseWeights:
    """The `share` of least magnitude of each layer's weights, chosen once, put back to 0 whenever asked.

    Every ternary quantizer keeps a latent 0 at 0, so the packed layer has at least that share of zeros.

    Source: magnitude pruning: Han et al. 2015, arXiv:1506.02626.
    """

    def __init__(self, weights: Iterable[nn.Parameter], share: float) -> None:
        self._pruned = [(weight, _smallest(weight.detach(), share)) for weight in weights]
        self.zero()

    @torch.no_grad()
    def zero(self) -> None:
        for weight, pruned in self._pruned:
            weight.masked_fill_(pruned, 0.0)


class DenseSparseDense:
    """Dense for a third of the steps, with `share` of the weights at 0 for the next, dense again at last.

    The third phase starts from zeros there, at a tenth of the learning rate. Call with t = step / steps.

    Source: Han et al. 2016, arXiv:1607.04381.
    """

    def __init__(self, weights: Iterable[nn.Parameter], share: float) -> None:
        self._weights, self._share = tuple(weights), share
        self._sparse: SparseWeights | None = None

    def __call__(self, t: float) -> None:
        if not SPARSE_FROM <= t < SPARSE_UNTIL:
            self._sparse = None
        elif self._sparse is None:
            self._sparse = SparseWeights(self._weights, self._share)
        else:
            self._sparse.zero()


def dense_sparse_dense_rate(rate_at: Callable[[float], float]) -> Callable[[float], float]:
    """The factor on the learning rate at t, with that of the third phase on top."""
    return lambda t: rate_at(t) * (REDENSE_RATE if t >= SPARSE_UNTIL else 1.0)


def ternary_weights(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of ternary layers."""
    return _weights(model, lambda scheme: scheme.is_ternary)


def weights_with_zero(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of quantized layers whose grid holds 0 (all but the binary), if trained."""
    return [
        weight for weight in _weights(model, lambda scheme: scheme.weight_bits > 1) if weight.requires_grad
    ]


def _weights(model: nn.Module, takes: Callable[[Scheme], bool]) -> list[nn.Parameter]:
    found = {
        layer.get_parameter("weight"): None
        for layer in model.modules()
        if isinstance(layer, QuantLayer) and takes(layer.scheme)
    }
    return list(found)


def _smallest(weight: Tensor, share: float) -> Tensor:
    """True at the `share` of the weights (rounded down) of least magnitude."""
    count = int(share * weight.numel())
    pruned = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    pruned[weight.abs().flatten().argsort(stable=True)[:count]] = True
    return pruned.view(weight.shape)
