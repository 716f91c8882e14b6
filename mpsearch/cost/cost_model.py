"""What a policy costs on a profiled machine: exact, and known before any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpsearch.cost.cost_report import BatchCosts, CostReport, LayerCost
from mpsearch.cost.cost_term import COST_COLUMNS, CostSum, CostTerm
from mpsearch.cost.extremes import CostExtremes, Extremes
from mpsearch.cost.layer_terms import (
    CompressedWeights,
    LatencyTerms,
    call_terms,
    compressed_terms,
    plan_terms,
    weight_terms,
)
from mpsearch.errors import ConfigError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.model_trace import ModelTrace
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES, Scheme

__all__ = ["BatchCosts", "CostModel", "CostReport", "LayerCost"]


class CostModel:
    """A policy's costs are a constant and a sum of terms, each of which depends on a few layers.

    For a model with a graph the terms are the groups of its compiled plan, which depend on a layer's scheme
    and on those of its readers; for one that runs in torch, the calls of its layers. Memory and energy are of
    each layer alone, and so is the compressed size: the memory with each layer's packed weights compressed,
    None where `is_compressed` is False because nobody knows how far they can be.

    A code of a layer is the place of its scheme in `schemes[layer]`, lowest precision first. Built by
    `CostModel.build`.
    """

    def __init__(
        self,
        trace: ModelTrace,
        schemes: Mapping[str, tuple[Scheme, ...]],
        latency: LatencyTerms,
        weights: Sequence[CostTerm],
        compressed: Sequence[CostTerm] = (),
    ) -> None:
        self.is_compressed = bool(compressed)
        self._trace = trace
        self.layers: tuple[str, ...] = tuple(layer.name for layer in trace.layers)
        self.schemes = {layer: schemes[layer] for layer in self.layers}
        self._codes = {
            layer: {scheme: code for code, scheme in enumerate(allowed)}
            for layer, allowed in self.schemes.items()
        }
        self.peak_activation_bytes = trace.peak_activation_bytes
        self.other_parameter_bytes = trace.other_parameter_bytes
        self._macs = [layer.macs for layer in trace.layers]
        self._latency = latency
        self._weights = tuple(weights)
        self.terms: tuple[CostTerm, ...] = (
            *(owned.term for owned in latency.terms),
            *self._weights,
            *compressed,
        )
        self.constant = latency.constant.copy()
        self.constant[COST_COLUMNS.index("memory_bytes")] += trace.other_parameter_bytes
        if self.is_compressed:
            self.constant[COST_COLUMNS.index("compressed_bytes")] += trace.other_parameter_bytes
        self._sizes = [len(self.schemes[layer]) for layer in self.layers]
        self._sum = CostSum(self.terms, self.constant, self._sizes)

    @classmethod
    def build(
        cls,
        trace: ModelTrace,
        *,
        schemes_per_layer: Mapping[str, Iterable[Scheme]],
        profile: HardwareProfile,
    ) -> CostModel:
        """Look every step up once that an allowed policy can lead to.

        Raises: ConfigError if a layer has no schemes, or schemes are given for no layer of the model;
            UnmeasuredError if the profile lacks a step, with all that it lacks.
        """
        names = {layer.name for layer in trace.layers}
        if not names or set(schemes_per_layer) != names:
            odd = sorted(names.symmetric_difference(schemes_per_layer)) or "no layer at all"
            raise ConfigError(
                f"Each layer of the model, and nothing else, needs schemes; got a mismatch in {odd}."
            )
        allowed = {}
        for name in names:
            given = set(schemes_per_layer[name])
            allowed[name] = tuple(scheme for scheme in SCHEMES.values() if scheme in given)
            if not allowed[name]:
                raise ConfigError(f"Layer {name!r} must be allowed at least one scheme; got none.")
        if trace.graph is None:
            latency = call_terms(trace, allowed, profile)
        else:
            latency = plan_terms(trace, trace.graph, allowed, profile)
        return cls(trace, allowed, latency, weight_terms(trace, allowed, profile.energy))

    def with_compressed(self, weights: CompressedWeights) -> CostModel:
        """The same, which knows the compressed size too. `weights`: layer -> scheme -> compressed bytes."""
        sizes = compressed_terms(self._trace, self.schemes, weights)
        return CostModel(self._trace, self.schemes, self._latency, self._weights, sizes)

    @property
    def interpolated_layers(self) -> tuple[str, ...]:
        """Layers some of whose latencies are interpolated, under one policy or another."""
        owners = {owned.owner for owned in self._latency.terms if not owned.is_measured.all()}
        return tuple(layer for place, layer in enumerate(self.layers) if place in owners)

    def evaluate(self, policy: PrecisionPolicy) -> CostReport:
        """Raises: ConfigError if the policy names other layers or a scheme that is not allowed."""
        codes = self.codes(policy)
        totals = self.evaluate_batch(codes[None])
        parts = np.zeros((len(self.layers), len(COST_COLUMNS)))
        measured = [True] * len(self.layers)
        rest = self._latency.constant.copy()
        for owned in self._latency.terms:
            entry = owned.term.entry(codes)
            if owned.owner is None:
                rest += owned.term.table[entry]
            else:
                parts[owned.owner] += owned.term.table[entry]
                measured[owned.owner] &= bool(owned.is_measured[entry])
        for term in self._weights:
            parts[term.layers[0]] += term.table[term.entry(codes)]
        layers = tuple(
            LayerCost(
                name=name,
                scheme=self.schemes[name][code],
                macs=macs,
                origin="measured" if is_measured else "interpolated",
                latency_s=float(part[0]),
                latency_p95_s=float(part[1]),
                latency_p99_s=float(part[2]),
                memory_bytes=int(part[3]),
                energy_j=float(part[4]),
            )
            for name, code, macs, is_measured, part in zip(
                self.layers, codes, self._macs, measured, parts, strict=True
            )
        )
        return CostReport(
            latency_s=float(totals.latency_s[0]),
            latency_p95_s=float(totals.latency_p95_s[0]),
            latency_p99_s=float(totals.latency_p99_s[0]),
            memory_bytes=int(totals.memory_bytes[0]),
            energy_j=float(totals.energy_j[0]),
            peak_activation_bytes=self.peak_activation_bytes,
            layers=layers,
            remainder_latency_s=float(rest[0]),
            other_memory_bytes=self.other_parameter_bytes,
            compressed_bytes=None if totals.compressed_bytes is None else int(totals.compressed_bytes[0]),
        )

    def evaluate_batch(self, codes: ArrayLike) -> BatchCosts:
        """Costs of P policies; memory stays O(P) beside the codes.

        Shape: codes (P, L), integers; the narrower their type, the faster.
        Raises: ConfigError if the shape, the type or a code is out of range.
        """
        table = np.asarray(codes)
        if table.ndim != 2 or table.shape[1] != len(self.layers) or table.dtype.kind not in "iu":
            raise ConfigError(
                f"`codes` must be integers (policies, {len(self.layers)}); got {table.dtype} {table.shape}."
            )
        costs, in_range = self._sum.evaluate(cast("NDArray[np.integer]", table))
        if not in_range:
            raise ConfigError(
                f"Codes must lie in 0..{[size - 1 for size in self._sizes]}, layer by layer; "
                f"got {table.min(0).tolist()}..{table.max(0).tolist()}."
            )
        return BatchCosts(
            latency_s=costs[:, 0],
            latency_p95_s=costs[:, 1],
            latency_p99_s=costs[:, 2],
            memory_bytes=np.rint(costs[:, 3]).astype(np.int64),
            energy_j=costs[:, 4],
            compressed_bytes=np.rint(costs[:, 5]).astype(np.int64) if self.is_compressed else None,
        )

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
        for layer, code_of in self._codes.items():
            code = code_of.get(policy[layer])
            if code is None:
                known = ", ".join(map(str, code_of))
                raise ConfigError(f"Layer {layer!r} may take {known}; got {policy[layer]}.")
            codes.append(code)
        return np.array(codes, dtype=np.int64)

    def policy(self, codes: Sequence[int] | NDArray[np.integer]) -> PrecisionPolicy:
        """The inverse of `codes`."""
        pairs = zip(self.layers, codes, strict=True)
        return PrecisionPolicy({layer: self.schemes[layer][int(code)] for layer, code in pairs})

    def extremes(self, groups: Sequence[Sequence[str]] = ()) -> CostExtremes:
        """The least and greatest reachable costs, each with a policy that reaches it; see `CostRange`.

        `groups`: layers that must take the same scheme.

        Raises: ConfigError if a group names an unknown layer or shares no scheme.
        """
        return Extremes([self], groups).all()
