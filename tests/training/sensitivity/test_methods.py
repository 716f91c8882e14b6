"""Each method of sensitivity: what its numbers are, on a model small enough to check by hand."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import ConfigError, TrialError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.search.sensitivity import SENSITIVITIES
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.evaluate import evaluate
from mpsearch.training.recipe import BaselineRecipe, TrialRecipe
from mpsearch.training.sensitivity import supernet
from mpsearch.training.sensitivity.probe import LoweredChoice, SensitivityProbe
from mpsearch.training.sensitivity.switched_model import SwitchedLayer, choose, switched_model
from mpsearch.training.sensitivity.watched_layers import watched_model
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct
from mpsearch.training.trial import baseline_model, run_trial
from mpsearch.training.trial_data import inputs_of, trial_data

OFFERED = tuple(SCHEMES[name] for name in ("w1a1", "w4a8", "w8a8", "w32a32"))
RECIPE = TrialRecipe(steps=8, high_bit_steps=4, batch_size=32, calibration_samples=64, bn_samples=64)


def nothing(_done, _total, _what):
    pass


def images(count, seed):
    """Three classes of stripes, with noise."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    stripes = torch.stack([torch.sin(torch.arange(8) * (1.0 + k)) for k in range(3)])
    clean = stripes[targets][:, None, None, :].expand(count, 1, 8, 8)
    return Split(clean + 1.2 * torch.randn(count, 1, 8, 8, generator=generator), targets)


class SmallCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.fc1 = nn.Linear(8 * 64, 12)
        self.fc2 = nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        return self.fc2(F.relu_(self.fc1(x.flatten(1))))


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    task = Task(
        name="stripes",
        build_model=SmallCnn,
        train=images(256, seed=1),
        validation=images(96, seed=2),
        test=None,
        example_inputs=(torch.zeros(1, 1, 8, 8),),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=6, batch_size=32, learning_rate=0.05),
    )
    return SensitivityProbe(
        task=task,
        baseline=trained_baseline(task, cache_dir=tmp_path_factory.mktemp("cache")),
        recipe=RECIPE,
        choices=(
            LoweredChoice(name="conv", layers=("conv",), schemes=OFFERED),
            LoweredChoice(name="group:fc", layers=("fc1", "fc2"), schemes=OFFERED),
        ),
        pinned={},
    )


@pytest.mark.parametrize("method", SENSITIVITIES)
def test_every_method_gives_each_scheme_a_number_above_0_that_falls_with_the_bits(probe, method):
    added = SENSITIVITIES[method].measure(probe, nothing)
    assert [of_choice.shape for of_choice in added] == [(4,), (4,)]
    for of_choice in added:
        assert np.isfinite(of_choice).all()
        assert (of_choice >= 0).all()
        assert of_choice[-1] == 0
        if method != "supernet":  # trained for 32 steps
            assert of_choice[0] > 10 * of_choice[2]


@pytest.mark.parametrize("method", SENSITIVITIES)
def test_a_seed_says_it_all_and_nothing_is_left_changed(probe, method):
    before = {name: tensor.clone() for name, tensor in probe.baseline.state_dict.items()}
    torch.manual_seed(5)
    first = SENSITIVITIES[method].measure(probe, nothing)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn  # its own draws do not count
    again = SENSITIVITIES[method].measure(probe, nothing)
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name, tensor in probe.baseline.state_dict.items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("method", SENSITIVITIES)
def test_progress_is_told_to_its_end(probe, method):
    told = []
    SENSITIVITIES[method].measure(probe, lambda *progress: told.append(progress))
    assert told[-1][0] == told[-1][1] > 0
    assert all(0 <= done <= total for done, total, _ in told)


def test_loss_is_what_a_trial_of_no_steps_scores(probe):
    data = trial_data(probe.task, RECIPE, steps=0, seed=0)
    asked = replace(probe)
    statistics = data.statistics, data.statistics
    asked.__dict__.update(
        calibration=data.calibration, _statistics=statistics, validation=probe.task.validation
    )
    (of_conv, of_fc) = SENSITIVITIES["loss"].measure(asked, nothing)
    highest = baseline_model(probe.task, probe.baseline)
    reestimate_batch_norm(highest, inputs_of(data.statistics, torch.device("cpu")))
    _, loss = evaluate(highest, probe.task.validation, probe.task)
    for added, codes in ((of_conv[0], [0, 3]), (of_fc[0], [3, 0])):
        trial = run_trial(probe.task, probe.baseline, probe.policy(codes), RECIPE, share=0.0)
        assert added == pytest.approx(trial.loss - loss, rel=1e-4, abs=1e-8)


def test_a_lowering_that_breaks_the_model_counts_as_the_worst_that_does_not(probe, monkeypatch):
    from mpsearch.training.sensitivity import one_layer_loss

    losses = iter([0.5, float("nan"), 0.75, 0.625, 2.0, 0.25, 0.5])
    monkeypatch.setattr(one_layer_loss, "_loss", lambda *_: next(losses))
    of_conv, of_fc = SENSITIVITIES["loss"].measure(probe, nothing)
    assert of_conv.tolist() == [1.5, 0.25, 0.125, 0]
    assert of_fc.tolist() == [1.5, 0, 0, 0]
    monkeypatch.setattr(one_layer_loss, "_loss", lambda *_: float("nan"))
    with pytest.raises(TrialError, match="every layer at its highest scheme must be finite"):
        SENSITIVITIES["loss"].measure(probe, nothing)


def test_gradient_is_half_the_squared_product_with_the_change_of_the_output(probe):
    """Of the last layer, sample by sample with autograd."""
    alone = replace(probe, choices=(LoweredChoice(name="fc2", layers=("fc2",), schemes=OFFERED),))
    (found,) = SENSITIVITIES["gradient"].measure(alone, nothing)
    with watched_model(alone, nothing) as watched:
        (layer,) = watched.layers
        expected = 0.0
        for inputs, target in zip(*_pair(alone.validation), strict=True):
            taken = {}
            with watched.calls(lambda _layer, x, y: taken.update(x=x, y=y)):  # noqa: B023
                output = watched.model(inputs[None])
            (gradient,) = torch.autograd.grad(F.cross_entropy(output, target[None]), taken["y"])
            with torch.no_grad():
                change = layer.quantized[0](taken["x"]) - taken["y"]
            expected += 0.5 * float((gradient * change).sum()) ** 2 / 96
    assert found[0] == pytest.approx(expected, rel=1e-4)


def test_hessian_finds_the_traces_of_a_loss_whose_curvature_is_known(probe, monkeypatch):
    """Of the mean of |W x|^2 / 2 the trace over W is n_out E|x|^2, that over x is |W|^2."""
    from mpsearch.training.sensitivity import hessian_trace

    monkeypatch.setattr(hessian_trace, "DRAWS", 200)
    task = replace(
        probe.task,
        build_model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False)),
        loss=lambda output, _: output.square().sum(1).mean() / 2,
        pretrained=True,
    )
    choice = LoweredChoice(name="1", layers=("1",), schemes=OFFERED)
    asked = replace(probe, task=task, baseline=trained_baseline(task), choices=(choice,))
    (found,) = SENSITIVITIES["hessian"].measure(asked, nothing)
    with watched_model(asked, nothing) as watched, torch.no_grad():
        layer = watched.layers[0].quantized[0]
        x, weight = asked.validation.inputs.flatten(1), layer.weight
        of_weight = (
            3 * x.square().sum(1).mean() / 192 * (layer.weight_quantizer(weight) - weight).square().sum()
        )
        moved = (layer.activation_quantizer(x) - x).square().sum(1).mean()
        expected = 0.5 * float(of_weight + weight.square().sum() / 64 * moved)
    assert found[0] == pytest.approx(expected, rel=0.03)


def test_hessian_says_what_to_do_where_there_are_no_second_derivatives(probe):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, is_backward):
            ctx.is_backward = is_backward
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if ctx.is_backward:
                raise RuntimeError("derivative is not implemented")
            return Once.apply(gradient, True), None

    task = replace(
        probe.task, loss=lambda output, targets: F.cross_entropy(Once.apply(output, False), targets)
    )
    with pytest.raises(ConfigError, match="Choose `gradient` or `loss`"):
        SENSITIVITIES["hessian"].measure(replace(probe, task=task), nothing)


def test_sqnr_is_noise_over_signal_and_batch_norm_takes_shift_and_stretch_out(probe):
    with watched_model(probe, nothing) as watched:
        assert [layer.is_normalized for layer in watched.layers] == [True, False, False]
        conv = watched.layers[0]
        x = probe.validation.inputs[:32]
        with torch.no_grad():
            output = conv.module(x)
            (change, *_) = conv.changes(x, output)
        torch.testing.assert_close(
            (output + change).mean((0, 2, 3)), output.mean((0, 2, 3)), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            (output + change).std((0, 2, 3)), output.std((0, 2, 3)), atol=1e-4, rtol=1e-3
        )
    (of_conv, _) = SENSITIVITIES["sqnr"].measure(probe, nothing)
    assert 0 < of_conv[0] < 2


def test_a_layer_that_is_called_twice_counts_twice(probe):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 64)
            self.out = nn.Linear(64, 3)

        def forward(self, x):
            return self.out(F.relu(self.fc(F.relu(self.fc(x.flatten(1))))))

    torch.manual_seed(0)
    model = Twice()
    task = replace(probe.task, build_model=lambda: copy.deepcopy(model), pretrained=True)
    choice = LoweredChoice(name="fc", layers=("fc",), schemes=OFFERED)
    asked = replace(probe, task=task, baseline=trained_baseline(task), choices=(choice,))
    for method in ("loss", "gradient", "hessian", "sqnr"):
        (found,) = SENSITIVITIES[method].measure(asked, nothing)
        assert found[0] > 0, method


def test_a_switched_model_shares_its_weights_and_computes_by_the_chosen_scheme(probe):
    model = baseline_model(probe.task, probe.baseline)
    names = ("conv", "fc1", "fc2")
    switched = switched_model(model, dict.fromkeys(names, OFFERED), RECIPE.quantizers).eval()
    choose(switched, probe.policy([3, 3]))
    x = probe.validation.inputs[:4]
    with torch.no_grad():
        torch.testing.assert_close(switched(x), model(x))
    layers = [module for module in switched.modules() if isinstance(module, SwitchedLayer)]
    assert len(layers) == 3
    for layer in layers:
        assert len({id(branch.weight) for branch in layer.branches}) == 1
    own = {id(parameter) for parameter in model.parameters()}
    assert not own & {id(parameter) for parameter in switched.parameters()}


def _pair(split):
    return split.inputs, split.targets


def test_a_supernet_without_a_finite_loss_at_the_highest_fails(probe, monkeypatch):
    monkeypatch.setattr(supernet, "_loss", lambda *_: float("nan"))
    with pytest.raises(TrialError, match="must be finite; got nan"):
        SENSITIVITIES["supernet"].measure(probe, nothing)


@pytest.mark.parametrize("method", ["gradient", "hessian", "sqnr", "loss"])
def test_a_frozen_layer_is_asked_about_too(probe, method):
    def build():
        model = SmallCnn()
        model.conv.weight.requires_grad_(False)
        return model

    frozen = replace(probe, task=replace(probe.task, build_model=build))
    for found, expected in zip(
        SENSITIVITIES[method].measure(frozen, nothing),
        SENSITIVITIES[method].measure(probe, nothing),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_layer_that_the_loss_does_not_see_adds_nothing(probe):
    class Unused(SmallCnn):
        def forward(self, x):
            x = F.relu(self.norm(self.conv(x)))
            self.fc1(x.flatten(1))
            return x.mean((2, 3))[:, :3]

    task = replace(probe.task, build_model=Unused)
    choices = (LoweredChoice(name="fc1", layers=("fc1",), schemes=OFFERED),)
    added = SENSITIVITIES["gradient"].measure(replace(probe, task=task, choices=choices), nothing)
    assert added[0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("changed", [{"activation": "per_token"}, {"binary_activation": "xnor"}])
def test_the_hessian_sees_inputs_whose_scale_is_found_at_run_time(probe, changed):
    usual = SENSITIVITIES["hessian"].measure(probe, nothing)
    found = SENSITIVITIES["hessian"].measure(replace(probe, recipe=replace(RECIPE, **changed)), nothing)
    for ours, theirs in zip(found, usual, strict=True):
        assert ours[2] <= 2 * theirs[2] + 1e-6
        assert 0.2 * theirs[0] < ours[0] < 5 * theirs[0]


def test_a_supernet_trains_with_weights_without_a_scale(probe):
    recipe = replace(RECIPE, binary="binary_connect")
    added = SENSITIVITIES["supernet"].measure(replace(probe, recipe=recipe), nothing)
    assert all(np.isfinite(of_choice).all() for of_choice in added)


@pytest.mark.parametrize(("wider", "greatest"), [((), 1.0), (("w8a8",), 3.0), (("w32a32",), 3.0)])
def test_one_bit_clips_only_weights_that_no_other_scheme_shares(wider, greatest):
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.fill_(-3)
    schemes = [SCHEMES[name] for name in ("w1a8", *wider)]
    switched = SwitchedLayer(layer, schemes, QuantizerChoice(binary="binary_connect"))
    switched.branches[0].weight_quantizer(layer.weight).sum().backward()
    assert torch.equal(layer.weight.detach(), torch.full((2, 4), -greatest))
    assert torch.equal(layer.weight.grad, torch.ones(2, 4))


@pytest.mark.parametrize("method", ["gradient", "hessian", "sqnr"])
@pytest.mark.parametrize("changed", [{"fold_batch_norm": True}, {"prune": 0.9}])
def test_layers_are_lowered_as_the_recipe_has_it(probe, method, changed):
    offered = tuple(SCHEMES[name] for name in ("w1.58a8", "w8a8", "w32a32"))
    choices = (LoweredChoice(name="conv", layers=("conv",), schemes=offered),)
    usual, found = (
        SENSITIVITIES[method].measure(replace(probe, recipe=recipe, choices=choices), nothing)
        for recipe in (RECIPE, replace(RECIPE, **changed))
    )
    assert found[0][0] != usual[0][0]
