import pytest
import torch
from torch import nn

from mpsearch.errors import TrialError
from mpsearch.training.loop import cosine, fit, one_cycle


def run(model, losses, **settings):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rates = []
    batches = [(torch.ones(2, 1), torch.zeros(2))] * len(losses)

    def batch_loss(step, output, _inputs, _targets):
        rates.append(optimizer.param_groups[0]["lr"])
        return output.mean() * losses[step]

    curve = fit(model, optimizer, batches, batch_loss, steps=len(losses), rate_at=cosine, **settings)
    return curve, rates


def test_one_cycle_rises_to_one_and_falls_to_nearly_nothing():
    rate_at = one_cycle(0.25)
    rates = [rate_at(step / 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[25] == 1
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert rates[-1] < 0.001


def test_the_learning_rate_follows_the_schedule():
    _, rates = run(nn.Linear(1, 1), [1.0] * 4)
    assert rates == pytest.approx([0.1 * cosine(step / 4) for step in range(4)])


def test_one_loss_is_returned_per_step():
    curve, _ = run(nn.Linear(1, 1), [1.0, 2.0, 0.5])
    assert len(curve) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_step_and_the_learning_rate(bad):
    with pytest.raises(TrialError, match=r"at step 1 of 3, learning rate 0\.075.*Lower the learning rate"):
        run(nn.Linear(1, 1), [1.0, bad, 1.0])


def test_gradients_are_clipped_to_the_given_norm():
    model = nn.Linear(1, 1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    run(model, [1000.0], gradient_clip=0.5)
    moved = torch.cat([(p - b).flatten() for p, b in zip(model.parameters(), before, strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.05, rel=1e-3)


def test_reduced_precision_leaves_parameters_and_losses_in_32_bits():
    model = nn.Linear(1, 1)
    curve, _ = run(model, [1.0, 1.0], bfloat16=True)
    assert model.weight.dtype == torch.float32
    assert all(isinstance(value, float) for value in curve)
