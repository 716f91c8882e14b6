"""Learning rate and weight decay of each parameter, by the bits of its layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.parameter_groups import parameter_groups
from mpsearch.training.recipe import TrialRecipe

LOW_BIT = "low_bit"  # names the group of the weights below 2 bits


def trial_optimizer(model: nn.Module, policy: PrecisionPolicy, recipe: TrialRecipe) -> torch.optim.AdamW:
    """AdamW with the recipe's rules, for a policy whose training this is in the end.

    Source: weight decay apart from the gradient: Loshchilov and Hutter 2017, arXiv:1711.05101; none on
        scales, another one on latent binary and ternary weights: Liu et al. 2020, arXiv:2003.03488.
    """
    rate = recipe.learning_rate_for(policy)
    others = recipe.learning_rate if recipe.learning_rate_by_layer else rate
    groups = parameter_groups(model)
    matrices = [parameter for parameter in groups.weights if parameter.ndim > 1]
    vectors = [parameter for parameter in groups.weights if parameter.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "lr": others, "weight_decay": recipe.weight_decay},
            {
                "params": list(groups.latent),
                "lr": rate,
                "weight_decay": recipe.low_bit_weight_decay,
                "name": LOW_BIT,
            },
            {
                "params": list(groups.scales),
                "lr": others * recipe.scale_learning_rate_factor,
                "weight_decay": 0.0,
            },
            {"params": vectors, "lr": others, "weight_decay": 0.0},
        ],
        fused=True,  # one call a step in place of eight for each of some 40 small parameters
    )


def low_bit_decay(optimizer: torch.optim.Optimizer, until: float) -> Callable[[float], None]:
    """What ends the weight decay of the weights below 2 bits once t = step / steps reaches `until`.

    Source: Ma et al. 2024 (BitNet b1.58), arXiv:2402.17764: none in the second half.
    """

    def rule(t: float) -> None:
        for group in optimizer.param_groups:
            if t >= until and group.get("name") == LOW_BIT:
                group["weight_decay"] = 0.0

    return rule


def carry_state(
    source: tuple[nn.Module, torch.optim.Optimizer], target: tuple[nn.Module, torch.optim.Optimizer]
) -> None:
    """Let the second model's optimizer go on with the moments of equally named parameters of the first's."""
    known = dict(source[0].named_parameters())
    for name, parameter in target[0].named_parameters():
        before = known.get(name)
        if before is not None and before.shape == parameter.shape and before in source[1].state:
            target[1].state[parameter] = source[1].state[before]
