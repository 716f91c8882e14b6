"""What tracing sees, what it refuses and why, and that it leaves the model alone."""

import pytest
import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError, TraceError
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.trace import trace_model


def reasons(model: nn.Module, *inputs: Tensor) -> dict[str, str]:
    return {module.name: module.reason for module in trace_model(model, inputs).unquantized}


def all_bytes(model: nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def test_a_linear_layer_folds_leading_dimensions_into_its_batch():
    trace = trace_model(nn.Sequential(nn.Linear(8, 3)), (torch.zeros(2, 5, 8),))
    assert trace.layer("0").calls == (LayerShape(operator="linear", batch=10, in_channels=8, out_channels=3),)


@pytest.mark.parametrize(
    ("conv", "size"),
    [
        (nn.Conv2d(4, 6, 3), (2, 4, 9, 8)),
        (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(2, 1), bias=False), (1, 4, 9, 8)),
        (nn.Conv2d(4, 8, 3, groups=4, padding="same"), (1, 4, 7, 7)),
        (nn.Conv2d(4, 8, 3, groups=2, padding="valid"), (1, 4, 7, 7)),
        (nn.Conv2d(4, 6, (1, 3), padding="same", dilation=(1, 2)), (1, 4, 7, 7)),
        (nn.Conv1d(4, 6, 3, stride=2, padding=1), (3, 4, 11)),
        (nn.Conv1d(4, 4, 5, groups=4, padding="same"), (1, 4, 11)),
    ],
)
def test_the_shape_of_a_convolution_predicts_the_size_of_its_output(conv, size):
    x = torch.zeros(size)
    (shape,) = trace_model(nn.Sequential(conv), (x,)).layers[0].calls
    output = conv(x)
    assert shape.output_count == output.numel()
    assert shape.out_spatial == (*[1] * (4 - output.ndim), *output.shape[2:])
    assert shape.weight_count == conv.weight.numel()
    assert shape.has_bias == (conv.bias is not None)
    assert shape.groups == conv.groups


class Recurrent(nn.Module):
    """Calls one layer as often as the input says, and another one never."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 2)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for row in x:
            x = self.step(row + x)
        return self.out(x) if x.sum() < 1e9 else self.unused(x)


def test_each_call_of_a_layer_is_noted_in_order_and_its_memory_counts_once():
    model = Recurrent()
    trace = trace_model(model, (torch.zeros(3, 4),))
    assert [layer.name for layer in trace.layers] == ["step", "out"]
    assert len(trace.layer("step").calls) == 3
    assert trace.layer("step").macs == 3 * 3 * 16
    assert trace.parameter_bytes == all_bytes(model)


def test_a_layer_that_is_never_called_is_reported_and_its_parameters_count():
    model = Recurrent()
    trace = trace_model(model, (torch.zeros(3, 4),))
    (unused,) = trace.unquantized
    assert (unused.name, unused.type_name) == ("unused", "Linear")
    assert "never called" in unused.reason
    assert trace.other_parameter_bytes == unused.parameter_bytes == 4 * (4 * 2 + 2)


def test_a_module_under_two_names_is_one_layer_with_an_alias():
    shared = nn.Linear(4, 4)
    trace = trace_model(nn.Sequential(shared, nn.ReLU(), shared), (torch.zeros(1, 4),))
    (layer,) = trace.layers
    assert (layer.name, layer.aliases, len(layer.calls)) == ("0", ("2",), 2)
    assert trace.layer("2") is layer
    assert trace.other_parameter_bytes == 0


class TiedLanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.hidden = nn.Linear(4, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.position = nn.Parameter(torch.zeros(6, 4))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.hidden(self.embed(tokens) + self.position))


def test_tied_weights_stay_32_bit_and_count_once():
    model = TiedLanguageModel()
    inputs = (torch.zeros(1, 6, dtype=torch.long),)
    trace = trace_model(model, inputs)
    assert [layer.name for layer in trace.layers] == ["hidden"]
    why = reasons(model, *inputs)
    assert "tied to those of embed" in why["head"]
    assert "memory only" in why["embed"]
    assert "of its own" in why["(the model itself)"]
    assert trace.other_parameter_bytes == 4 * (10 * 4 + 6 * 4)
    assert sum(module.parameter_bytes for module in trace.unquantized) == trace.other_parameter_bytes
    assert trace.parameter_bytes == all_bytes(model)


def test_two_layers_that_share_a_weight_both_stay_32_bit():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert "tied to those of 1" in reasons(model, torch.zeros(1, 4))["0"]


def test_attention_projections_stay_32_bit_with_a_reason_and_count_in_memory():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    trace = trace_model(block, (torch.zeros(1, 3, 8),))
    why = reasons(block, torch.zeros(1, 3, 8))
    assert "separate nn.Linear projections" in why["self_attn"]
    assert "part of self_attn" in why["self_attn.out_proj"]
    assert [layer.name for layer in trace.layers] == ["linear1", "linear2"]
    assert trace.parameter_bytes == all_bytes(block)


def test_linear_subclasses_that_compute_the_same_are_layers():
    layer = nn.modules.linear.NonDynamicallyQuantizableLinear(4, 2)
    assert len(trace_model(nn.Sequential(layer), (torch.zeros(1, 4),)).layers) == 1


class ScaledLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class LinearWithGain(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)
        self.gain = nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(
    ("module", "size", "reason"),
    [
        (ScaledLinear(4, 4), (1, 4), "computes something else than nn.Linear"),
        (LinearWithGain(), (1, 4), "adds parameters to nn.Linear"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), (1, 4), "computed from other parameters"),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (1, 2, 5, 5), "padding mode 'reflect'"),
        (nn.Conv2d(2, 2, 3), (2, 5, 5), "unbatched"),
        (nn.Linear(70_000, 1), (1, 70_000), "65,536"),
        (nn.ConvTranspose2d(2, 2, 3), (1, 2, 5, 5), "transposed"),
        (nn.Conv3d(1, 1, 1), (1, 1, 2, 2, 2), "3-d"),
        (nn.GRU(4, 4), (1, 2, 4), "recurrent"),
        (nn.BatchNorm2d(2), (1, 2, 5, 5), "normalization"),
        (nn.PReLU(), (1, 2), "activation functions"),
    ],
)
def test_what_cannot_be_quantized_says_why(module, size, reason):
    model = nn.Sequential(module)
    trace = trace_model(model, (torch.zeros(size),))
    assert trace.layers == ()
    assert reason in trace.unquantized[0].reason
    assert trace.other_parameter_bytes == all_bytes(model)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_asymmetric_same_padding_stays_32_bit():
    why = reasons(nn.Sequential(nn.Conv1d(2, 2, 4, padding="same")), torch.zeros(1, 2, 9))
    assert "asymmetric" in why["0"]


def test_layers_that_are_not_float32_stay_32_bit():
    why = reasons(nn.Sequential(nn.Linear(4, 4).double()), torch.zeros(1, 4, dtype=torch.float64))
    assert "torch.float64" in why["0"]


def test_a_model_that_is_one_layer_says_to_wrap_it():
    assert "nn.Sequential" in reasons(nn.Linear(4, 4), torch.zeros(1, 4))["(the model itself)"]


def test_a_layer_that_gets_its_input_by_keyword_is_seen():
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(input=x)

    assert len(trace_model(Keyword(), (torch.zeros(1, 4),)).layers) == 1


def test_lazy_layers_are_traced_with_the_sizes_that_they_get():
    trace = trace_model(nn.Sequential(nn.LazyLinear(3)), (torch.zeros(1, 7),))
    assert trace.layer("0").weight_count == 21


@pytest.mark.parametrize("lazy", [nn.LazyLinear(3), nn.LazyBatchNorm1d(affine=False)])
def test_a_lazy_module_that_does_not_run_is_named(lazy):
    model = nn.Sequential(nn.Linear(4, 2))
    model[0].idle = lazy
    with pytest.raises(TraceError, match=r"must run.*0\.idle\.\w+ of Sequential"):
        trace_model(model, (torch.zeros(1, 4),))


def doubling(layer: nn.Linear) -> None:
    layer.register_forward_hook(lambda _module, _inputs, output: 2 * output)


def shifting(layer: nn.Linear) -> None:
    layer.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))


def replacing(layer: nn.Linear) -> None:
    layer.forward = lambda input: 2 * nn.Linear.forward(layer, input)  # noqa: A006


@pytest.mark.parametrize(
    ("change", "reason"),
    [(doubling, "it has hooks"), (shifting, "it has hooks"), (replacing, "something else than nn.Linear")],
)
def test_a_layer_whose_call_was_changed_stays_32_bit(change, reason):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    change(model[0])
    assert reason in reasons(model, torch.zeros(1, 4))["0"]
    assert [layer.name for layer in trace_model(model, (torch.zeros(1, 4),)).layers] == ["1"]


def test_the_model_is_left_as_it_was_found():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    model[1].eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trace_model(model, (torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)),))
    assert torch.rand(1) == expected
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_fails_on_its_example_names_input_and_error_and_is_restored():
    model = nn.Sequential(nn.Linear(3, 3)).train()
    with pytest.raises(TraceError, match=r"float32 \(1, 4\).*RuntimeError: mat1 and mat2"):
        trace_model(model, (torch.zeros(1, 4),))
    assert model.training
    assert not model[0]._forward_hooks
    assert torch.backends.mha.get_fastpath_enabled()


def test_example_inputs_must_be_a_tuple():
    with pytest.raises(TraceError, match=r"Write `\(x,\)`"):
        trace_model(nn.Sequential(nn.Linear(3, 3)), torch.zeros(1, 3))


def test_the_peak_is_the_largest_input_plus_output_of_a_call():
    trace = trace_model(nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 2)), (torch.zeros(1, 4),))
    assert trace.peak_activation_bytes == 4 * 104


def test_the_fingerprint_follows_the_structure_and_not_the_values():
    def fingerprint(width: int, batch: int = 1) -> str:
        return trace_model(nn.Sequential(nn.Linear(4, width)), (torch.zeros(batch, 4),)).fingerprint

    assert fingerprint(3) == fingerprint(3)
    assert len({fingerprint(3), fingerprint(5), fingerprint(3, batch=2)}) == 3


def test_an_unknown_layer_name_lists_the_known_ones():
    trace = trace_model(nn.Sequential(nn.Linear(4, 2)), (torch.zeros(1, 4),))
    with pytest.raises(ConfigError, match=r"no quantizable layer 'fc'; it has 0"):
        trace.layer("fc")
