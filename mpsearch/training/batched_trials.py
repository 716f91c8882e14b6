"""Many trials in one pass: their policies are trained on the same batches at the same time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from mpsearch.errors import ShapeError, TrialError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.layers import QuantLayer
from mpsearch.quant.swap import calibrate
from mpsearch.training.baseline import Baseline
from mpsearch.training.batched_loss import BatchedLoss
from mpsearch.training.batched_training import OnStep, Student, fit_together
from mpsearch.training.device import seeded, trial_device
from mpsearch.training.layout import prepare_model
from mpsearch.training.parameter_rules import low_bit_decay, trial_optimizer
from mpsearch.training.policy_layout import lie_in_channels
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.statistics_samples import trial_statistics
from mpsearch.training.student import new_student
from mpsearch.training.task import Task
from mpsearch.training.trial import TrialResult, baseline_model, run_trial
from mpsearch.training.trial_data import inputs_of, trial_data
from mpsearch.training.trial_loss import TrialLoss
from mpsearch.training.trial_score import Scored, scored

LOG = logging.getLogger(__name__)

# What a step of several policies does not do. Each must be off.
ONE_BY_ONE = (
    "feature_distillation",
    "progressive",
    "freeze_oscillating",
    "ema",
    "prune",
    "dense_sparse_dense",
    "gradient_bits",
    "fold_batch_norm",
)


def run_trials(
    task: Task,
    baseline: Baseline,
    policies: Sequence[PrecisionPolicy],
    recipe: TrialRecipe,
    *,
    share: float = 1.0,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> list[TrialResult | TrialError]:
    """What `run_trial` finds out of each policy, or why it failed: in the order of the policies.

    All are calibrated and scored as `run_trial` does it, and trained together: a step takes one batch for
    all of them, each at its own learning rate and for its own number of steps. Sums may be rounded in another
    order, and scores then differ as those of other seeds do; the same arguments give the same ones to the
    bit. `seconds` of a result is its share of the time of all.

    Where the recipe or the model cannot be batched (`why_one_by_one`), the trials run one after the other,
    and the log says so.

    Raises: ConfigError if a policy names an unknown layer.
    """
    reason = _asked_one_by_one(recipe)
    if reason is None and len(policies) > 1:
        trials = _Trials(task=task, baseline=baseline, recipe=recipe, share=share, seed=seed, on_step=on_step)
        try:
            return trials.run(policies)
        except ShapeError as error:
            reason = str(error)
    if reason is not None:
        LOG.info("Training %d policies of task %r one by one: %s", len(policies), task.name, reason)
    results: list[TrialResult | TrialError] = []
    for place, policy in enumerate(policies):
        try:
            progress = None if on_step is None else partial(on_step, place)
            results.append(
                run_trial(task, baseline, policy, recipe, share=share, seed=seed, on_progress=progress)
            )
        except TrialError as error:
            results.append(error)
    return results


def why_one_by_one(task: Task, recipe: TrialRecipe) -> str | None:
    """Why policies of this task are not trained in one batch, in a sentence; None where they are."""
    reason = _asked_one_by_one(recipe)
    if reason is None:
        try:
            lie_in_channels(prepare_model(task.new_model()), task.train.inputs)
        except ShapeError as error:
            reason = str(error)
    return reason


def _asked_one_by_one(recipe: TrialRecipe) -> str | None:
    switched_on = [name for name in ONE_BY_ONE if getattr(recipe, name)]
    if switched_on:
        return f"`{switched_on[0]}: {getattr(recipe, switched_on[0])}` trains one policy at a time."
    if recipe.device != "cpu":
        return f"`device: {recipe.device}` trains one policy at a time."
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trials:
    task: Task
    baseline: Baseline
    recipe: TrialRecipe
    share: float
    seed: int
    on_step: OnStep | None

    def run(self, policies: Sequence[PrecisionPolicy]) -> list[TrialResult | TrialError]:
        """Raises: ShapeError if the model cannot be batched."""
        started = time.perf_counter()
        found: dict[int, TrialResult | TrialError] = {}
        with seeded(self.seed, trial_device(self.recipe.device)):
            calibrated: dict[int, Scored] = {}
            students: list[Student] = []
            teacher = baseline_model(self.task, self.baseline)
            in_channels = lie_in_channels(teacher, self.task.train.inputs)
            steps = [self.recipe.steps_for(policy, self.share) for policy in policies]
            data = trial_data(self.task, self.recipe, steps=max(steps), seed=self.seed)
            before, after = trial_statistics(
                self.task, self.baseline, teacher, self.recipe, data.statistics, seed=self.seed
            )
            for place, policy in enumerate(policies):
                if policy.is_full_precision:
                    found[place] = run_trial(self.task, self.baseline, policy, self.recipe)
                    continue
                try:
                    model = new_student(teacher, policy, self.recipe)
                    calibrate(model, inputs_of(data.calibration, trial_device(self.recipe.device)))
                    calibrated[place] = scored(model, self.task, before)
                except TrialError as error:
                    found[place] = error
                    continue
                students.append(self._student(place, model, policy, steps[place]))
            loss = TrialLoss(
                task=self.task,
                recipe=self.recipe,
                teacher=teacher,
                memory=self.baseline.memory,
                seed=self.seed,
            )
            fit_together(
                students,
                data.batches,
                BatchedLoss(one=loss),
                in_channels=in_channels,
                bfloat16=self.recipe.bfloat16,
                on_step=self.on_step,
            )
            tuned = {
                student.place: self._tuned(student, calibrated[student.place], after) for student in students
            }
        seconds = (time.perf_counter() - started) / len(policies)
        for student in students:
            found[student.place] = _result(calibrated[student.place], tuned[student.place], student, seconds)
        return [found[place] for place in range(len(policies))]

    def _student(self, place: int, model: nn.Module, policy: PrecisionPolicy, steps: int) -> Student:
        optimizer = trial_optimizer(model, policy, self.recipe)
        rules = [_annealing(model)]
        if self.recipe.low_bit_decay_until < 1:
            rules.append(low_bit_decay(optimizer, self.recipe.low_bit_decay_until))
        return Student(place=place, model=model, optimizer=optimizer, steps=steps, before_step=rules)

    def _tuned(self, student: Student, calibrated: Scored, statistics: Split | None) -> Scored | TrialError:
        if student.failure is not None:
            return student.failure
        if not student.steps:
            return calibrated
        try:
            return scored(student.model, self.task, statistics)
        except TrialError as error:
            return error


def _annealing(model: nn.Module) -> Callable[[float], None]:
    """What `anneal_quantizers` does, without looking for the quantizers at every step."""
    layers = [module for module in model.modules() if isinstance(module, QuantLayer)]
    quantizers = [q for layer in layers for q in (layer.weight_quantizer, layer.activation_quantizer)]

    def rule(t: float) -> None:
        for quantizer in quantizers:
            quantizer.anneal(t)

    return rule


def _result(
    calibrated: Scored, tuned: Scored | TrialError, student: Student, seconds: float
) -> TrialResult | TrialError:
    if isinstance(tuned, TrialError):
        return tuned
    best = max(calibrated, tuned, key=lambda found: (found.score, -found.loss))
    return TrialResult(
        score=best.score,
        loss=best.loss,
        calibrated_score=calibrated.score,
        seconds=seconds,
        steps=student.steps,
        curve=tuple(student.curve),
        state_dict=best.state_dict,
    )
