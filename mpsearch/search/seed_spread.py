"""How far scores of one policy lie apart when it is trained with other seeds, learnt from a run's repeats."""

from __future__ import annotations

from collections.abc import Iterable

from mpsearch.search.trial_record import TrialRecord


def seed_spread(records: Iterable[TrialRecord], samples: int) -> float | None:
    """Variance of a score between seeds, in units of score (1 - score): one value for the whole run.

    (1/n + sum of (s_ij - s_i)² / (s_i (1 - s_i))) / (1 + sum of (k_i - 1)), over policies i with k_i seeds

    s_i is a policy's mean. Few repeats tell little: they are joined by one that says 1/n, which is what seeds
    differ by whose errors on the n `samples` are independent. None where nothing is repeated, or scores leave
    0..1.
    """
    repeated = [record for record in records if record.seeds > 1 and 0 <= record.accuracy <= 1]
    if not repeated:
        return None
    squares = 0.0
    for record in repeated:
        share = (record.accuracy * samples + 0.5) / (samples + 1)  # no score is certain
        deviations = (training.accuracy - record.accuracy for training in record.trainings)
        squares += sum(deviation**2 for deviation in deviations) / (share * (1 - share))
    return (1 / samples + squares) / (1 + sum(record.seeds - 1 for record in repeated))


def samples_worth(samples: int, seeds: int, spread: float) -> float:
    """On how many samples a score would be as uncertain that no seed moves: 1 / (1/n + spread / seeds).

    The n `samples` are the same for all seeds, so however many seeds, it is less than n.
    """
    return 1 / (1 / samples + spread / seeds)
