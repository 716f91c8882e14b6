"""How long a search will take: arithmetic on what was timed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.recipe import LOW_BITS, TrialRecipe

NOISE_REPEATS = 3  # times that a noisy machine makes `mpsearch profile` take all of it again


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A duration that is not known exactly, in seconds: at least, likely, at most."""

    least_s: float
    likely_s: float
    most_s: float

    @classmethod
    def exactly(cls, seconds: float) -> Span:
        return cls(least_s=seconds, likely_s=seconds, most_s=seconds)

    def __add__(self, other: Span) -> Span:
        return Span(
            least_s=self.least_s + other.least_s,
            likely_s=self.likely_s + other.likely_s,
            most_s=self.most_s + other.most_s,
        )

    def times(self, least: float, likely: float | None = None, most: float | None = None) -> Span:
        """Each end by a factor of its own, or all by the first."""
        return Span(
            least_s=self.least_s * least,
            likely_s=self.likely_s * (least if likely is None else likely),
            most_s=self.most_s * (least if most is None else most),
        )


NO_TIME = Span.exactly(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTrial:
    """A policy that was quantized, trained for a few steps and scored: seconds of one step, and of the rest.

    `around_s`: calibration, re-estimated BatchNorm and two evaluations on the whole validation split. Both
    are (quartile, median, quartile) or less, least first.
    """

    policy: PrecisionPolicy
    step_s: Span
    around_s: Span

    @property
    def relearns(self) -> bool:
        """Whether a layer has less than two bits: such policies are trained for longer."""
        return relearns(self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workforce:
    """`workers` trials at a time, each on `threads` threads, on `cpus` processors.

    They share memory and caches, so several are less than several times as fast; that is not measured but
    taken as 80% of each further one that has processors of its own (50% to 100%).
    """

    workers: int
    threads: int
    cpus: int

    @property
    def lanes(self) -> int:
        """How many trials have processors of their own."""
        return max(1, min(self.workers, self.cpus // self.threads))

    @property
    def gain(self) -> tuple[float, float, float]:
        """How many times as fast as one worker: at least, likely, at most."""
        further = self.lanes - 1
        return (1 + 0.5 * further, 1 + 0.8 * further, 1.0 + further)

    def divide(self, work: Span) -> Span:
        least, likely, most = self.gain
        return work.times(1 / most, 1 / likely, 1 / least)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePart:
    """One part of a search: its time, and in words what it consists of."""

    name: str
    span: Span
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """The parts of a search one after another; `failures`: policies whose short trial broke, and why."""

    parts: tuple[TimePart, ...]
    workforce: Workforce
    trials: int
    failures: tuple[str, ...] = ()

    @property
    def total(self) -> Span:
        return sum((part.span for part in self.parts), NO_TIME)


def relearns(policy: PrecisionPolicy) -> bool:
    """Whether a layer has weights below `LOW_BITS`."""
    return any(scheme.weight_bits < LOW_BITS for scheme in policy.values())


def trial_span(
    policy: PrecisionPolicy,
    recipe: TrialRecipe,
    timed: Sequence[TimedTrial],
    reaching: Sequence[float] | None = None,
) -> Span:
    """A trial of that policy: its steps at the speed of timed policies like it, and what is around them.

    Each fidelity trains anew. `reaching`: for each, the share of such trials that it trains; by default all.
    A policy of 32-bit layers only is the baseline and is not trained.
    """
    if policy.is_full_precision or not timed:
        return NO_TIME
    as_wide = [one for one in timed if one.policy.width == policy.width] or list(timed)
    alike = [one for one in as_wide if one.relearns == relearns(policy)] or as_wide
    shares = [1.0] * len(recipe.fidelities) if reaching is None else reaching
    steps = sum(
        part * recipe.steps_for(policy, share) for part, share in zip(shares, recipe.fidelities, strict=True)
    )
    around = _mixed([one.around_s for one in alike]).times(sum(shares))
    return _mixed([one.step_s for one in alike]).times(steps) + around


def trials_span(
    *,
    anchors: Sequence[PrecisionPolicy],
    others: Sequence[PrecisionPolicy],
    trials: int,
    recipe: TrialRecipe,
    timed: Sequence[TimedTrial],
) -> tuple[Span, Span]:
    """The uniform policies, each known, and the rest, which is like `others` on average.

    A sampler that favours few bits or many keeps to one half of what is drawn at random: the ends are those
    of the cheaper and of the dearer quarter. Where there are several fidelities, at least none of them goes
    on from the lowest, at most all to the end; likely one in `reduction` from each.
    """
    first = sum((trial_span(policy, recipe, timed) for policy in anchors[:trials]), NO_TIME)
    left = max(trials - len(anchors), 0)
    if not left or not others:
        return first, NO_TIME
    places = range(len(recipe.fidelities))
    none, some = ([float(place == 0) for place in places], [recipe.reduction**-place for place in places])
    least, likely, most = (
        [trial_span(policy, recipe, timed, reaching) for policy in others] for reaching in (none, some, None)
    )
    count = len(others)
    rest = Span(
        least_s=sorted(span.least_s for span in least)[count // 4],
        likely_s=sum(span.likely_s for span in likely) / count,
        most_s=sorted(span.most_s for span in most)[(3 * count) // 4],
    )
    return first, rest.times(left)


def steps_range(
    policies: Iterable[PrecisionPolicy], recipe: TrialRecipe, *, may_stop: bool
) -> tuple[int, int]:
    """The fewest and the most steps that one of the policies trains for, at all fidelities together.

    `may_stop`: whether the fewest are those of the lowest fidelity alone.
    """
    least = recipe.fidelities[:1] if may_stop else recipe.fidelities
    steps = [
        (
            sum(recipe.steps_for(policy, share) for share in least),
            sum(recipe.steps_for(policy, share) for share in recipe.fidelities),
        )
        for policy in policies
    ] or [(0, 0)]
    return min(fewest for fewest, _ in steps), max(most for _, most in steps)


def profile_span(*, policies: int, build_s: float, pass_s: float, turns: int, turn_s: float) -> Span:
    """Timing a profile: each policy is compiled, then timed in turns; a noisy machine has them repeated.

    Units: `build_s` of compiling one, `pass_s` of one pass, `turn_s` the least that a turn lasts.
    """
    once = policies * (build_s + turns * max(turn_s, 14 * pass_s))
    return Span(least_s=once, likely_s=once, most_s=NOISE_REPEATS * once)


def _mixed(spans: Sequence[Span]) -> Span:
    return Span(
        least_s=min(span.least_s for span in spans),
        likely_s=sum(span.likely_s for span in spans) / len(spans),
        most_s=max(span.most_s for span in spans),
    )
