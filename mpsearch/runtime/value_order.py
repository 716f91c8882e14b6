"""Features of a flattened image: PyTorch counts them (C, H, W), a compiled plan (H, W, C)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mpsearch.models.graph import Size

Number = TypeVar("Number", bound=np.generic)


def to_channels_last(features: NDArray[Number], flattened: Size | None) -> NDArray[Number]:
    """Put the last dimension, in the order (C, H, W), into the order (H, W, C).

    `flattened` is the (H, W, C) of the image; None leaves the features as they are.

    Shape: (*, C * H * W) -> the same.
    """
    if flattened is None:
        return features
    height, width, channels = flattened
    planes = features.reshape(*features.shape[:-1], channels, height, width)
    return np.ascontiguousarray(np.moveaxis(planes, -3, -1)).reshape(features.shape)
