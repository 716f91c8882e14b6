"""AdamW's steps, without what `torch.optim.AdamW` does around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.adamw import adamw


class FusedSteps:
    """What `optimizer.step()` does, in one call for all groups of the same learning rate and decay.

    Checks and hooks of the optimizer, group by group, cost more than the arithmetic of small parameters. Its
    groups say what is stepped and how; the moments are kept here.

    Source: Loshchilov and Hutter 2017, arXiv:1711.05101.
    """

    def __init__(self, optimizer: AdamW) -> None:
        self._groups = optimizer.param_groups
        self._moments: dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """By the gradients that there are."""
        alike: dict[tuple[float, ...], list[nn.Parameter]] = {}
        for group in self._groups:
            key = (group["lr"], group["weight_decay"], *group["betas"], group["eps"])
            alike.setdefault(key, []).extend(p for p in group["params"] if p.grad is not None)
        for (rate, decay, beta1, beta2, epsilon), parameters in alike.items():
            if not parameters:
                continue
            first, second, steps = zip(*map(self._moments_of, parameters), strict=True)
            adamw(
                list(parameters),
                [parameter.grad for parameter in parameters if parameter.grad is not None],
                list(first),
                list(second),
                [],
                list(steps),
                fused=True,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=rate,
                weight_decay=decay,
                eps=epsilon,
                maximize=False,
            )

    def _moments_of(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor, Tensor]:
        known = self._moments.get(parameter)
        if known is None:
            known = torch.zeros_like(parameter), torch.zeros_like(parameter), torch.zeros(())
            self._moments[parameter] = known
        return known
