"""One parameter that stands for equal parameters of several models, all in one storage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class JoinedParameter:
    """The members one after the other along their first dimension; those without dimensions in a vector.

    `whole` is the leaf that the backward pass reaches. The members become views of it: what their optimizers
    do to them happens to `whole`, and their values, names and identities stay. `hand_out` gives each member
    its part of the gradient.

    Shape: members (N, *) -> whole (K * N, *); members () -> whole (K,).
    """

    def __init__(self, members: Sequence[nn.Parameter]) -> None:
        self.members = tuple(members)
        self._is_scalar = members[0].ndim == 0
        parts = [member.detach() for member in members]
        joined = torch.stack(parts) if self._is_scalar else torch.cat(parts)
        self.whole = nn.Parameter(joined, requires_grad=members[0].requires_grad)
        for member, part in zip(self.members, self._parts(joined), strict=True):
            member.data = part

    def _parts(self, joined: Tensor) -> tuple[Tensor, ...]:
        return joined.unbind() if self._is_scalar else joined.chunk(len(self.members))

    def hand_out(self) -> None:
        """Move the gradient to the members; where there is none, they have none."""
        grad = self.whole.grad
        self.whole.grad = None
        parts = [None] * len(self.members) if grad is None else self._parts(grad)
        for member, part in zip(self.members, parts, strict=True):
            member.grad = part
