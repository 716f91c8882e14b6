import pytest
import torch
from torch import Tensor, nn

from mpsearch.errors import ShapeError
from mpsearch.models.trace import trace_model
from mpsearch.profiling.remainder_timing import time_remainder


def test_the_remainder_is_measured_and_the_model_is_left_alone(network, quick):
    model, inputs, trace = network
    names = [name for name, _ in model.named_modules()]
    remainder, _ = time_remainder(model, inputs, trace, threads=1, settings=quick)
    assert remainder.latency_s >= 0
    assert remainder.model_fingerprint == trace.fingerprint
    assert remainder.input_shapes == ((1, 1, 4, 4),)
    assert [name for name, _ in model.named_modules()] == names
    assert isinstance(model[0], nn.Conv2d)


class Views(nn.Module):
    """Flattens with `.view`, which channels-last outputs do not allow, and calls one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, bias=False)
        self.pool = nn.Conv1d(3, 3, 2, stride=2)
        self.fc = nn.Linear(4, 4)
        self.again = self.fc

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv(x).view(1, 3, -1))
        return self.again(self.fc(x).relu_())


def test_views_shared_layers_and_several_calls_are_handled(quick):
    model, inputs = Views(), (torch.zeros(1, 1, 4, 6),)
    trace = trace_model(model, inputs)
    assert trace.layer("again").calls == trace.layer("fc").calls
    remainder, _ = time_remainder(model, inputs, trace, threads=1, settings=quick)
    assert remainder.repetitions >= 1


class Listed(nn.Module):
    """Calls its layers through a plain list, which named_modules does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.steps = [self.first, self.second]

    def forward(self, x: Tensor) -> Tensor:
        return self.steps[1](self.steps[0](x))


def test_layers_that_the_model_calls_through_a_plain_list_are_left_out_too(quick, monkeypatch):
    model, inputs = Listed(), (torch.zeros(1, 4),)
    trace = trace_model(model, inputs)

    def fail(*_: object) -> None:
        raise AssertionError("a layer ran")

    monkeypatch.setattr(nn.Linear, "forward", fail)
    time_remainder(model, inputs, trace, threads=1, settings=quick)


class Picky(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        if y.abs().max() > 0:
            raise ValueError("only zeros please")
        return y


def test_a_model_that_cannot_run_without_its_layers_is_a_typed_error(quick):
    model, inputs = Picky(), (torch.zeros(1, 4),)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    with pytest.raises(ShapeError, match=r"Picky.*only zeros please"):
        time_remainder(model, inputs, trace_model(model, inputs), threads=1, settings=quick)


class AsksForType(nn.Module):
    """Converts its input to the type of a layer's weight, as models of `transformers` do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.to(self.fc.weight.dtype)).relu()


def test_a_model_that_asks_for_the_type_of_a_weight_runs_without_its_layers(quick):
    model, inputs = AsksForType(), (torch.zeros(1, 4),)
    remainder, _ = time_remainder(model, inputs, trace_model(model, inputs), threads=1, settings=quick)
    assert remainder.repetitions >= 1
