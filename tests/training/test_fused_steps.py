import torch
from torch import nn

from mpsearch.training.fused_steps import FusedSteps


def parameters_of(seed):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(size, generator=generator)) for size in (3, 5, 1)]


def optimizer_of(parameters):
    first, second, third = parameters
    groups = [{"params": [first]}, {"params": [second], "weight_decay": 0.1}, {"params": [third]}]
    return torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.0, fused=True)


def test_steps_are_those_of_adamw_to_the_bit():
    ours, theirs = parameters_of(0), parameters_of(0)
    optimizer, expected = optimizer_of(ours), optimizer_of(theirs)
    steps = FusedSteps(optimizer)
    for turn in range(4):
        for each in (optimizer, expected):
            each.param_groups[0]["lr"] = 1e-2 / (turn + 1)
        for one, other, slope in zip(ours, theirs, parameters_of(turn + 1), strict=True):
            one.grad, other.grad = slope.detach().clone(), slope.detach().clone()
        ours[2].grad = theirs[2].grad = None if turn == 1 else theirs[2].grad
        steps.step()
        expected.step()
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[1], parameters_of(0)[1])
