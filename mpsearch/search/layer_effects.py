"""What each layer loses and saves at each precision, learnt from the trials of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError, RunError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES, Scheme
from mpsearch.search.accuracy_model import AccuracyModel, LeftOut
from mpsearch.search.costs import Costs
from mpsearch.search.repeated_trials import trainings_of
from mpsearch.search.resolve import Choice, resolve
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

Verdict = Literal["safe", "costly", "unclear"]

LEAST_TRIALS = 8
TOLERANCE = 0.01
_PLACES = {scheme: place for place, scheme in enumerate(SCHEMES.values())}
_POOR_R2 = 0.5
_NOISE_SHARE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEffect:
    """One choice of the reference policy takes `scheme`, and nothing else changes.

    `accuracy_change`, a share of 1, is negative where accuracy is lost: what the layer does by and large. 95%
    of what the trials leave possible lies in `interval`. `retrained_interval` also holds what single policies
    show beyond the sum of their layers: a training of this very change scores within it of the reference's
    score. `trials`: complete trials in which the choice takes the scheme. Costs are exact; saved > 0 is
    cheaper; `latency_saved_on`: device -> seconds, on further devices. `verdict`, by `interval` at the
    tolerance asked for: safe (surely costs less), costly (surely costs more), unclear. `trials_needed`: how
    many more trials with this scheme there, and most other layers as in the reference, would tell, were
    `accuracy_change` right; 0 where the verdict is clear, None where 55 would not tell.
    """

    choice: str
    layers: tuple[str, ...]
    scheme: Scheme
    accuracy_change: float
    interval: tuple[float, float]
    retrained_interval: tuple[float, float]
    trials: int
    latency_saved_s: float
    memory_saved_bytes: int
    energy_saved_j: float
    latency_saved_on: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict
    trials_needed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceVerdict:
    """What one choice can do from its scheme in the reference, downwards.

    `can_go_to`: the lowest scheme that is safe; None where none is. `not_below`: where a scheme is surely
    costly, the one above it (`can_go_to`, where that is lower); else None. `effects`: all other schemes,
    lowest precision first.
    """

    choice: str
    layers: tuple[str, ...]
    reference: Scheme
    reference_trials: int
    effects: tuple[LayerEffect, ...]
    can_go_to: LayerEffect | None
    not_below: Scheme | None

    @property
    def lower(self) -> tuple[LayerEffect, ...]:
        """Effects of the schemes below the one in the reference, highest precision first."""
        place = _PLACES[self.reference]
        return tuple(e for e in reversed(self.effects) if _PLACES[e.scheme] < place)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitQuality:
    """How well the sum of effects explains the scores. Accuracies are shares of 1.

    `spread`: standard deviation of the scores; `residual`: that of the scores around what the model expects
    of each from all others; `sampling`: what drawing the validation samples alone would give. `explained`:
    share of the variance that is explained so (R^2, left out one by one); `rank_correlation` (Spearman)
    likewise; both 0 where all scores are equal. `scale`: where effects add up best.
    """

    trials: int
    failed: int
    samples: int
    residual: float
    sampling: float
    spread: float
    explained: float
    rank_correlation: float
    scale: str

    @property
    def warning(self) -> str | None:
        """Why the effects should not be relied on; None where they may be, or scores do not differ at all."""
        if self.spread and self.explained < _POOR_R2 and self.residual > _NOISE_SHARE * self.sampling:
            return (
                f"Layer effects explain {100 * max(self.explained, 0):.0f}% of what the scores differ by: "
                "layers interact in other ways, or training is unstable. Read the effects as hints."
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointEffect:
    """Every choice of the reference goes to its lowest safe scheme at once. `trial` scored it, if one has."""

    policy: PrecisionPolicy
    trial: int | None
    accuracy_change: float
    interval: tuple[float, float]
    latency_saved_s: float
    memory_saved_bytes: int
    energy_saved_j: float
    latency_saved_on: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEffects:
    """The effects of all choices at all other schemes, from one reference policy.

    `reference_accuracy` is what the model expects of it; `reference_trial` scored it, where one has.
    `effects` are in the order of the model's layers, lowest precision first; `choices` groups them.
    `together` is None where fewer than two choices have a safe scheme.
    """

    reference: PrecisionPolicy
    reference_trial: int | None
    reference_accuracy: float
    reference_costs: Costs
    tolerance: float
    effects: tuple[LayerEffect, ...]
    choices: tuple[ChoiceVerdict, ...]
    together: JointEffect | None
    pinned: Mapping[str, Scheme]
    fit: FitQuality

    def of(self, choice: str) -> ChoiceVerdict:
        """Raises: ConfigError if there is no such choice."""
        for verdict in self.choices:
            if verdict.choice == choice:
                return verdict
        known = ", ".join(verdict.choice for verdict in self.choices)
        raise ConfigError(f"A choice must be one of {known}; got {choice!r}.")


def layer_effects(
    run: Run, reference: PrecisionPolicy | None = None, *, tolerance: float = TOLERANCE
) -> LayerEffects:
    """Fit an `AccuracyModel` to the complete trials and ask it for every change of one choice.

    A policy that was trained with several seeds tells more than one that was not: the model is given each
    score. Elsewhere it counts as one trial.

    `reference`: the policy that is changed; by default the most precise uniform policy that was trained, of
    the width that most trials have. Trials of other widths are left out: theirs are other layers.
    `tolerance`: the loss of accuracy, a share of 1, that verdicts are about.

    Raises: RunError if the space leaves nothing to choose, fewer than `LEAST_TRIALS` trials are complete, or
    a score lies outside of 0..1; ConfigError if the reference is not a policy of the space, or the tolerance
    is not in 0..1.
    """
    if not 0 < tolerance < 1:
        raise ConfigError(f"A tolerance must lie between 0 and 1, such as 0.01 for a point; got {tolerance}.")
    resolved = resolve(run.space, run.model)
    if not resolved.choices:
        raise RunError(f"{run.path} leaves nothing to choose: every layer is pinned. There are no effects.")
    width = _most_tried_width(run.records) if reference is None else reference.width
    records = [record for record in run.records if record.policy.width == width]
    complete = [record for record in records if record.is_complete]
    if len(complete) < LEAST_TRIALS:
        wide = "" if width is None else f" of width {width:g}"
        raise RunError(
            f"Effects of layers need at least {LEAST_TRIALS} complete trials; {run.path} has "
            f"{len(complete)}{wide}. Continue it with `mpsearch search {run.path} --trials 30`."
        )
    trained = trainings_of(complete)
    outside = next((r for r in trained if not 0 <= r.accuracy <= 1), None)
    if outside is not None:
        raise RunError(
            f"Effects of layers are learnt from scores between 0 and 1; trial {outside.number} has "
            f"{run.metric} {outside.accuracy:.4g}. Give the task a metric within 0 and 1 to have them."
        )
    base = most_precise_trained(complete) if reference is None else reference
    codes = resolved.codes(base)
    ranks = np.array([_ranks(record.policy, resolved.choices) for record in complete])
    model = AccuracyModel(
        np.array([_ranks(record.policy, resolved.choices) for record in trained]),
        np.array([record.accuracy for record in trained]),
        samples=run.validation_samples,
    )

    cells = [
        (place, code)
        for place, choice in enumerate(resolved.choices)
        for code in range(len(choice.schemes))
        if code != codes[place]
    ]
    policies = [resolved.policy([*codes[:place], code, *codes[place + 1 :]]) for place, code in cells]
    ask = _Questions(run, model, resolved.choices, base)
    effects = tuple(
        LayerEffect(
            choice=resolved.choices[place].name,
            layers=resolved.choices[place].layers,
            scheme=resolved.choices[place].schemes[code],
            accuracy_change=answer.change,
            interval=answer.interval,
            retrained_interval=answer.retrained_interval,
            trials=int(np.sum(ranks[:, place] == _PLACES[resolved.choices[place].schemes[code]])),
            latency_saved_s=answer.latency_saved_s,
            memory_saved_bytes=answer.memory_saved_bytes,
            energy_saved_j=answer.energy_saved_j,
            latency_saved_on=answer.latency_saved_on,
            verdict=_verdict(*answer.interval, tolerance),
            trials_needed=answer.repeats,
        )
        for (place, code), answer in zip(cells, ask.answers(policies, tolerance), strict=True)
    )
    choices = tuple(
        _choice_verdict(choice, base[choice.layers[0]], ranks[:, place], effects)
        for place, choice in enumerate(resolved.choices)
    )
    number_of = {record.policy: record.number for record in reversed(complete)}
    return LayerEffects(
        reference=base,
        reference_trial=number_of.get(base),
        reference_accuracy=ask.reference_accuracy,
        reference_costs=run.costs(base),
        tolerance=tolerance,
        effects=effects,
        choices=choices,
        together=_together(ask, choices, number_of, tolerance),
        pinned=dict(resolved.pinned),
        fit=_quality(run, model, trials=len(complete), failed=len(records) - len(complete)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    change: float
    interval: tuple[float, float]
    retrained_interval: tuple[float, float]
    repeats: int | None
    latency_saved_s: float
    memory_saved_bytes: int
    energy_saved_j: float
    latency_saved_on: Mapping[str, float] = field(default_factory=dict)


class _Questions:
    """What policies lose and save against the reference: accuracy from the model, costs exactly."""

    def __init__(
        self, run: Run, model: AccuracyModel, choices: Sequence[Choice], reference: PrecisionPolicy
    ) -> None:
        self._costs = run.cost_model_at(reference.width)
        self._on_devices = run.device_models_at(reference.width)
        self._model = model
        self._choices = choices
        self.reference = reference
        self.reference_accuracy = np.nan

    def answers(self, policies: Sequence[PrecisionPolicy], tolerance: float) -> list[_Answer]:
        every = [self.reference, *policies]
        ranks = np.array([_ranks(policy, self._choices) for policy in every])
        found = self._model.changes(ranks[0], ranks[1:], tolerance=tolerance)
        self.reference_accuracy = found.reference
        codes = np.stack([self._costs.codes(policy) for policy in every])
        costs = self._costs.evaluate_batch(codes)
        further = {
            device: model.evaluate_batch(codes).latency_s for device, model in self._on_devices.items()
        }
        return [
            _Answer(
                change=float(found.change[row]),
                interval=(float(found.low[row]), float(found.high[row])),
                retrained_interval=(float(found.retrained_low[row]), float(found.retrained_high[row])),
                repeats=None if found.repeats[row] < 0 else int(found.repeats[row]),
                latency_saved_s=float(costs.latency_s[0] - costs.latency_s[row + 1]),
                memory_saved_bytes=int(costs.memory_bytes[0] - costs.memory_bytes[row + 1]),
                energy_saved_j=float(costs.energy_j[0] - costs.energy_j[row + 1]),
                latency_saved_on={
                    device: float(latency_s[0] - latency_s[row + 1]) for device, latency_s in further.items()
                },
            )
            for row in range(len(policies))
        ]


def _together(
    ask: _Questions,
    choices: Sequence[ChoiceVerdict],
    number_of: Mapping[PrecisionPolicy, int],
    tolerance: float,
) -> JointEffect | None:
    safe = [verdict.can_go_to for verdict in choices if verdict.can_go_to is not None]
    if len(safe) < 2:
        return None
    lowered = {layer: effect.scheme for effect in safe for layer in effect.layers}
    policy = PrecisionPolicy({**ask.reference, **lowered}, width=ask.reference.width)
    (answer,) = ask.answers([policy], tolerance)
    return JointEffect(
        policy=policy,
        trial=number_of.get(policy),
        accuracy_change=answer.change,
        interval=answer.interval,
        latency_saved_s=answer.latency_saved_s,
        memory_saved_bytes=answer.memory_saved_bytes,
        energy_saved_j=answer.energy_saved_j,
        latency_saved_on=answer.latency_saved_on,
    )


def _most_tried_width(records: Sequence[TrialRecord]) -> float | None:
    """Of the complete trials; None in a run without widths."""
    widths = [record.policy.width for record in records if record.is_complete]
    return max(dict.fromkeys(widths), key=widths.count, default=None)


def most_precise_trained(complete: Sequence[TrialRecord]) -> PrecisionPolicy:
    """Of the policies of some complete trials: the uniform one of most bits; without one, that of most bits.

    A uniform policy is one of the search's anchors: layers that may not take its scheme take the nearest.
    """
    anchors = [r for r in complete if r.policy.uniform_scheme or r.origin == "anchor"] or complete
    return max(anchors, key=lambda r: (_bits(r.policy), -r.number)).policy


def _bits(policy: PrecisionPolicy) -> float:
    return sum(scheme.weight_bits + scheme.activation_bits for scheme in policy.values())


def _ranks(policy: PrecisionPolicy, choices: Sequence[Choice]) -> list[int]:
    return [_PLACES[policy[choice.layers[0]]] for choice in choices]


def _verdict(low: float, high: float, tolerance: float) -> Verdict:
    if low > -tolerance:
        return "safe"
    return "costly" if high < -tolerance else "unclear"


def _choice_verdict(
    choice: Choice, reference: Scheme, taken: NDArray[np.int64], effects: Sequence[LayerEffect]
) -> ChoiceVerdict:
    own = tuple(effect for effect in effects if effect.choice == choice.name)
    place = _PLACES[reference]
    below = [effect for effect in own if _PLACES[effect.scheme] < place]
    safe = next((effect for effect in below if effect.verdict == "safe"), None)
    costly = [choice.schemes.index(effect.scheme) for effect in below if effect.verdict == "costly"]
    # Fewer bits than those of a costly scheme cost no less, unless they are seen to be safe.
    floor = max(costly, default=-1) + 1
    if safe is not None:
        floor = min(floor, choice.schemes.index(safe.scheme))
    return ChoiceVerdict(
        choice=choice.name,
        layers=choice.layers,
        reference=reference,
        reference_trials=int(np.sum(taken == place)),
        effects=own,
        can_go_to=safe,
        not_below=choice.schemes[floor] if costly else None,
    )


def _quality(run: Run, model: AccuracyModel, *, trials: int, failed: int) -> FitQuality:
    left_out: LeftOut = model.left_out()
    measured, predicted = left_out.measured, left_out.predicted
    spread = float(measured.std())
    residual = float(np.sqrt(np.mean((measured - predicted) ** 2)))
    mean_error = float(np.mean(1 - measured))
    return FitQuality(
        trials=trials,
        failed=failed,
        samples=run.validation_samples,
        residual=residual,
        sampling=float(np.sqrt(mean_error * (1 - mean_error) / run.validation_samples)),
        spread=spread,
        explained=1 - (residual / spread) ** 2 if spread else 0.0,
        rank_correlation=rank_correlation(measured, predicted) if spread else 0.0,
        scale=model.scale.name,
    )


def rank_correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Spearman's, ties sharing their mean rank."""
    ranked = [_mean_ranks(values) for values in (left, right)]
    deviations = [ranks - ranks.mean() for ranks in ranked]
    scale = float(np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum()))
    return float(deviations[0] @ deviations[1]) / scale if scale else 0.0


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return ranks
