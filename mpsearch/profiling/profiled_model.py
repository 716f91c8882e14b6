"""A model of which a profile is wanted, and what must be timed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mpsearch.cost.layer_terms import batch_of, needed_steps
from mpsearch.errors import ConfigError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.kernels.packing import packed_size_bytes
from mpsearch.models.model_trace import ModelTrace
from mpsearch.plan.fusion import fuse
from mpsearch.plan.group_table import group_tables
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import FULL_PRECISION, Scheme
from mpsearch.profiling.covering import Policy, covering_policies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfiledModel:
    """A traced model and the schemes that its layers may take.

    Besides, all layers at w32a32 are always timed: what a policy gains over 32 bits is told everywhere.
    """

    model: nn.Module
    example_inputs: tuple[Tensor, ...]
    trace: ModelTrace
    schemes: Mapping[str, tuple[Scheme, ...]]
    label: str = ""
    has_passes: bool = True  # whole passes tell something: not of a single layer

    @property
    def name(self) -> str:
        return self.label or type(self.model).__name__

    @property
    def footprint_bytes(self) -> int:
        """Weights that a pass touches, on the average of the policies."""
        return self.trace.other_parameter_bytes + sum(
            sum(packed_size_bytes(layer.weight_count, scheme) for scheme in self.schemes[layer.name])
            // len(self.schemes[layer.name])
            for layer in self.trace.layers
        )

    def steps(self) -> tuple[StepShape, ...]:
        """Every step that its costs rest on, each once."""
        return tuple(
            dict.fromkeys((*needed_steps(self.trace, self.schemes), *needed_steps(self.trace, self._float())))
        )

    def is_measured_in(self, profile: HardwareProfile) -> bool:
        """Whether the profile holds all that its costs rest on, nothing interpolated."""
        fingerprint = self.trace.fingerprint
        if self.trace.graph is None:
            has_rest = profile.has_remainder(fingerprint)
        else:
            has_rest = profile.has_whole_passes(fingerprint)
        return has_rest and all(profile.measured(step) is not None for step in self.steps())

    def covering(self, wanted: tuple[StepShape, ...], *, contexts: int, seed: int) -> list[Policy]:
        """Policies whose plans hold all the wanted steps; see `covering_policies`.

        Raises: ConfigError if the model has no plan.
        """
        if self.trace.graph is None:
            raise ConfigError(f"{self.name} must have a graph to be timed as a plan; it runs in torch.")
        fused, batch = fuse(self.trace.graph), batch_of(self.trace)
        tables = group_tables(fused, self.schemes, batch=batch)
        policies = covering_policies(tables, self.schemes, wanted, contexts=contexts, seed=seed)
        only_float = set(needed_steps(self.trace, self._float())) - set(
            needed_steps(self.trace, self.schemes)
        )
        if not policies or only_float.intersection(wanted):
            policies += [{layer.name: FULL_PRECISION for layer in self.trace.layers}] * max(contexts, 1)
        return policies

    def _float(self) -> dict[str, tuple[Scheme, ...]]:
        return {layer.name: (FULL_PRECISION,) for layer in self.trace.layers}
