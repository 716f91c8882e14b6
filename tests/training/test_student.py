import copy

import pytest
import torch
from torch import nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.swap import calibrate
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.student import keep_learnt_quantizers, lowered, new_student

INPUTS = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
HIGH = PrecisionPolicy({"0": "w8a8", "2": "w4a8", "3": "w8a8"})
LOW = PrecisionPolicy({"0": "w1.58a8", "2": "w4a8", "3": "w1a1"})


@pytest.fixture
def source():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 2))


def trained(source):
    """A student of HIGH whose every tensor has moved."""
    student = new_student(source, HIGH, TrialRecipe())
    calibrate(student, [INPUTS])
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.25)
        student[1].running_mean.add_(1.0)
    return student


def test_the_next_student_starts_from_the_weights_of_the_one_before(source):
    before = trained(source)
    after = lowered(before, source, LOW, TrialRecipe())
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "2.weight", "3.weight"):
        assert torch.equal(after.state_dict()[name], before.state_dict()[name])
        assert not torch.equal(after.state_dict()[name], source.state_dict()[name])
    assert [str(after[place].scheme) for place in (0, 2, 3)] == ["w1.58a8", "w4a8", "w1a1"]


def test_the_models_share_no_tensor(source):
    before = trained(source)
    after = lowered(before, source, LOW, TrialRecipe())
    models = (source, before, after)
    places = [{tensor.data_ptr() for tensor in model.state_dict().values()} for model in models]
    assert len(set.union(*places)) == sum(map(len, places))


def test_what_a_quantizer_of_the_same_kind_has_learnt_stays(source):
    before = trained(source)
    after = lowered(before, source, LOW, TrialRecipe())
    calibrate(after, [INPUTS])
    keep_learnt_quantizers(before, after)
    assert torch.equal(after[0].activation_quantizer.log_scale, before[0].activation_quantizer.log_scale)
    assert torch.equal(after[2].weight_quantizer.log_step, before[2].weight_quantizer.log_step)
    fresh = lowered(before, source, LOW, TrialRecipe())
    calibrate(fresh, [INPUTS])
    assert torch.equal(after[3].activation_quantizer.log_scale, fresh[3].activation_quantizer.log_scale)
    assert not torch.equal(after[2].weight_quantizer.log_step, fresh[2].weight_quantizer.log_step)


def test_a_student_is_pruned_in_its_ternary_layers_before_anything_else(source):
    student = new_student(source, LOW, TrialRecipe(prune=0.5))
    zeros = [int((student[place].weight == 0).sum()) for place in (0, 2, 3)]
    assert zeros == [8, 0, 0]
    assert int((source[0].weight == 0).sum()) == 0


@pytest.mark.parametrize("ternary", ["threshold", "seq", "ttq", "twn_learnt"])
def test_quantizers_are_fitted_to_the_weights_that_pruning_leaves(source, ternary):
    student = new_student(source, LOW, TrialRecipe(prune=0.8, ternary=ternary))
    left = copy.deepcopy(source)
    left[0].weight.data.copy_(student[0].weight)
    fitted, before = (
        new_student(made_from, LOW, TrialRecipe(ternary=ternary))[0].weight_quantizer
        for made_from in (left, source)
    )
    found = student[0].weight_quantizer.state_dict()
    assert all(torch.equal(found[name], value) for name, value in fitted.state_dict().items())
    assert not all(torch.equal(found[name], value) for name, value in before.state_dict().items())
