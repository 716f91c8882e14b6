import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.layers import QuantConv2d, QuantLayer, QuantLinear
from mpsearch.quant.swap import calibrate, quantize_model


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


LAYERS = ["0", "3", "8"]


class Aliased(nn.Module):
    """One linear layer under two names and in a plain list, which named_modules does not see."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.steps = [self.first]

    def forward(self, x):
        return self.again(self.first(self.steps[0](x)))


def test_all_32_bits_is_exactly_the_model():
    model, x = small_cnn().eval(), torch.randn(4, 3, 8, 8)
    copy = quantize_model(model, PrecisionPolicy.uniform(LAYERS, SCHEMES["w32a32"]))
    calibrate(copy, [])
    assert copy is not model
    assert [type(m) for m in copy.modules()] == [type(m) for m in model.modules()]
    assert list(copy.state_dict()) == list(model.state_dict())
    assert torch.equal(copy(x), model(x))


def test_only_the_layers_below_32_bits_are_swapped_and_the_model_is_left_alone():
    model = small_cnn()
    copy = quantize_model(model, PrecisionPolicy({"0": "w8a8", "3": "w32a32", "8": "w1a1"}))
    kinds = {name: type(module) for name, module in copy.named_modules() if name in LAYERS}
    assert kinds == {"0": QuantConv2d, "3": nn.Conv2d, "8": QuantLinear}
    assert not any(isinstance(module, QuantLayer) for module in model.modules())
    with torch.no_grad():
        copy.get_submodule("0").weight.zero_()
    assert model.get_submodule("0").weight.any()


def test_layers_that_the_policy_does_not_name_stay_32_bit():
    copy = quantize_model(small_cnn(), PrecisionPolicy({"8": "w4a8"}))
    assert sum(isinstance(module, QuantLayer) for module in copy.modules()) == 1


def test_an_unknown_layer_is_refused_with_the_nearest_names():
    model = nn.ModuleDict({"stem": nn.Conv2d(1, 1, 1), "blocks": nn.Sequential(nn.Linear(1, 1))})
    with pytest.raises(ConfigError, match=r"has no 'block\.0'. Nearest: blocks\.0"):
        quantize_model(model, PrecisionPolicy({"block.0": "w4a8"}))


def test_a_layer_that_cannot_be_quantized_is_named():
    with pytest.raises(ConfigError, match=r"Layer '1': .*got a BatchNorm2d"):
        quantize_model(small_cnn(), PrecisionPolicy({"1": "w4a8"}))


@pytest.mark.parametrize("name", ["first", "again"])
def test_a_shared_module_stays_shared_wherever_the_model_holds_it(name):
    copy = quantize_model(Aliased(), PrecisionPolicy({name: "w4a8"}))
    assert isinstance(copy.first, QuantLinear)
    assert copy.again is copy.first
    assert copy.steps[0] is copy.first


def test_names_of_a_shared_module_must_agree():
    with pytest.raises(ConfigError, match="'first' takes w4a8 and 'again' w8a8"):
        quantize_model(Aliased(), PrecisionPolicy({"first": "w4a8", "again": "w8a8"}))
    same = quantize_model(Aliased(), PrecisionPolicy({"first": "w4a8", "again": "w4a8"}))
    assert same.first is same.again


def test_a_parameter_that_two_modules_share_stays_shared():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    copy = quantize_model(model, PrecisionPolicy({"0": "w4a8", "2": "w1a8"}))
    assert copy[0].weight is copy[2].weight
    assert copy[0].weight is not model[0].weight


def test_a_model_that_is_one_layer_can_be_quantized():
    assert isinstance(quantize_model(nn.Linear(3, 3), PrecisionPolicy({"": "w1a8"})), QuantLinear)


@pytest.mark.parametrize("scheme", ["w1a1", "w1.58a8", "w8a8"])
def test_fused_transformer_inference_does_not_bypass_the_quantized_layers(scheme):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 1)
    x = torch.randn(2, 5, 8)
    copy = quantize_model(model, PrecisionPolicy({"layers.0.linear1": scheme}))
    calibrate(copy, [x])
    slow = copy(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(copy.eval()(x), slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s != "w32a32"])
def test_calibration_fits_every_layer_and_leaves_modes_and_batch_norm_as_found(scheme):
    model = quantize_model(small_cnn(), PrecisionPolicy.uniform(LAYERS, SCHEMES[scheme]))
    model[1].eval()
    before = {name: value.clone() for name, value in model.named_buffers() if "quantizer" not in name}
    calibrate(model, [torch.randn(8, 3, 8, 8) for _ in range(2)])
    assert all(torch.equal(dict(model.named_buffers())[name], value) for name, value in before.items())
    assert model.training
    assert not model[1].training
    assert model[1].momentum == 0.1
    assert model(torch.randn(8, 3, 8, 8)).isfinite().all()
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_calibrated_eight_bit_models_stay_near_their_32_bit_outputs():
    model, x = small_cnn(), torch.randn(32, 3, 8, 8)
    for _ in range(20):
        model(x)
    copy = quantize_model(model, PrecisionPolicy.uniform(LAYERS, SCHEMES["w8a8"]))
    calibrate(copy, [x])
    expected = model.eval()(x)
    assert (copy.eval()(x) - expected).abs().max() < 0.05 * expected.abs().max()


def test_calibration_is_the_same_every_time():
    batches = [torch.randn(16, 3, 16, 16) for _ in range(3)]
    states = []
    for _ in range(2):
        torch.manual_seed(1)
        model = quantize_model(small_cnn(), PrecisionPolicy.uniform(LAYERS, SCHEMES["w4a8"]))
        torch.rand(len(states) + 1)
        calibrate(model, batches)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_calibration_takes_the_positional_arguments_of_a_model():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, a, b):
            return self.fc(a + b)

    model = quantize_model(Two(), PrecisionPolicy({"fc": "w1a1"}))
    calibrate(model, [(torch.randn(4, 3), torch.randn(4, 3))])
    assert model(torch.randn(4, 3), torch.randn(4, 3)).isfinite().all()


class ByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(input=self.conv(input=x).mean((2, 3)))


@pytest.mark.parametrize("scheme", ["w1a1", "w8a8"])
def test_layers_that_get_their_input_by_keyword_are_calibrated_and_run(scheme):
    model = quantize_model(ByKeyword(), PrecisionPolicy({"conv": scheme, "head": scheme}))
    x = torch.randn(4, 3, 6, 6)
    calibrate(model, [x])
    assert model(x).isfinite().all()


def test_a_layer_that_calibration_never_runs_is_named():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    model = quantize_model(Spare(), PrecisionPolicy({"used": "w4a8", "spare": "w4a8"}))
    with pytest.raises(ConfigError, match="at least once; spare did not run"):
        calibrate(model, [torch.randn(3, 2)])


def test_calibration_without_batches_is_refused():
    model = quantize_model(nn.Sequential(nn.Linear(2, 2)), PrecisionPolicy({"0": "w4a8"}))
    with pytest.raises(ConfigError, match=r"0 did not run\. Give at least one batch"):
        calibrate(model, [])


def test_a_quantized_state_loads_into_a_fresh_quantized_model():
    policy = PrecisionPolicy({"0": "w8a8", "3": "w1a1", "8": "w1.58a8"})
    x = torch.randn(8, 3, 8, 8)
    trained = quantize_model(small_cnn(), policy)
    calibrate(trained, [x])
    loaded = quantize_model(small_cnn(), policy)
    loaded.load_state_dict(trained.state_dict())
    assert torch.equal(loaded.eval()(x), trained.eval()(x))
