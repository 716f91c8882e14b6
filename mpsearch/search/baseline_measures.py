"""What the trained 32-bit weights tell before any trial: compressed sizes, the loss of a constant answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from mpsearch.cost.layer_terms import CompressedWeights
from mpsearch.errors import RunError
from mpsearch.quant.compressed_weights import compressed_weights
from mpsearch.search.objective import COMPRESSED_SIZE, OBJECTIVES
from mpsearch.search.preparation import TracedTask
from mpsearch.search.run_facts import RunFacts
from mpsearch.search.space import SearchSpace
from mpsearch.search.width_tasks import Baselines
from mpsearch.training.baseline import Baseline
from mpsearch.training.constant_loss import constant_loss
from mpsearch.training.layout import prepare_model
from mpsearch.training.task import Task


def compressed_sizes(
    space: SearchSpace, traced: TracedTask, baselines: Baselines, facts: RunFacts | None
) -> dict[float | None, CompressedWeights] | None:
    """By width, what each layer's weights would take compressed: found now, or as a run that goes on has it.

    None for a run that was begun without.

    Raises: RunError if such a run is asked for it.
    """
    if facts is None:
        return {
            width: compressed_weights(
                _trained(model.task, baselines[width]), traced.resolved.schemes, space.trial.quantizers
            )
            for width, model in traced.models.items()
        }
    found = {
        width: baseline.compressed_weights
        for width, baseline in zip(traced.models, facts.baselines, strict=True)
    }
    known: dict[float | None, CompressedWeights] = {
        width: weights for width, weights in found.items() if weights is not None
    }
    if len(known) == len(found):
        return known
    if COMPRESSED_SIZE.name in {*_names(space), *space.budgets.bounds()}:
        raise RunError(
            f"Every trial must tell what an objective or budget is about; those that are here tell no "
            f"{COMPRESSED_SIZE.name}: the run was begun by an older mpsearch. Choose another --out."
        )
    return None


def with_constant_loss(
    facts: RunFacts, space: SearchSpace, traced: TracedTask, baselines: Baselines
) -> RunFacts:
    """The facts with the loss of a constant answer, where loss is an objective.

    Raises: as `constant_loss`.
    """
    if OBJECTIVES["loss"].name not in _names(space) or facts.baseline.constant_loss is not None:
        return facts
    first = next(iter(baselines.values()))
    found = constant_loss(_trained(traced.task, first), traced.task)
    return replace(facts, baseline=replace(facts.baseline, constant_loss=found))


def _names(space: SearchSpace) -> Iterable[str]:
    return [objective.name for objective in space.objectives]


def _trained(task: Task, baseline: Baseline) -> nn.Module:
    model = prepare_model(task.new_model())
    model.load_state_dict(baseline.state_dict)
    return model
