"""The training of one trial, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.annealing import anneal_quantizers
from mpsearch.quant.gradient import low_bit_gradients
from mpsearch.quant.swap import calibrate
from mpsearch.training.device import device_of
from mpsearch.training.feature_distillation import FeaturePoint, watched
from mpsearch.training.freeze_oscillating import FreezeOscillating
from mpsearch.training.loop import Progress, cosine, fit
from mpsearch.training.parameter_rules import carry_state, low_bit_decay, trial_optimizer
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.sparse_weights import (
    DenseSparseDense,
    SparseWeights,
    dense_sparse_dense_rate,
    ternary_weights,
    weights_with_zero,
)
from mpsearch.training.stages import Stage, stages
from mpsearch.training.student import keep_learnt_quantizers, lowered
from mpsearch.training.trial_data import TrialData, inputs_of
from mpsearch.training.trial_loss import TrialLoss
from mpsearch.training.weight_average import WeightAverage

Rule = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FineTuning:
    """How a policy's student is trained for `steps` batches of `data`.

    `source` is the 32-bit model that students are made from; `points` are where features are compared.
    """

    policy: PrecisionPolicy
    recipe: TrialRecipe
    steps: int
    data: TrialData
    loss: TrialLoss
    source: nn.Module
    points: tuple[FeaturePoint, ...]

    def run(
        self, student: nn.Module, on_progress: Progress | None = None
    ) -> tuple[nn.Module, tuple[float, ...]]:
        """The trained student, which is `student` itself if there is one stage, and the loss of every step.

        Raises: TrialError if a loss is NaN or infinite.
        """
        optimizer: torch.optim.Optimizer | None = None
        losses: list[float] = []
        current = self.policy
        for stage in stages(self.policy, self.steps, progressive=self.recipe.progressive):
            before = student
            if stage.policy != current:
                student, current = self._lowered(student, stage, is_first=optimizer is None), stage.policy
            following = trial_optimizer(student, self.policy, self.recipe)
            if optimizer is not None:
                carry_state((before, optimizer), (student, following))
            optimizer = following
            losses += self._stage(student, optimizer, stage, on_progress)
        return student, tuple(losses)

    def _lowered(self, student: nn.Module, stage: Stage, *, is_first: bool) -> nn.Module:
        following = lowered(student, self.source, stage.policy, self.recipe)
        calibrate(following, inputs_of(self.data.calibration, device_of(student)))
        if not is_first:  # before training, nothing is learnt
            keep_learnt_quantizers(student, following)
        return following

    def _stage(
        self,
        student: nn.Module,
        optimizer: torch.optim.Optimizer,
        stage: Stage,
        on_progress: Progress | None,
    ) -> tuple[float, ...]:
        count = stage.end - stage.first
        rate_at = dense_sparse_dense_rate(cosine) if self.recipe.dense_sparse_dense else cosine
        average = None
        if self.recipe.ema is not None and stage.end == self.steps:
            average = WeightAverage(student, self.recipe.ema)

        def overall(t: float) -> float:
            return (stage.first + t * count) / self.steps

        def in_turn(rules: list[Rule]) -> Rule:
            def apply(t: float) -> None:
                for rule in rules:
                    rule(overall(t))

            return apply

        def step_loss(step: int, output: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            return self.loss(stage.first + step, output, inputs, targets, features=features)

        def report(done: int, _steps: int, loss: float) -> None:
            if on_progress is not None:
                on_progress(stage.first + done, self.steps, loss)

        with (
            watched(student, self.loss.teacher, self.points) as features,
            low_bit_gradients(student, self.recipe.gradient_bits),
        ):
            losses = fit(
                student,
                optimizer,
                islice(self.data.batches, count),
                step_loss,
                steps=count,
                rate_at=lambda t: rate_at(overall(t)),
                bfloat16=self.recipe.bfloat16,
                before_step=in_turn(self._before_step(student, optimizer)),
                after_step=in_turn(self._after_step(student, average)),
                on_progress=report,
            )
        if average is not None:
            average.load()
        return losses

    def _before_step(self, student: nn.Module, optimizer: torch.optim.Optimizer) -> list[Rule]:
        rules: list[Rule] = [partial(anneal_quantizers, student)]
        if self.recipe.low_bit_decay_until < 1:
            rules.append(low_bit_decay(optimizer, self.recipe.low_bit_decay_until))
        return rules

    def _after_step(self, student: nn.Module, average: WeightAverage | None) -> list[Rule]:
        """In this order: the average is of weights that other rules are done with."""
        recipe = self.recipe
        rules: list[Rule] = []
        if recipe.freeze_oscillating is not None:
            rules.append(FreezeOscillating(student, recipe.freeze_oscillating))
        if recipe.dense_sparse_dense:
            rules.append(DenseSparseDense(weights_with_zero(student), recipe.dense_sparse_dense))
        if recipe.prune:
            sparse = SparseWeights(ternary_weights(student), recipe.prune)
            rules.append(lambda _t: sparse.zero())
        if average is not None:
            rules.append(lambda _t: average.update())
        return rules
