import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.quant.batch_norm import batch_statistics, reestimate_batch_norm


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(16, 3, generator=generator) * 2 + 5 for _ in range(4)]


def test_statistics_become_the_plain_average_over_the_batches(batches):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
    model(torch.zeros(8, 3))
    reestimate_batch_norm(model, batches)
    torch.testing.assert_close(model[0].running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
    torch.testing.assert_close(model[0].running_var, torch.stack([b.var(0) for b in batches]).mean(0))


def test_modes_momentum_and_gradients_are_left_as_found(batches):
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(), nn.BatchNorm1d(3))
    model[2].eval()
    reestimate_batch_norm(model, batches)
    assert [m.training for m in model] == [True, True, False]
    assert [model[0].momentum, model[2].momentum] == [0.3, 0.1]
    assert all(p.grad is None for p in model.parameters())


def test_dropout_is_off_while_statistics_are_gathered(batches):
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(3))
    reestimate_batch_norm(model, batches)
    torch.testing.assert_close(model[1].running_mean, torch.cat(batches).mean(0))


def test_without_batch_norm_nothing_runs():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    reestimate_batch_norm(model, iter(["never looked at"]))


def test_no_batches_are_refused_and_the_statistics_kept():
    model = nn.Sequential(nn.BatchNorm1d(3))
    model(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    before = model[0].running_mean.clone()
    with pytest.raises(ConfigError, match="at least one batch"):
        reestimate_batch_norm(model, [])
    assert torch.equal(model[0].running_mean, before)


def test_a_model_of_several_inputs_gets_them_as_a_tuple(batches):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, a, b):
            return self.norm(a + b)

    model = Sum()
    reestimate_batch_norm(model, [(batches[0], batches[1])])
    torch.testing.assert_close(model.norm.running_mean, (batches[0] + batches[1]).mean(0))


def test_batch_statistics_normalizes_by_the_batch_and_changes_nothing(batches):
    model = nn.Sequential(nn.BatchNorm1d(3))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with batch_statistics(model), torch.no_grad():
        assert model(batches[0]).mean().abs() < 1e-5
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert model.training
    assert model[0].momentum == 0.1
