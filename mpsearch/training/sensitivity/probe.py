"""What a sensitivity method is asked: how much worse a trained model becomes with one choice lowered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Generator

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme
from mpsearch.training.baseline import Baseline
from mpsearch.training.device import trial_device
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.statistics_samples import trial_statistics
from mpsearch.training.task import Task
from mpsearch.training.trial import baseline_model

SAMPLES = 512
_MOST_STATISTICS = 512

Added = tuple[NDArray[np.float64], ...]  # of each choice, what each of its schemes adds, lowest first
OnProgress = Callable[[int, int, str], None]  # (done, total, what comes next)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredChoice:
    """Layers that share one scheme, and which schemes they may take, lowest first."""

    name: str
    layers: tuple[str, ...]
    schemes: tuple[Scheme, ...]


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: the samples are kept
class SensitivityProbe:
    """A trained task, what its layers may take, and how many samples are looked at.

    `choices` in the order of the answer; `pinned` are the schemes of all other layers. `seed` decides which
    samples, and every other draw.
    """

    task: Task
    baseline: Baseline
    recipe: TrialRecipe
    choices: tuple[LoweredChoice, ...]
    pinned: Mapping[str, Scheme]
    samples: int = SAMPLES
    seed: int = 0

    @cached_property
    def validation(self) -> Split:
        """The samples whose loss is asked for; the score of trials is the mean over all of that split."""
        return self.task.validation.sample(self.samples, Generator().manual_seed(self.seed))

    @property
    def statistics(self) -> Split | None:
        """What BatchNorm is re-estimated on where nothing is trained; None where the recipe does not."""
        return self._statistics[0]

    @property
    def tuned_statistics(self) -> Split | None:
        """The same after training."""
        return self._statistics[1]

    @cached_property
    def _statistics(self) -> tuple[Split | None, Split | None]:
        count = min(self.recipe.bn_samples, _MOST_STATISTICS)
        samples = self.task.train.sample(count, Generator().manual_seed(self.seed + 1))
        teacher = baseline_model(self.task, self.baseline).to(trial_device(self.recipe.device))
        return trial_statistics(self.task, self.baseline, teacher, self.recipe, samples, seed=self.seed)

    @cached_property
    def calibration(self) -> Split:
        """Training samples that the quantizers of activations are fitted to."""
        return self.task.train.sample(self.recipe.calibration_samples, Generator().manual_seed(self.seed + 2))

    def policy(self, codes: Sequence[int]) -> PrecisionPolicy:
        """Each choice at a place among its schemes. Shape: codes (C,)."""
        taken = dict(self.pinned)
        for choice, code in zip(self.choices, codes, strict=True):
            taken |= dict.fromkeys(choice.layers, choice.schemes[code])
        return PrecisionPolicy(taken)

    @property
    def highest(self) -> list[int]:
        """Codes of the policy with every choice at its highest scheme."""
        return [len(choice.schemes) - 1 for choice in self.choices]

    def lowered(self) -> list[tuple[int, int, PrecisionPolicy]]:
        """(choice, code, policy) of all policies that differ from the highest in one choice."""
        highest = self.highest
        return [
            (place, code, self.policy([*highest[:place], code, *highest[place + 1 :]]))
            for place in range(len(self.choices))
            for code in range(highest[place])
        ]
