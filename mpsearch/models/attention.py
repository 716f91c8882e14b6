"""Causal attention with projections of its own, so that each can have its precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ConfigError


class RotaryPositions(nn.Module):
    """Turn each pair of channels (i, i + d/2) of position t by the angle t * 10000^(-2 i / d).

    The product of a query and a key then depends on the distance between them, not on their places.

    Shape: x (N, heads, T, d), T up to `context`, d even -> the same.
    Source: Su et al. 2021, arXiv:2104.09864.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        speed = 10000.0 ** (-torch.arange(0, channels, 2) / channels)
        angles = torch.outer(torch.arange(context), speed)
        self.register_buffer("cosines", torch.cat([angles.cos()] * 2, dim=1), persistent=False)
        self.register_buffer("sines", torch.cat([angles.sin()] * 2, dim=1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        length, half = x.shape[-2], x.shape[-1] // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        return x * self.cosines[:length] + turned * self.sines[:length]


class CausalAttention(nn.Module):
    """softmax(q k^T / sqrt(d)) v over this position and those before it, in `heads` parts of d channels each.

    Query, key, value and output projections are four linear layers. `norm` makes the normalization in front
    of the output projection; None has none.

    Shape: x (N, T, width) -> the same.
    Raises: ConfigError if `width` is not a multiple of twice `heads`.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; the norm: Wang et al. 2022, arXiv:2210.06423.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        bias: bool,
        positions: nn.Module | None = None,
        norm: type[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or width % (2 * heads):
            raise ConfigError(f"`width` must be a multiple of twice `heads`; got {width} and {heads}.")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.positions = nn.Identity() if positions is None else positions
        self.norm = nn.Identity() if norm is None else norm(width)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._by_head(layer(x)) for layer in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(
            self.positions(query), self.positions(key), value, is_causal=True
        )
        return self.out(self.norm(mixed.transpose(1, 2).flatten(2)))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
