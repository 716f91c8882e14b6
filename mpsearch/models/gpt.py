"""A small language model with what ternary transformers use: RMSNorm, rotary positions, no biases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ConfigError
from mpsearch.models.attention import CausalAttention, RotaryPositions


class SquaredRelu(nn.Module):
    """down(norm(relu(up(x))^2)), four times as wide inside.

    Source: So et al. 2021, arXiv:2109.08668 (the square); BitNet b1.58 2B4T, arXiv:2504.12285 (the norm).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.norm = nn.RMSNorm(4 * width)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.norm(F.relu(self.up(x)).square()))


class SwiGlu(nn.Module):
    """down(norm(silu(gate(x)) * up(x))), 8/3 times as wide inside: as many weights as `SquaredRelu`.

    Source: Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 8 * round(width / 3)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.norm = nn.RMSNorm(inner)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.norm(F.silu(self.gate(x)) * self.up(x)))


FEED_FORWARD: dict[str, Callable[[int], nn.Module]] = {"relu2": SquaredRelu, "swiglu": SwiGlu}


class GptBlock(nn.Module):
    """x + attention(norm1(x)), then x + feed_forward(norm2(x)).

    Shape: x (N, T, width) -> the same.
    """

    def __init__(self, width: int, heads: int, context: int, feed_forward: str) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(width)
        positions = RotaryPositions(width // heads, context)
        self.attention = CausalAttention(width, heads, bias=False, positions=positions, norm=nn.RMSNorm)
        self.norm2 = nn.RMSNorm(width)
        self.feed_forward = FEED_FORWARD[feed_forward](width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class Gpt(nn.Module):
    """Embedding, `depth` blocks, RMSNorm and a linear layer to the logits of the next token.

    A normalization stands before every quantizable layer, as 8-bit activations need: in front of a pair of
    projections, and again before the second one. Embedding and head have weights of their own.

    Shape: tokens (N, T) int64, T up to `context` -> logits (N, T, vocabulary).
    Raises: ConfigError if `feed_forward` is unknown, or `width` no multiple of twice `heads`.
    Source: Touvron et al. 2023, arXiv:2302.13971 (RMSNorm, rotary, no bias); Ma et al. 2024, arXiv:2402.17764
    (the norms within the blocks).
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        context: int = 64,
        depth: int = 4,
        width: int = 128,
        heads: int = 4,
        feed_forward: str = "relu2",
    ) -> None:
        super().__init__()
        if feed_forward not in FEED_FORWARD:
            raise ConfigError(
                f"`feed_forward` must be one of {', '.join(FEED_FORWARD)}; got {feed_forward!r}."
            )
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*(GptBlock(width, heads, context, feed_forward) for _ in range(depth)))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(partial(initialize, depth=depth))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedding(tokens))))


def initialize(module: nn.Module, depth: int) -> None:
    """Normal weights of deviation 0.02; what adds to the residual stream is divided by sqrt(2 depth).

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    for name in ("out", "down"):
        last = getattr(module, name, None)
        if isinstance(last, nn.Linear):
            with torch.no_grad():
                last.weight.div_((2 * depth) ** 0.5)
