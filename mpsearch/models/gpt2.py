"""A small language model as GPT-2 has it: LayerNorm, learnt positions, GELU, biases."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.models.attention import CausalAttention
from mpsearch.models.gpt import initialize


class Gpt2Block(nn.Module):
    """x + attention(norm1(x)), then x + down(gelu(up(norm2(x)))), four times as wide inside.

    Shape: x (N, T, width) -> the same.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, bias=True)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    """Embeddings of tokens and of positions, `depth` blocks, LayerNorm, and logits of the next token.

    The head has weights of its own: tied ones could not be quantized.

    Shape: tokens (N, T) int64, T up to `context` -> logits (N, T, vocabulary).
    Raises: ConfigError if `width` is no multiple of twice `heads`.
    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
    """

    def __init__(
        self, vocabulary: int, *, context: int = 64, depth: int = 4, width: int = 128, heads: int = 4
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Gpt2Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(partial(initialize, depth=depth))

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.embedding(tokens) + self.positions(places))))
