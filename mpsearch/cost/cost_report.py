"""What a policy costs, in total and layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpsearch.precision.scheme import Scheme

Origin = Literal["measured", "interpolated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One layer of a policy: time and energy over all its calls, memory once.

    In a compiled plan its time is that of its group's steps: the conversion of its input where nobody else
    does it, the layer, and what is fused behind it. It depends on its readers' schemes too. The percentiles
    are its part of those of a pass.
    """

    name: str
    scheme: Scheme
    macs: int
    memory_bytes: int
    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    energy_j: float
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """One policy, in total and layer by layer.

    latency_s = remainder_latency_s + the layers'; memory_bytes = other_memory_bytes + the layers'. The
    remainder is what belongs to no layer: pooling and the like, and the call of the model itself.
    `peak_activation_bytes` is float32 and the same for every policy. `compressed_bytes`: see `CostModel`.
    """

    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    memory_bytes: int
    energy_j: float
    peak_activation_bytes: int
    layers: tuple[LayerCost, ...]
    remainder_latency_s: float
    other_memory_bytes: int
    compressed_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchCosts:
    """Costs of P policies. Shape: each array (P,); bytes int64, the others float64. `compressed_bytes` as
    in `CostReport`.
    """

    latency_s: NDArray[np.float64]
    latency_p95_s: NDArray[np.float64]
    latency_p99_s: NDArray[np.float64]
    memory_bytes: NDArray[np.int64]
    energy_j: NDArray[np.float64]
    compressed_bytes: NDArray[np.int64] | None = None
