"""The last word: the front on data that no search has seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from mpsearch.search.events import Event, Notice, StageProgress, StageStarted
from mpsearch.search.run_facts import BaselineScore, RunFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.trial_record import TrialRecord
from mpsearch.search.width_tasks import Baselines, Tasks
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.trial import baseline_model, restore_trial_model, test_score
from mpsearch.training.weights_file import read_weights


def score_front_on_test(
    facts: RunFacts,
    tasks: Tasks,
    baselines: Baselines,
    recipe: TrialRecipe,
    *,
    folder: RunFolder,
    front: Sequence[TrialRecord],
    emit: Callable[[Event], None],
) -> RunFacts:
    """The facts with a test score for each baseline and each trial on the front that has its weights.

    Scores that are there already are kept: each model reads the test split once. One that is not finite is
    left out, and told.
    """
    missing = [r for r in front if r.number not in facts.test_scores and folder.checkpoint(r.number).exists()]
    has_baselines = all(baseline.test_score is not None for baseline in facts.baselines)
    reference = next(iter(tasks))
    if tasks[reference].test is None or (has_baselines and not missing):
        return facts
    emit(StageStarted(stage="test", detail="the front on the test split"))

    def finite(score: float, whose: str) -> float | None:
        if math.isfinite(score):
            return score
        message = f"The test score of {whose} is {score}, and left out: see the task's metric."
        emit(Notice(message=message, is_warning=True))
        return None

    def with_test_score(found: BaselineScore, width: float | None) -> BaselineScore:
        if found.test_score is not None:
            return found
        task = tasks[width]
        score = test_score(task, baseline_model(task, baselines[width]))
        return replace(found, test_score=finite(score, "32 bits"))

    def score_of(record: TrialRecord, weights: dict[str, Tensor]) -> float:
        task = tasks[record.policy.width]
        return test_score(task, restore_trial_model(task, record.policy, weights, recipe))

    scores = dict(facts.test_scores)
    for done, record in enumerate(missing):
        what = f"trial {record.number}"
        emit(StageProgress(stage="test", done=done, total=len(missing), what=what))
        weights, _ = read_weights(folder.checkpoint(record.number))
        if (score := finite(score_of(record, weights), what)) is not None:
            scores[record.number] = score
    emit(StageProgress(stage="test", done=len(missing), total=len(missing), what="done"))
    return replace(
        facts,
        baseline=with_test_score(facts.baseline, reference),
        other_widths={
            width: replace(other, baseline=with_test_score(other.baseline, width))
            for width, other in facts.other_widths.items()
        },
        test_scores=scores,
    )
