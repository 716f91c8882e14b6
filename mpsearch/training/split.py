"""One part of a data set, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mpsearch.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Inputs with their targets, sample by sample.

    Shape: inputs (N, *) as the model takes them; targets (N, *).
    Raises: DataError if the two differ in length or are empty.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.inputs.ndim == 0 or self.targets.ndim == 0 or len(self.inputs) != len(self.targets):
            raise DataError(
                f"A split needs one target per input; got inputs {tuple(self.inputs.shape)} and targets "
                f"{tuple(self.targets.shape)}. Let both start with the same number of samples."
            )
        if len(self.inputs) == 0:
            raise DataError("A split needs at least one sample; got none. Check what was loaded.")

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, count: int) -> Split:
        """The first `count` samples (all of them where there are fewer)."""
        return Split(self.inputs[:count], self.targets[:count])

    def sample(self, count: int, generator: Generator) -> Split:
        """`count` random samples (all of them where there are fewer)."""
        chosen = torch.randperm(len(self), generator=generator)[:count]
        return Split(self.inputs[chosen], self.targets[chosen])

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every sample once, in order; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.inputs[start : start + batch_size], self.targets[start : start + batch_size]

    def shuffled_batches(
        self, batch_size: int, *, steps: int, generator: Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """`steps` full batches from one random order after another; the order depends on `generator` only."""
        size = min(batch_size, len(self))
        per_epoch = len(self) // size
        order = torch.empty(0, dtype=torch.int64)
        for step in range(steps):
            place = step % per_epoch
            if place == 0:
                order = torch.randperm(len(self), generator=generator)
            chosen = order[place * size : (place + 1) * size]
            yield self.inputs[chosen], self.targets[chosen]

    def digest(self) -> str:
        """Sixteen hex digits that change with any value, shape or type."""
        hashed = hashlib.sha256()
        for tensor in (self.inputs, self.targets):
            hashed.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)  # a side of 1 may keep any stride
            hashed.update(flat.view(torch.uint8).numpy().data)
        return hashed.hexdigest()[:16]
