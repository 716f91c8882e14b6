"""Random changes to a batch of images that leave the label true, a whole batch at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def crop_and_flip(images: Tensor, generator: Generator, *, padding: int = 4) -> Tensor:
    """Shift each image by up to `padding` pixels (zeros come in) and mirror half of them.

    Shape: images (N, C, H, W) -> (N, C, H, W) in channels_last.
    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """
    count, _, height, width = images.shape
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    top = torch.randint(2 * padding + 1, (count, 1), generator=generator)
    left = torch.randint(2 * padding + 1, (count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.arange(width)
    rows = top + torch.arange(height)
    columns = left + torch.where(mirrored, columns.flip(0), columns)
    sample = torch.arange(count)[:, None, None]
    return padded[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
