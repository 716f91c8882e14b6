import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.models.binary_resnet import BinaryResNet20, PooledShortcut
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.mobilenet_v2 import MobileNetV2Small
from mpsearch.models.resnet import PaddedShortcut, ResNet18, resnet20
from mpsearch.models.trace import trace_model
from mpsearch.models.vgg import VggSmall
from mpsearch.models.xnor_cnn import XnorCnn

NETWORKS = {
    "digits_cnn": (DigitsCnn, (1, 8, 8), 6, 98_848),
    "xnor_cnn": (XnorCnn, (1, 8, 8), 6, 98_848),
    "mlp": (lambda: Mlp(64), (1, 8, 8), 3, 25_856),
    "resnet20": (resnet20, (3, 32, 32), 20, 268_336),
    "resnet18": (lambda: ResNet18(width=8), (3, 32, 32), 21, 175_192),
    "ds_cnn": (lambda: DsCnn(num_classes=10), (1, 49, 10), 10, 21_888),
    "mobilenet_v2": (MobileNetV2Small, (3, 32, 32), 26, 216_320),
    "binary_resnet20": (BinaryResNet20, (3, 32, 32), 20, 268_336),
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


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "binary_resnet20"])
def test_every_operator_has_a_place_in_a_compiled_plan(name):
    build, shape, *_ = NETWORKS[name]
    trace = trace_model(build(), (torch.randn(1, *shape),))
    assert trace.eager_reasons == ()
    assert trace.graph is not None


def test_only_the_prelus_keep_the_binary_resnet_in_torch():
    trace = trace_model(BinaryResNet20(width=8), (torch.randn(1, 3, 32, 32),))
    assert trace.eager_reasons
    assert all("rprelu" in reason for reason in trace.eager_reasons)


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


def test_every_binary_convolution_has_a_shortcut_that_no_activation_function_changes():
    model = BinaryResNet20(width=4).eval()
    layers = [*model.stage1, *model.stage2, *model.stage3]
    assert len(layers) == 18
    for layer in layers:
        torch.nn.init.zeros_(layer.conv.weight)  # BatchNorm of zeros is zero: what is left is the shortcut
        torch.nn.init.ones_(layer.rprelu.slope)
    x = torch.randn(2, 4, 32, 32)
    y = model.stage3(model.stage2(model.stage1(x)))
    assert torch.allclose(y[:, 6:10], x.unflatten(2, (8, 4)).unflatten(4, (8, 4)).mean((3, 5)), atol=1e-6)
    assert not y[:, :6].any()
    assert not y[:, 10:].any()


def test_the_pooled_shortcut_averages_pixels_and_pads_channels():
    x = torch.randn(1, 2, 4, 4)
    y = PooledShortcut(2, 4)(x)
    assert torch.allclose(y[0, 1, 0, 1], x[0, 0, :2, 2:].mean())
    assert not y[:, [0, 3]].any()


def test_mobilenet_adds_its_input_where_the_sizes_stay_and_scales_every_channel():
    blocks = MobileNetV2Small().blocks
    assert [block.adds for block in blocks] == [False, False, True, False, True, False, True, False]
    half = MobileNetV2Small(width=0.5)
    assert half.conv1.out_channels == 16
    assert half.conv2.out_channels == 192
    block = blocks[2].eval()
    torch.nn.init.zeros_(block.layers.bn3.weight)
    x = torch.randn(1, 24, 8, 8)
    assert torch.equal(block(x), x)


def test_batch_norm_gives_both_signs_to_every_inner_layer_of_the_xnor_network():
    torch.manual_seed(0)
    model, inputs = XnorCnn(), {}
    inner = ("conv2", "conv3", "conv4", "fc1")
    for name in inner:
        model.get_submodule(name).register_forward_pre_hook(
            lambda _module, args, name=name: inputs.update({name: args[0]})
        )
    model(torch.randn(64, 1, 8, 8))
    for name in inner:
        channels = inputs[name].transpose(0, 1).flatten(1)
        assert (channels.amin(1) < 0).all()
        assert (channels.amax(1) > 0).all()
        torch.testing.assert_close(channels.std(1), torch.ones(len(channels)), rtol=0.05, atol=0)
