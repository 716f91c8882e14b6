import pytest
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.models.layer_lookup import find_layers


def test_layers_are_found_by_every_name_that_a_shared_module_has():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.append(model[0])
    assert find_layers(model, ["0", "2"]) == {"0": model[0], "2": model[0]}


def test_an_unknown_name_is_refused_with_the_nearest_layers():
    model = nn.ModuleDict(
        {"conv1": nn.Conv2d(1, 1, 1), "conv2": nn.Conv2d(1, 1, 1), "norm": nn.BatchNorm2d(1)}
    )
    with pytest.raises(ConfigError, match=r"ModuleDict has no 'con1'. Nearest: conv1, conv2\."):
        find_layers(model, ["con1"])


def test_a_model_without_layers_says_so():
    with pytest.raises(ConfigError, match="it has no Linear, Conv1d or Conv2d"):
        find_layers(nn.ReLU(), ["fc"])
