"""The last word: the front on data that no search has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mpsearch.search.events import Event, StageProgress, StageStarted
from mpsearch.search.run_facts import RunFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.baseline import Baseline
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task
from mpsearch.training.trial import baseline_model, restore_trial_model, test_score
from mpsearch.training.weights_file import read_weights


def score_front_on_test(
    facts: RunFacts,
    task: Task,
    baseline: Baseline,
    recipe: TrialRecipe,
    *,
    folder: RunFolder,
    front: Sequence[TrialRecord],
    emit: Callable[[Event], None],
) -> RunFacts:
    """The facts with a test score for the baseline and each trial on the front that has its weights.

    Scores that are there already are kept: each model reads the test split once.
    """
    missing = [r for r in front if r.number not in facts.test_scores and folder.checkpoint(r.number).exists()]
    has_baseline = facts.baseline.test_score is not None
    if task.test is None or (has_baseline and not missing):
        return facts
    emit(StageStarted(stage="test", detail="the front on the test split"))
    scored = facts.baseline
    if not has_baseline:
        scored = replace(scored, test_score=test_score(task, baseline_model(task, baseline)))
    scores = dict(facts.test_scores)
    for done, record in enumerate(missing):
        what = f"trial {record.number}"
        emit(StageProgress(stage="test", done=done, total=len(missing), what=what))
        weights, _ = read_weights(folder.checkpoint(record.number))
        scores[record.number] = test_score(task, restore_trial_model(task, record.policy, weights, recipe))
    emit(StageProgress(stage="test", done=len(missing), total=len(missing), what="done"))
    return replace(facts, baseline=scored, test_scores=scores)
