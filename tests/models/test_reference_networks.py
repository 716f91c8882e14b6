import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.resnet import PaddedShortcut, ResNet18, resnet20
from mpsearch.models.trace import trace_model
from mpsearch.models.vgg import VggSmall

NETWORKS = {
    "digits_cnn": (DigitsCnn, (1, 8, 8), 6, 98_848),
    "mlp": (lambda: Mlp(64), (1, 8, 8), 3, 25_856),
    "resnet20": (resnet20, (3, 32, 32), 20, 268_336),
    "resnet18": (lambda: ResNet18(width=8), (3, 32, 32), 21, 175_192),
    "ds_cnn": (lambda: DsCnn(num_classes=10), (1, 49, 10), 10, 21_888),
    "vgg": (VggSmall, (3, 32, 32), 7, 291_680),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_lies_in_a_quantizable_layer_that_is_called_once(name):
    build, shape, layers, weights = NETWORKS[name]
    model = build()
    trace = trace_model(model, (torch.randn(1, *shape),))
    assert len(trace.layers) == layers
    assert {len(layer.calls) for layer in trace.layers} == {1}
    assert sum(layer.weight_count for layer in trace.layers) == weights
    assert weights == sum(p.numel() for p in model.parameters() if p.ndim > 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_operator_has_a_place_in_a_compiled_plan(name):
    build, shape, *_ = NETWORKS[name]
    trace = trace_model(build(), (torch.randn(1, *shape),))
    assert trace.eager_reasons == ()
    assert trace.graph is not None


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_logits_come_out_and_gradients_reach_every_parameter(name):
    build, shape, *_ = NETWORKS[name]
    torch.manual_seed(0)
    model = build()
    output = model(torch.randn(4, *shape))
    assert output.shape == (4, 10)
    output.square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_resnet20_has_the_size_that_the_paper_states():
    parameters = sum(p.numel() for p in resnet20().parameters())
    assert round(parameters / 1e6, 2) == 0.27


def test_resnet18_has_the_size_of_the_published_implementations():
    parameters = sum(p.numel() for p in ResNet18().parameters())
    assert parameters == 11_173_962


def test_ds_cnn_has_the_layers_and_the_size_that_the_paper_states():
    trace = trace_model(DsCnn(), (torch.randn(1, 1, 49, 10),))
    assert trace.layer("conv1").calls[0].out_spatial == (25, 5)
    assert [layer.kind for layer in trace.layers[1:3]] == ["depthwise_conv2d", "conv2d"]
    # The paper's table of results: 38.6 KB at one byte a weight, bias and activation; 5.4 million operations.
    parameters = sum(layer.weight_count + layer.calls[0].out_channels for layer in trace.layers)
    assert round((parameters + trace.peak_activation_bytes / 4) / 1e3, 1) == 38.6
    assert 2 * sum(layer.macs for layer in trace.layers) == pytest.approx(5.4e6, rel=0.02)


def test_ds_cnn_takes_other_features_than_those_of_the_paper():
    assert DsCnn(num_classes=5, width=8, blocks=1)(torch.randn(2, 1, 101, 40)).shape == (2, 5)
    with pytest.raises(ConfigError, match="at least 1; got 8 and 0"):
        DsCnn(width=8, blocks=0)


def test_the_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros():
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    y = PaddedShortcut(2, 4, 2)(x)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, [0, 3]].any()


def test_width_and_classes_are_free():
    assert resnet20(num_classes=7, width=8)(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert ResNet18(num_classes=7, width=8)(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert VggSmall(num_classes=5, width=8)(torch.randn(2, 3, 32, 32)).shape == (2, 5)


def test_an_mlp_without_hidden_layers_is_linear():
    model = Mlp(6, hidden=(), num_classes=2)
    assert [type(m) for m in model.modules() if isinstance(m, nn.Linear)] == [nn.Linear]
    assert model(torch.randn(3, 6)).shape == (3, 2)


def test_a_width_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"at least 1; got \[6, 0, 2\]"):
        Mlp(6, hidden=(0,), num_classes=2)
