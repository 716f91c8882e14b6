import copy

import pytest
import torch
from torch import nn

from mpsearch.models.trace import trace_model
from mpsearch.training.feature_distillation import FeaturePoint, feature_points, watched


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1)
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (self.norm(self.conv(x)) + x).relu()
        return self.head(x.mean((2, 3)))


class Unexported(nn.Module):
    """Its operators are known to no plan."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(torch.erfinv(self.first(x).tanh()))


IMAGES = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_points_are_what_an_addition_reads_and_the_last_layers_input():
    assert feature_points(trace_model(Residual(), (IMAGES[:1],))) == (
        FeaturePoint("norm", "output"),
        FeaturePoint("head", "input"),
    )


def test_without_a_graph_the_last_layers_input_is_left():
    trace = trace_model(Unexported(), (torch.randn(1, 4),))
    assert trace.graph is None
    assert feature_points(trace) == (FeaturePoint("last", "input"),)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    teacher = Residual().eval()
    student = copy.deepcopy(teacher)
    nn.init.normal_(student.conv.weight)
    return student, teacher


def test_the_distance_follows_the_equation_and_teaches_the_student_only(pair):
    student, teacher = pair
    points = feature_points(trace_model(teacher, (IMAGES[:1],)))
    with watched(student, teacher, points) as distance:
        student(IMAGES)
        teacher(IMAGES)
        found = distance()

    def features(model):
        x = model.stem(IMAGES).relu()
        normed = model.norm(model.conv(x))
        return normed, (normed + x).relu().mean((2, 3))

    pairs = list(zip(features(student), features(teacher), strict=True))
    expected = sum((mine - theirs).square().sum() / theirs.square().sum() for mine, theirs in pairs) / 2
    torch.testing.assert_close(found, expected)
    found.backward()
    assert student.conv.weight.grad is not None
    assert teacher.conv.weight.grad is None


def test_equal_models_have_no_distance(pair):
    _, teacher = pair
    same = copy.deepcopy(teacher)
    with watched(same, teacher, (FeaturePoint("head", "input"),)) as distance:
        same(IMAGES)
        teacher(IMAGES)
    assert distance().item() == 0


def test_without_points_there_is_nothing_to_compare(pair):
    with watched(*pair, ()) as distance:
        assert distance is None


def test_hooks_are_gone_afterwards(pair):
    student, teacher = pair
    with watched(student, teacher, (FeaturePoint("head", "input"),)):
        assert student.head._forward_pre_hooks
    assert not student.head._forward_pre_hooks
    assert not teacher.head._forward_pre_hooks


def test_a_model_that_works_in_place_is_noted_as_it_was():
    class InPlace(Residual):
        def forward(self, x):
            x = self.stem(x).relu()
            y = self.norm(self.conv(x))
            y += x
            return self.head(y.relu_().mean((2, 3)))

    torch.manual_seed(0)
    student = InPlace().eval()
    plain = Residual().eval()
    plain.load_state_dict(student.state_dict())
    with torch.no_grad():
        plain.conv.weight.neg_()
    points = feature_points(trace_model(Residual(), (IMAGES[:1],)))
    found = []
    for model in (student, Residual().eval()):
        model.load_state_dict(student.state_dict())
        with torch.no_grad(), watched(model, plain, points) as distance:
            model(IMAGES)
            plain(IMAGES)
            found.append(distance())
    assert torch.equal(*found)
