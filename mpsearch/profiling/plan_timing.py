"""Seconds of the steps of compiled models, each among the others as in a real pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mpsearch.hardware.measurement import Measurement, PassMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling.random_layer import random_input, random_layer
from mpsearch.profiling.timer import (
    Call,
    PassSettings,
    Timing,
    single_calls,
    turn_of,
    without_garbage_collection,
)
from mpsearch.runtime.compiled_model import CompiledModel

Floats = NDArray[np.float64]
# Noise of a pass over what a 32-bit layer's extra may be, both relative to the pass: about 1% and 5%.
_DRAWN_TO_0 = 0.2
_REFERENCE = LayerShape(
    operator="conv2d", batch=1, in_channels=64, out_channels=64, spatial=(8, 8), kernel=(3, 3), padding=(1, 1)
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassSamples:
    """One compiled model. Shape: step_s (R, S), of `shapes`; pass_s (P,), of whole passes."""

    shapes: tuple[StepShape, ...]
    step_s: Floats
    pass_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    pass_s: float
    break_s: float
    extra_s: dict[StepShape, float]


@dataclass(slots=True)
class PlanSamples:
    """All that was timed of the plans of one model."""

    of_step: dict[StepShape, list[Floats]] = field(default_factory=dict)
    of_model: list[PassSamples] = field(default_factory=list)
    reference_s: list[float] = field(default_factory=list)

    def add(self, samples: PassSamples) -> None:
        self.of_model.append(samples)
        for column, shape in enumerate(samples.shapes):
            self.of_step.setdefault(shape, []).append(samples.step_s[:, column])

    def measurement(self, shape: StepShape, *, footprint_bytes: int) -> Measurement:
        """A step over all places and policies in which it appeared; what the clock could not see is 1 ns.

        A 32-bit layer takes what whole passes take more because of it: see `whole_passes`.
        """
        seconds = np.concatenate(self.of_step[shape])
        if shape.kind == "float_layer" and self.of_model:
            seconds = seconds + self._fit().extra_s.get(shape, 0.0)
        timing = Timing.of(np.maximum(seconds, 1e-9))
        return Measurement(
            shape=shape,
            latency_s=timing.median_s,
            quartiles_s=timing.quartiles_s,
            p95_s=timing.p95_s,
            p99_s=timing.p99_s,
            repetitions=timing.repetitions,
            footprint_bytes=footprint_bytes,
        )

    def whole_passes(self, model_fingerprint: str) -> PassMeasurement:
        """What whole passes take beside their steps, and how the steps' lateness adds up in them.

        pass = sum of steps + pass_s + break_s * 32-bit layers + sum of extra_s of the 32-bit layers, where
        extra_s >= 0 or < 0 is each shape's own: what such a layer leaves in the caches costs the others.
        Fitted in relative error, with the extras drawn to 0. pass_s is below 0 where the clock's readings
        between the steps cost more than the call. A tail factor is the ratio of the sums of excesses over
        the median.
        """
        fit = self._fit()
        tails = []
        for share in (0.95, 0.99):
            late = sum(_lateness(model.pass_s[:, None], share) for model in self.of_model)
            steps_late = sum(_lateness(model.step_s, share) for model in self.of_model)
            tails.append(late / steps_late if steps_late > 0 else 1.0)
        return PassMeasurement(
            model_fingerprint=model_fingerprint,
            pass_s=_rounded(fit.pass_s),
            break_s=_rounded(fit.break_s),
            tail_p95=_rounded(tails[0]),
            tail_p99=_rounded(max(tails[1], 0.0)),
            passes=sum(len(model.pass_s) for model in self.of_model),
            reference_s=_rounded(float(np.median(self.reference_s))),
        )

    def _fit(self) -> _Fit:
        floats = [[shape for shape in model.shapes if shape.kind == "float_layer"] for model in self.of_model]
        known = list(dict.fromkeys(shape for shapes in floats for shape in shapes))
        whole = np.array([float(np.median(model.pass_s)) for model in self.of_model])
        steps = np.array([float(np.median(model.step_s, axis=0).sum()) for model in self.of_model])
        counts = np.array([[shapes.count(shape) for shape in known] for shapes in floats], dtype=float)
        columns = np.column_stack([np.ones(len(whole)), counts.sum(1), counts])
        prior = np.diag([0.0, 0.0, *[_DRAWN_TO_0 / float(np.median(whole))] * len(known)])[2:]
        a = np.concatenate([columns / whole[:, None], prior])
        y = np.concatenate([(whole - steps) / whole, np.zeros(len(known))])
        solution = np.linalg.lstsq(a, y, rcond=None)[0]
        if solution[1] <= 0:
            a[:, 1] = 0.0
            solution = np.linalg.lstsq(a, y, rcond=None)[0]
        extra_s = dict(zip(known, map(float, solution[2:]), strict=True))
        return _Fit(pass_s=float(solution[0]), break_s=max(float(solution[1]), 0.0), extra_s=extra_s)


def reference_call(threads: int) -> Call:
    """A fixed kernel: how long it takes tells how fast the machine is at the moment."""
    layer, x = random_layer(_REFERENCE, SCHEMES["w8a8"], threads=threads), random_input(_REFERENCE)
    return lambda: layer(x)


def time_plans(
    models: Sequence[CompiledModel],
    x: Tensor,
    reference: Call,
    settings: PassSettings,
) -> tuple[list[PassSamples], list[float], bool]:
    """Steps and whole passes of several models in turns, the reference's calls, and whether all was noisy."""
    steps: list[list[Floats]] = [[] for _ in models]
    passes: list[list[float]] = [[] for _ in models]
    references: list[float] = []
    shapes: list[tuple[StepShape, ...]] = [()] * len(models)
    is_noisy = True
    calls: list[Call] = [lambda model=model: model(x) for model in models]  # type: ignore[misc]
    with without_garbage_collection():
        turns = [turn_of(call, settings) for call in calls]
        of_reference = turn_of(reference, settings)
        for _attempt in range(1 + settings.patience):
            for _turn in range(settings.turns):
                references += single_calls(reference, of_reference)
                for place, (model, turn) in enumerate(zip(models, turns, strict=True)):
                    timed = model.time_steps(x, repetitions=turn.warm_up + turn.passes)
                    shapes[place] = tuple(shape for shape, _ in timed)
                    steps[place].append(np.stack([s[turn.warm_up :] for _, s in timed], axis=1))
                    passes[place] += single_calls(calls[place], turn)
            spreads = [Timing.of(seconds).spread for seconds in (*passes, references)]
            is_noisy = max(spreads) > settings.noise_limit
            if not is_noisy:
                break
    samples = [
        PassSamples(shapes=shapes[i], step_s=np.concatenate(steps[i]), pass_s=np.array(passes[i]))
        for i in range(len(models))
    ]
    return samples, references, is_noisy


def _lateness(seconds: Floats, share: float) -> float:
    """Sum over the columns of the excess of a quantile over the median. Shape: seconds (R, S)."""
    excess: Floats = np.quantile(seconds, share, axis=0) - np.median(seconds, axis=0)
    return float(excess.sum())


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
