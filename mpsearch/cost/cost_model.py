"""What a policy costs on a profiled machine: exact, and known before any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpsearch.cost.energy import call_energy_j
from mpsearch.cost.extremes import CostExtremes, cost_extremes
from mpsearch.cost.latency import Origin, layer_latency_s
from mpsearch.cost.memory import layer_memory_bytes
from mpsearch.errors import ConfigError, UnmeasuredError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES, Scheme


class CostedLayer(Protocol):
    """What the cost of a layer depends on; a `TracedLayer` is one."""

    @property
    def name(self) -> str: ...
    @property
    def calls(self) -> tuple[LayerShape, ...]: ...
    @property
    def weight_count(self) -> int: ...
    @property
    def has_bias(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One layer under one scheme: time and energy over all its calls, memory once."""

    name: str
    scheme: Scheme
    macs: int
    memory_bytes: int
    latency_s: float
    energy_j: float
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """One policy, in total and layer by layer.

    latency_s = remainder_latency_s + the layers'; memory_bytes = other_memory_bytes + the layers'.
    `peak_activation_bytes` is float32 and the same for every policy.
    """

    latency_s: float
    memory_bytes: int
    energy_j: float
    peak_activation_bytes: int
    layers: tuple[LayerCost, ...]
    remainder_latency_s: float
    other_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchCosts:
    """Costs of P policies. Shape: each array (P,); memory int64, the others float64."""

    latency_s: NDArray[np.float64]
    memory_bytes: NDArray[np.int64]
    energy_j: NDArray[np.float64]


class CostModel:
    """Tables of each layer's cost under each scheme that it may take; a policy's cost is a sum of entries.

    A code of a layer is the place of its scheme in `schemes[layer]`, lowest precision first.
    Built by `CostModel.build`.
    """

    def __init__(
        self,
        tables: Sequence[Sequence[LayerCost]],
        *,
        remainder_latency_s: float,
        other_parameter_bytes: int,
        peak_activation_bytes: int,
    ) -> None:
        self._tables = tuple(tuple(table) for table in tables)
        self.layers: tuple[str, ...] = tuple(table[0].name for table in self._tables)
        self.schemes: dict[str, tuple[Scheme, ...]] = {
            table[0].name: tuple(cost.scheme for cost in table) for table in self._tables
        }
        self.remainder_latency_s = remainder_latency_s
        self.other_parameter_bytes = other_parameter_bytes
        self.peak_activation_bytes = peak_activation_bytes
        self._latency_s = [np.array([cost.latency_s for cost in table]) for table in self._tables]
        self._memory_bytes = [np.array([cost.memory_bytes for cost in table]) for table in self._tables]
        self._energy_j = [np.array([cost.energy_j for cost in table]) for table in self._tables]
        self._sizes = np.array([len(table) for table in self._tables], dtype=np.int64)

    @classmethod
    def build(
        cls,
        layers: Sequence[CostedLayer],
        *,
        other_parameter_bytes: int,
        peak_activation_bytes: int,
        fingerprint: str,
        schemes_per_layer: Mapping[str, Iterable[Scheme]],
        profile: HardwareProfile,
    ) -> CostModel:
        """Look every allowed (layer, scheme) up once.

        Raises: ConfigError if a layer has no schemes, or schemes are given for no layer of the model;
            UnmeasuredError if the profile lacks a call, with all that it lacks.
        """
        names = {layer.name for layer in layers}
        if not names or set(schemes_per_layer) != names:
            odd = sorted(names.symmetric_difference(schemes_per_layer)) or "no layer at all"
            raise ConfigError(
                f"Each layer of the model, and nothing else, needs schemes; got a mismatch in {odd}."
            )
        tables, missing = [], []
        for layer in layers:
            allowed = set(schemes_per_layer[layer.name])
            if not allowed:
                raise ConfigError(f"Layer {layer.name!r} must be allowed at least one scheme; got none.")
            table = []
            for scheme in SCHEMES.values():
                if scheme not in allowed:
                    continue
                try:
                    table.append(_layer_cost(layer, scheme, profile))
                except UnmeasuredError:
                    missing.append(f"{layer.name} at {scheme} ({layer.calls[0]})")
            tables.append(table)
        if missing:
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise UnmeasuredError(
                f"Every layer must be measured at every scheme it may take; profile {profile.name!r} lacks "
                f"{shown}.",
                threads=profile.threads,
            )
        return cls(
            tables,
            remainder_latency_s=profile.remainder(fingerprint).latency_s,
            other_parameter_bytes=other_parameter_bytes,
            peak_activation_bytes=peak_activation_bytes,
        )

    def evaluate(self, policy: PrecisionPolicy) -> CostReport:
        """Raises: ConfigError if the policy names other layers or a scheme that is not allowed."""
        codes = self.codes(policy)
        totals = self.evaluate_batch(codes[None])
        return CostReport(
            latency_s=float(totals.latency_s[0]),
            memory_bytes=int(totals.memory_bytes[0]),
            energy_j=float(totals.energy_j[0]),
            peak_activation_bytes=self.peak_activation_bytes,
            layers=tuple(table[code] for table, code in zip(self._tables, codes, strict=True)),
            remainder_latency_s=self.remainder_latency_s,
            other_memory_bytes=self.other_parameter_bytes,
        )

    def evaluate_batch(self, codes: ArrayLike) -> BatchCosts:
        """Costs of P policies; layers are added one after another, so memory stays O(P) beside the codes.

        Shape: codes (P, L), integers.
        Raises: ConfigError if the shape, the type or a code is out of range.
        """
        table = np.asarray(codes)
        if table.ndim != 2 or table.shape[1] != len(self.layers) or table.dtype.kind not in "iu":
            raise ConfigError(
                f"`codes` must be integers (policies, {len(self.layers)}); got {table.dtype} {table.shape}."
            )
        if table.size and (table.min() < 0 or np.any(table.max(0) >= self._sizes)):
            raise ConfigError(
                f"Codes must lie in 0..{(self._sizes - 1).tolist()}, layer by layer; "
                f"got {table.min(0).tolist()}..{table.max(0).tolist()}."
            )
        latency_s = np.full(len(table), self.remainder_latency_s)
        memory_bytes = np.full(len(table), self.other_parameter_bytes, dtype=np.int64)
        energy_j = np.zeros(len(table))
        for place in range(len(self.layers)):
            column = table[:, place]
            latency_s += self._latency_s[place][column]
            memory_bytes += self._memory_bytes[place][column]
            energy_j += self._energy_j[place][column]
        return BatchCosts(latency_s=latency_s, memory_bytes=memory_bytes, energy_j=energy_j)

    def codes(self, policy: PrecisionPolicy) -> NDArray[np.int64]:
        """The codes (L,) of a policy.

        Raises: ConfigError if the policy names other layers or a scheme that is not allowed.
        """
        if set(policy) != set(self.layers):
            odd = sorted(set(policy).symmetric_difference(self.layers))
            raise ConfigError(
                f"A policy must name exactly the layers of the cost model; it differs in {odd}."
            )
        codes = []
        for layer in self.layers:
            allowed = self.schemes[layer]
            if policy[layer] not in allowed:
                known = ", ".join(map(str, allowed))
                raise ConfigError(f"Layer {layer!r} may take {known}; got {policy[layer]}.")
            codes.append(allowed.index(policy[layer]))
        return np.array(codes, dtype=np.int64)

    def policy(self, codes: Sequence[int] | NDArray[np.integer]) -> PrecisionPolicy:
        """The inverse of `codes`."""
        pairs = zip(self.layers, codes, strict=True)
        return PrecisionPolicy({layer: self.schemes[layer][int(code)] for layer, code in pairs})

    def layer_costs(self, layer: str) -> tuple[LayerCost, ...]:
        """What a layer costs under each scheme that it may take, in the order of the codes."""
        return self._tables[self.layers.index(layer)]

    def extremes(self, groups: Sequence[Sequence[str]] = ()) -> CostExtremes:
        """The least and greatest reachable latency, memory and energy, each with a policy that reaches it.

        `groups`: layers that must take the same scheme.

        Raises: ConfigError if a group names an unknown layer or shares no scheme.
        """
        return cost_extremes(self, groups)


def _layer_cost(layer: CostedLayer, scheme: Scheme, profile: HardwareProfile) -> LayerCost:
    first = layer.calls[0]
    memory_bytes = layer_memory_bytes(
        weight_count=layer.weight_count,
        in_channels=first.in_channels,
        out_channels=first.out_channels,
        has_bias=layer.has_bias,
        scheme=scheme,
    )
    latency_s, origin = layer_latency_s(layer.calls, scheme, profile)
    return LayerCost(
        name=layer.name,
        scheme=scheme,
        macs=sum(call.macs for call in layer.calls),
        memory_bytes=memory_bytes,
        latency_s=latency_s,
        energy_j=sum(
            call_energy_j(call, scheme, layer_bytes=memory_bytes, table=profile.energy)
            for call in layer.calls
        ),
        origin=origin,
    )
