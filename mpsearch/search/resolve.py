"""A space applied to a traced model: what is left to choose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.cost_report import CostReport
from mpsearch.cost.layer_terms import CompressedWeights
from mpsearch.errors import ConfigError, UnmeasuredError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES, Scheme
from mpsearch.search.costs import Costs
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.space import LayerRule, SearchSpace
from mpsearch.search.widths import WIDTH_CHOICE

Codes = NDArray[np.int64]
_SHOWN_REASONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One free decision: a scheme that all `layers` take. Its code is a place in `schemes`, lowest first."""

    name: str
    layers: tuple[str, ...]
    schemes: tuple[Scheme, ...]


@dataclass(frozen=True, kw_only=True)  # no slots: places are kept
class ResolvedSpace:
    """The choices of a space for one model, and the layers whose scheme is fixed.

    `layers` are all layer names in the order of the model; `schemes` what each may take. Codes of policies
    are int64 (C,), one place in `choices[c].schemes` for each choice; where the space names widths, the last
    is a place in `widths`.
    """

    layers: tuple[str, ...]
    choices: tuple[Choice, ...]
    pinned: Mapping[str, Scheme]
    widths: tuple[float, ...] = ()

    @property
    def policies(self) -> int:
        """How many different policies there are."""
        return math.prod(self.parameters.values())

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Name of each place of the codes -> how many codes it may take; the width last, if a choice."""
        sizes = {choice.name: len(choice.schemes) for choice in self.choices}
        return {**sizes, WIDTH_CHOICE: len(self.widths)} if self.widths else sizes

    @property
    def sizes(self) -> Codes:
        """Number of codes of each place, (C,)."""
        return np.array(list(self.parameters.values()), dtype=np.int64)

    @property
    def schemes(self) -> dict[str, tuple[Scheme, ...]]:
        """Layer name -> what it may take, in the order of the model."""
        allowed: dict[str, tuple[Scheme, ...]] = {name: (scheme,) for name, scheme in self.pinned.items()}
        allowed |= {layer: choice.schemes for choice in self.choices for layer in choice.layers}
        return {layer: allowed[layer] for layer in self.layers}

    def policy(self, codes: NDArray[np.integer] | list[int] | tuple[int, ...]) -> PrecisionPolicy:
        """Shape: codes (C,)."""
        taken = dict(self.pinned)
        of_layers, width = (codes[:-1], self.widths[int(codes[-1])]) if self.widths else (codes, None)
        for choice, code in zip(self.choices, of_layers, strict=True):
            taken |= dict.fromkeys(choice.layers, choice.schemes[int(code)])
        return PrecisionPolicy({layer: taken[layer] for layer in self.layers}, width=width)

    def codes(self, policy: PrecisionPolicy) -> Codes:
        """The inverse of `policy`, (C,).

        Raises: ConfigError if the policy is not one of the space.
        """
        codes = []
        for choice, places in zip(self.choices, self._places, strict=True):
            scheme = policy.get(choice.layers[0])
            code = None if scheme is None else places.get(scheme)
            if code is None or any(policy.get(layer) != scheme for layer in choice.layers[1:]):
                raise ConfigError(
                    f"The layers of {choice.name} must share one of {_names(choice.schemes)}; got {policy}."
                )
            codes.append(code)
        if len(policy) != len(self.layers) or any(policy.get(k) != v for k, v in self.pinned.items()):
            raise ConfigError(f"A policy of this space must name {', '.join(self.layers)}; got {policy}.")
        if policy.width not in (self.widths or (None,)):
            allowed = ", ".join(f"{width:g}" for width in self.widths) or "none"
            raise ConfigError(f"The width of a policy of this space must be {allowed}; got {policy}.")
        if policy.width is not None:
            codes.append(self.widths.index(policy.width))
        return np.array(codes, dtype=np.int64)

    @cached_property
    def _places(self) -> tuple[dict[Scheme, int], ...]:
        """Scheme -> code, for each choice."""
        return tuple({s: place for place, s in enumerate(choice.schemes)} for choice in self.choices)

    def anchors(self) -> tuple[PrecisionPolicy, ...]:
        """The uniform policies, highest precision first; where a layer may not take the scheme, its nearest.

        Only schemes that some layer may take; equal policies once. At every width, the greatest last.
        """
        offered = {scheme for choice in self.choices for scheme in choice.schemes}
        uniform = [
            [nearest_place(scheme, choice.schemes) for choice in self.choices]
            for scheme in reversed(SCHEMES.values())
            if scheme in offered
        ] or [[]]
        widths = [[place] for place in range(len(self.widths))] or [[]]
        return tuple(dict.fromkeys(self.policy([*codes, *width]) for codes in uniform for width in widths))


def resolve(space: SearchSpace, trace: ModelTrace) -> ResolvedSpace:
    """Apply the rules to the layers of a model; the first that matches decides.

    Raises: ConfigError if a rule decides over no layer (a last `match: "*"` may), a layer is matched
    by no rule, or the rules of a group allow different schemes.
    """
    if not trace.layers:
        reasons = [f"{module.name} ({module.type_name}): {module.reason}" for module in trace.unquantized]
        rest = len(reasons) - _SHOWN_REASONS
        told = "; ".join(reasons[:_SHOWN_REASONS]) or "it has no module with parameters"
        raise ConfigError(
            "The model must have a layer that can be quantized (Linear, Conv1d or Conv2d); it has none: "
            f"{told}{f'; and {rest} more' if rest > 0 else ''}."
        )
    rule_of: dict[str, LayerRule] = {}
    for layer in trace.layers:
        rule = next((rule for rule in space.layers if _matches(rule, layer)), None)
        if rule is None:
            raise ConfigError(
                f"Every layer must be matched by a rule; {layer.name!r} ({layer.kind}) is matched by none. "
                'Add a last rule `- match: "*"` with its schemes, or `pin: w32a32` to leave it as it is.'
            )
        rule_of[layer.name] = rule
    _refuse_idle_rules(space, trace, rule_of)

    groups: dict[str, list[str]] = {}
    for name, rule in rule_of.items():
        groups.setdefault(name if rule.group is None else f"group:{rule.group}", []).append(name)
    choices: list[Choice] = []
    pinned: dict[str, Scheme] = {}
    for name, members in groups.items():
        allowed = {rule_of[member].schemes for member in members}
        if len(allowed) > 1:
            raise ConfigError(
                f"All rules of group {name.removeprefix('group:')!r} must allow the same schemes; "
                f"got {' and '.join(_names(schemes) for schemes in allowed)}."
            )
        schemes = allowed.pop()
        if len(schemes) == 1:
            pinned |= dict.fromkeys(members, schemes[0])
        else:
            choices.append(Choice(name=name, layers=tuple(members), schemes=schemes))
    return ResolvedSpace(
        layers=tuple(layer.name for layer in trace.layers),
        choices=tuple(choices),
        pinned=pinned,
        widths=() if space.widths is None else space.widths.options,
    )


def cost_model_of(
    space: SearchSpace,
    trace: ModelTrace,
    profile: HardwareProfile,
    compressed: CompressedWeights | None = None,
) -> CostModel:
    """Costs of every policy of the space, the compressed size too where `compressed` is known.

    Raises: UnmeasuredError if the profile lacks a layer; ConfigError as `resolve`.
    """
    model = CostModel.build(trace, schemes_per_layer=resolve(space, trace).schemes, profile=profile)
    return model if compressed is None else model.with_compressed(compressed)


def device_models(
    space: SearchSpace, trace: ModelTrace, further: Iterable[HardwareProfile]
) -> dict[str, CostModel]:
    """As `cost_model_of`, of each further device by its name."""
    found = {}
    for profile in further:
        try:
            found[profile.name] = cost_model_of(space, trace, profile)
        except UnmeasuredError as error:
            lack = f"{error.lack} Measure it on that machine, and copy the file here."
            raise UnmeasuredError(lack, error.threads, profile=f"{profile.name}.json") from error
    return found


def full_precision_costs(
    trace: ModelTrace,
    profile: HardwareProfile,
    further: Iterable[HardwareProfile] = (),
    compressed: CompressedWeights | None = None,
) -> Costs:
    """What the model costs with every layer at w32a32, in the same runtime, there and on `further` devices.

    Raises: UnmeasuredError if a profile lacks a layer.
    """
    schemes = {layer.name: (FULL_PRECISION,) for layer in trace.layers}
    policy = PrecisionPolicy.uniform(list(schemes), FULL_PRECISION)

    def report(measured: HardwareProfile) -> CostReport:
        model = CostModel.build(trace, schemes_per_layer=schemes, profile=measured)
        return (model if compressed is None else model.with_compressed(compressed)).evaluate(policy)

    return Costs.of(report(profile), {device.name: report(device) for device in further})


def _matches(rule: LayerRule, layer: TracedLayer) -> bool:
    names = (layer.name, *layer.aliases)
    fits = any(fnmatchcase(name, rule.match) for name in names)
    return fits and rule.operator in {None, layer.kind}


def _refuse_idle_rules(space: SearchSpace, trace: ModelTrace, rule_of: Mapping[str, LayerRule]) -> None:
    used = {id(rule) for rule in rule_of.values()}
    for rule in space.layers:
        is_catch_all = rule.match == "*" and rule.operator is None and rule is space.layers[-1]
        if id(rule) in used or is_catch_all:
            continue
        line = f" (line {rule.line})" if rule.line else ""
        taken = [layer.name for layer in trace.layers if _matches(rule, layer)]
        if taken:
            raise ConfigError(
                f"A rule must decide over a layer; {rule}{line} matches only layers that rules above it "
                f"have taken: {', '.join(taken)}. Move it up, or remove it."
            )
        names = [layer.name for layer in trace.layers]
        kinds = sorted({layer.kind for layer in trace.layers})
        meant = did_you_mean(rule.match, names) or did_you_mean(rule.operator or "", kinds)
        raise ConfigError(
            f"A rule must match a layer; {rule}{line} matches none.{meant} "
            f"The model has {', '.join(names)} ({', '.join(kinds)})."
        )


def nearest_place(wanted: Scheme, allowed: tuple[Scheme, ...]) -> int:
    """Place of the allowed scheme nearest in the order of precision; of two as near, the higher."""
    order = list(SCHEMES.values())
    far = [
        (abs(order.index(s) - order.index(wanted)), -order.index(s), place) for place, s in enumerate(allowed)
    ]
    return min(far)[2]


def _names(schemes: tuple[Scheme, ...]) -> str:
    return ", ".join(scheme.name for scheme in schemes)


def all_codes(resolved: ResolvedSpace) -> Iterator[Codes]:
    """Every policy, in blocks of codes (P, C) of bounded size."""
    sizes = resolved.sizes
    block = 1 << 14
    for start in range(0, resolved.policies, block):
        numbers = np.arange(start, min(start + block, resolved.policies))
        yield (
            np.stack(np.unravel_index(numbers, tuple(sizes)), axis=1)
            if len(sizes)
            else np.zeros((1, 0), np.int64)
        )
