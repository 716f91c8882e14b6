"""Seconds of a layer, from a hardware profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import Scheme

Origin = Literal["measured", "interpolated"]


def layer_latency_s(
    calls: Sequence[LayerShape], scheme: Scheme, profile: HardwareProfile
) -> tuple[float, Origin]:
    """Sum over the calls of one forward pass, and whether any of them was interpolated.

    A call is timed whole: quantize the input, multiply, scale, write float32.

    Raises: UnmeasuredError if the profile cannot tell.
    """
    estimates = [profile.latency_s(shape, scheme) for shape in calls]
    measured = all(estimate.origin == "measured" for estimate in estimates)
    return sum(estimate.latency_s for estimate in estimates), "measured" if measured else "interpolated"
