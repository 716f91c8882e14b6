"""A hardware profile in a second or two: good for the medians of a plan, not for a search."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.timer import PASS_SETTINGS, PassSettings, TimerSettings
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.search.estimate import NOISE_REPEATS, Span, profile_span

LONGEST_PASS_S = 0.02  # of the 32-bit model in torch; beyond, quick is not quick
_STEPS = TimerSettings(rounds=9, least_rounds=3, warm_up_s=1e-3, budget_s=0.05, patience=0)
_PASSES = PassSettings(turns=2, contexts=1, patience=0)
_WHOLE_OVER_QUICK = 4.0  # how much longer `profile_machine` times one call by itself than `_STEPS`
_TURN_S = PASS_SETTINGS.warm_up_s + PASS_SETTINGS.turn_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuickProfile:
    """What was measured; `seconds` it took, of which `start_s` before the first of `parts`."""

    profile: HardwareProfile
    seconds: float
    start_s: float
    parts: int

    def whole_span(self, models: Sequence[ProfiledModel], pass_s: float) -> Span:
        """What measuring it as a search does would take. `pass_s`: a pass of an average policy."""
        part_s = (self.seconds - self.start_s) / max(self.parts, 1)
        if any(model.trace.graph is None for model in models):
            whole_s = self.parts * part_s * _WHOLE_OVER_QUICK
            whole = Span(least_s=whole_s, likely_s=whole_s, most_s=NOISE_REPEATS * whole_s)
        else:
            policies = sum(
                len(model.covering(model.steps(), contexts=PASS_SETTINGS.contexts, seed=0))
                for model in models
            )
            build_s = max(part_s - _PASSES.turns * max(_TURN_S, 14 * pass_s), 0.0)
            whole = profile_span(
                policies=policies, build_s=build_s, pass_s=pass_s, turns=PASS_SETTINGS.turns, turn_s=_TURN_S
            )
        return whole + Span.exactly(self.start_s)


def is_quick(models: Sequence[ProfiledModel], threads: int) -> bool:
    """Whether a pass of each 32-bit model in torch, one after the other, is short enough."""
    seconds = 0.0
    with torch_threads(threads), torch.inference_mode():
        for model in models:
            was_training = model.model.training
            model.model.eval()
            model.model(*model.example_inputs)
            started = time.perf_counter()
            model.model(*model.example_inputs)
            seconds += time.perf_counter() - started
            model.model.train(was_training)
    return seconds <= LONGEST_PASS_S


def quick_profile(models: Sequence[ProfiledModel], threads: int) -> QuickProfile:
    """Time the steps of the models a few times each.

    Raises: KernelError if the kernels are not built.
    """
    parts, start_s = 0, 0.0
    started = time.perf_counter()

    def on_progress(_done: int, total: int, _what: str) -> None:
        nonlocal parts, start_s
        if not parts:
            start_s = time.perf_counter() - started
        parts = total

    measured = profile_machine(
        name="measured just now",
        threads=threads,
        models=models,
        on_progress=on_progress,
        settings=_STEPS,
        pass_settings=_PASSES,
    )
    return QuickProfile(profile=measured, seconds=time.perf_counter() - started, start_s=start_s, parts=parts)
