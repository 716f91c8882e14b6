"""The precisions that a policy's layers go down through while it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme, scheme_named

LADDER = ("w8a8", "w4a8")
EARLY_SHARE = 1 / 6  # of the steps, for each stage above the policy itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The steps from `first` up to, not including, `end` train `policy`."""

    policy: PrecisionPolicy
    first: int
    end: int


def stages(policy: PrecisionPolicy, steps: int, *, progressive: bool) -> Iterator[Stage]:
    """All steps for the policy itself, or first a sixth each with no layer below 8 bits, then below 4.

    A layer stays at its own precision once it is there; a stage that would change nothing, or have no step,
    is left out.

    Source: Zhuang et al. 2017, arXiv:1711.00205 (progressive quantization); the shares are our own.
    """
    first = 0
    if progressive:
        for name in LADDER:
            above = _not_below(policy, scheme_named(name))
            length = round(EARLY_SHARE * steps)
            if above != dict(policy) and length:
                yield Stage(policy=PrecisionPolicy(above), first=first, end=first + length)
                first += length
    yield Stage(policy=policy, first=first, end=steps)


def _not_below(policy: PrecisionPolicy, least: Scheme) -> dict[str, Scheme]:
    return {
        layer: least if scheme.weight_bits < least.weight_bits else scheme for layer, scheme in policy.items()
    }
