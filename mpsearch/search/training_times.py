"""How long a training takes, from those that have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.recipe import TrialRecipe

_RECENT = 200  # trainings that it is learnt from


class TrainingTimes:
    """seconds = around + steps * each, by least squares of the recent trainings, neither below 0.

    Before any has ended, a step is 1 and what is around it 0: only ratios matter then.
    """

    def __init__(self, recipe: TrialRecipe, records: Iterable[TrialRecord]) -> None:
        self._recipe = recipe
        spent = np.array([pair for record in records for pair in _trainings(record)][-_RECENT:], dtype=float)
        self._around, self._each = 0.0, 1.0
        if len(spent):
            steps, seconds = spent.reshape(-1, 2).T
            varies = float(steps.var())
            each = float(np.cov(steps, seconds, bias=True)[0, 1]) / varies if varies > 0 else 0.0
            self._each = max(0.0, each)
            self._around = max(0.0, float(seconds.mean() - self._each * steps.mean()))

    def seconds(self, policy: PrecisionPolicy, share: float) -> float:
        """Of a training of that policy for `share` of its steps."""
        return max(self._around + self._each * self._recipe.steps_for(policy, share), 1e-9)


def _trainings(record: TrialRecord) -> Iterator[tuple[int, float]]:
    """Steps and seconds of each of a trial's trainings."""
    yield from ((rung.steps, rung.seconds) for rung in record.rungs)
    if record.is_complete:
        done = sum(rung.steps for rung in record.rungs), sum(rung.seconds for rung in record.rungs)
        yield record.steps - done[0], record.seconds - done[1]
