"""One parameter that stands for equal parameters of several models, all in one storage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def join_tensors(members: Sequence[Tensor]) -> Tensor:
    """The members one after the other along their first dimension, in a new tensor that they become views of.

    Shape: members (N, *) -> (K * N, *); members () -> (K,).
    """
    parts = [member.detach() for member in members]
    joined = torch.cat(parts) if parts[0].ndim else torch.stack(parts)
    for member, part in zip(members, _parts(joined, members), strict=True):
        member.data = part
    return joined


def _parts(joined: Tensor, members: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return joined.chunk(len(members)) if members[0].ndim else joined.unbind()


class JoinedParameter:
    """`join_tensors` of parameters: `whole` is the leaf that the backward pass reaches.

    What the members' optimizers do to them happens to `whole`, and their values, names and identities stay.
    `hand_out` gives each member its part of the gradient.
    """

    def __init__(self, members: Sequence[nn.Parameter]) -> None:
        self.members = tuple(members)
        self.whole = nn.Parameter(join_tensors(members), requires_grad=members[0].requires_grad)

    def hand_out(self) -> None:
        """Move the gradient to the members; where there is none, they have none."""
        grad = self.whole.grad
        self.whole.grad = None
        parts = [None] * len(self.members) if grad is None else _parts(grad, self.members)
        for member, part in zip(self.members, parts, strict=True):
            member.grad = part
