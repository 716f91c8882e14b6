"""The terms of a model's costs: of its plan's steps, of its calls in torch, of its layers' weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpsearch.cost.cost_term import COST_COLUMNS, CostTerm, Floats
from mpsearch.cost.energy import call_energy_j
from mpsearch.cost.latency import StepPrices, StepsCost
from mpsearch.cost.memory import layer_memory_bytes
from mpsearch.hardware.energy_table import EnergyTable
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.kernels.packing import packed_size_bytes
from mpsearch.models.graph import ModelGraph
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.plan.compile import store_step
from mpsearch.plan.fusion import fuse
from mpsearch.plan.group_table import group_tables
from mpsearch.plan.step import StepShape, call_step
from mpsearch.precision.scheme import Scheme

Allowed = Mapping[str, tuple[Scheme, ...]]
CompressedWeights = Mapping[str, Mapping[Scheme, int]]  # layer -> scheme -> bytes of its weights, compressed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnedTerm:
    """A term that counts for one layer (its place), or for none: then it is part of the remainder.

    `is_measured` (E,): whether all steps of an entry were measured.
    """

    owner: int | None
    term: CostTerm
    is_measured: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyTerms:
    """latency = constant + the terms. Shape: constant (6,), as `COST_COLUMNS`."""

    terms: tuple[OwnedTerm, ...]
    constant: Floats


def batch_of(trace: ModelTrace) -> int:
    """Samples in the pass that was traced."""
    return trace.layers[0].calls[0].batch


def needed_steps(trace: ModelTrace, allowed: Allowed) -> tuple[StepShape, ...]:
    """Every step that a policy can lead to, each once: of the plan, or calls where the model has none."""
    if trace.graph is None:
        calls = [
            call_step(call, scheme)
            for layer in trace.layers
            for scheme in allowed[layer.name]
            for call in layer.calls
        ]
        return tuple(dict.fromkeys(calls))
    fused = fuse(trace.graph)
    tables = group_tables(fused, allowed, batch=batch_of(trace))
    steps = [step.shape for table in tables for steps in table.steps.values() for step in steps]
    return tuple(dict.fromkeys([*steps, store_step(fused, batch=batch_of(trace)).shape]))


def plan_terms(
    trace: ModelTrace, graph: ModelGraph, allowed: Allowed, profile: HardwareProfile
) -> LatencyTerms:
    """One term a group, of its scheme and its readers'; the constant is the call of the model itself.

    Raises: UnmeasuredError if the profile lacks a step, or whole passes.
    """
    passes = profile.whole_passes(trace.fingerprint)
    prices = StepPrices(profile, break_s=passes.break_s, tail_p95=passes.tail_p95, tail_p99=passes.tail_p99)
    place = {layer.name: number for number, layer in enumerate(trace.layers)}
    fused = fuse(graph)
    store = prices.of([store_step(fused, batch=batch_of(trace)).shape], name=fused.output)
    constant = _row(store) + passes.pass_s * _IS_LATENCY
    terms = []
    for table in group_tables(fused, allowed, batch=batch_of(trace)):
        costs = np.full((table.entries, len(COST_COLUMNS)), np.nan)
        measured = np.ones(table.entries, dtype=bool)
        for entry, steps in table.steps.items():
            total = prices.of([step.shape for step in steps], name=table.group.layer or table.group.name)
            costs[entry], measured[entry] = _row(total), total.is_measured
        if not table.layers:
            constant = constant + costs[0]
            continue
        term = CostTerm(
            layers=tuple(place[name] for name in table.layers),
            offsets=tuple(np.array(table.offsets[name], dtype=np.int64) for name in table.layers),
            table=costs,
        )
        owner = None if table.group.layer is None else place[table.group.layer]
        terms.append(OwnedTerm(owner=owner, term=term, is_measured=measured))
    prices.require_all()
    return LatencyTerms(terms=tuple(terms), constant=constant)


def call_terms(trace: ModelTrace, allowed: Allowed, profile: HardwareProfile) -> LatencyTerms:
    """One term a layer, of its own scheme; the constant is the model without its layers.

    Raises: UnmeasuredError if the profile lacks a call, or the remainder.
    """
    prices = StepPrices(profile)
    terms = []
    for number, layer in enumerate(trace.layers):
        totals = [
            prices.of([call_step(call, scheme) for call in layer.calls], name=f"{layer.name} at {scheme}")
            for scheme in allowed[layer.name]
        ]
        table = np.stack([_row(total) for total in totals])
        measured = np.array([total.is_measured for total in totals])
        terms.append(OwnedTerm(owner=number, term=_own_term(number, table), is_measured=measured))
    prices.require_all()
    rest = profile.remainder(trace.fingerprint)
    constant = np.array([rest.latency_s, rest.p95_s, rest.p99_s, 0.0, 0.0, 0.0])
    return LatencyTerms(terms=tuple(terms), constant=constant)


def weight_terms(trace: ModelTrace, allowed: Allowed, energy: EnergyTable) -> tuple[CostTerm, ...]:
    """Memory and energy, one term a layer, of its own scheme."""
    terms = []
    for number, layer in enumerate(trace.layers):
        rows = [_weight_row(layer, scheme, energy) for scheme in allowed[layer.name]]
        terms.append(_own_term(number, np.stack(rows)))
    return tuple(terms)


_IS_LATENCY = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def _row(cost: StepsCost) -> Floats:
    return np.array([cost.latency_s, cost.latency_p95_s, cost.latency_p99_s, 0.0, 0.0, 0.0])


def _own_term(number: int, table: Floats) -> CostTerm:
    return CostTerm(layers=(number,), offsets=(np.arange(len(table)),), table=table)


def compressed_terms(
    trace: ModelTrace, allowed: Allowed, compressed: CompressedWeights
) -> tuple[CostTerm, ...]:
    """The compressed size, one term a layer, of its own scheme: the memory with its weights compressed."""
    terms = []
    for number, layer in enumerate(trace.layers):
        table = np.zeros((len(allowed[layer.name]), len(COST_COLUMNS)))
        for row, scheme in zip(table, allowed[layer.name], strict=True):
            packed_bytes = packed_size_bytes(layer.weight_count, scheme)
            row[-1] = _memory_bytes(layer, scheme) - packed_bytes + compressed[layer.name][scheme]
        terms.append(_own_term(number, table))
    return tuple(terms)


def _memory_bytes(layer: TracedLayer, scheme: Scheme) -> int:
    first = layer.calls[0]
    return layer_memory_bytes(
        weight_count=layer.weight_count,
        in_channels=first.in_channels,
        out_channels=first.out_channels,
        has_bias=layer.has_bias,
        scheme=scheme,
        extras=first.at(scheme).extras,
    )


def _weight_row(layer: TracedLayer, scheme: Scheme, energy: EnergyTable) -> Floats:
    memory_bytes = _memory_bytes(layer, scheme)
    energy_j = sum(
        call_energy_j(call, scheme, layer_bytes=memory_bytes, table=energy) for call in layer.calls
    )
    return np.array([0.0, 0.0, 0.0, memory_bytes, energy_j, 0.0])
