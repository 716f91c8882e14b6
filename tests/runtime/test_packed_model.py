from dataclasses import replace

import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.layers import QuantLayer
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.runtime.packed_layer import PackedLayer
from mpsearch.runtime.packed_model import build_packed_model


class FlattenByView(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1)


def cnn(flatten=nn.Flatten):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        flatten(),
        nn.Linear(64, 10),
    )


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 40), nn.ReLU(), nn.Linear(40, 10))


def conv1d():
    return nn.Sequential(
        nn.Flatten(2),
        nn.Conv1d(3, 12, 5, padding=2, stride=2),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Conv1d(12, 12, 3, padding="same", dilation=2, groups=12),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


MODELS = {"cnn": cnn, "cnn with view": lambda: cnn(FlattenByView), "mlp": mlp, "conv1d": conv1d}


def layer_names(model):
    return [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d)]


def trained(build, schemes, *, steps=3):
    """Model, its fake-quantized copy after a few steps, and inputs; `schemes` are taken in turn."""
    torch.manual_seed(0)
    model, x = build(), torch.randn(64, 3, 8, 8)
    names = layer_names(model)
    policy = PrecisionPolicy({name: schemes[i % len(schemes)] for i, name in enumerate(names)})
    fake = quantize_model(model, policy)
    calibrate(fake, [x])
    optimizer = torch.optim.Adam(fake.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(fake(x), torch.arange(64) % 10).backward()
        optimizer.step()
    reestimate_batch_norm(fake, [x])
    return model, fake.eval(), x


def packed_like(model, fake):
    """What an export does: the architecture with the other weights loaded, and the frozen layers."""
    frozen = freeze_model(fake)
    layers = tuple(name for name, module in fake.named_modules() if isinstance(module, QuantLayer))
    others = {k: v for k, v in fake.state_dict().items() if k.rpartition(".")[0] not in layers}
    model.load_state_dict({k: v for k, v in others.items() if "quantizer" not in k}, strict=False)
    return build_packed_model(model, frozen)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_packed_and_fake_quantized_models_agree(build, scheme):
    model, fake, x = trained(build, [scheme])
    packed = packed_like(model, fake)
    with torch.no_grad():
        expected = fake(x)
    y = packed(x)
    if scheme == "w32a32":
        torch.testing.assert_close(y.clone(), expected)
    else:
        assert torch.equal(y, expected)  # to the bit


def test_a_mixed_policy_agrees_too():
    model, fake, x = trained(cnn, list(SCHEMES))
    packed = packed_like(model, fake)
    kinds = [m.scheme.name for m in packed.modules() if isinstance(m, PackedLayer)]
    assert kinds == ["w1a1", "w1a8", "w1.58a8", "w4a8"]
    torch.testing.assert_close(packed(x).clone(), fake(x).detach(), rtol=1e-4, atol=1e-4)


def test_batches_of_one_and_of_another_size_run():
    model, fake, x = trained(cnn, ["w8a8"])
    packed = packed_like(model, fake)
    for part in (x[:1], x[:7], x[:1]):
        torch.testing.assert_close(packed(part).clone(), fake(part).detach(), rtol=1e-4, atol=1e-4)


def test_the_weights_that_are_replaced_are_neither_copied_nor_kept():
    model, fake, _ = trained(cnn, ["w4a8"], steps=0)
    packed = packed_like(model, fake)
    shown = [m.weight for m in packed.modules() if isinstance(m, PackedLayer)]
    assert {(weight.numel(), weight.dtype) for weight in shown} == {(0, torch.float32)}  # their type alone
    assert {type(m) for m in packed.modules() if type(m).__name__.startswith(("Conv", "Linear"))} == set()
    assert sum(p.numel() for p in packed.parameters()) == 2 * (8 + 8 + 16)


def test_the_model_given_is_left_alone():
    model, fake, _ = trained(cnn, ["w4a8"], steps=0)
    model.train()
    packed_like(model, fake)
    assert model.training
    assert len(layer_names(model)) == 4


def test_images_travel_channels_last_between_the_layers():
    model, fake, x = trained(cnn, ["w8a8"], steps=0)
    packed = packed_like(model, fake)
    seen = []
    for module in packed.modules():
        if isinstance(module, PackedLayer) and module.operator == "conv2d":
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    packed(x)
    assert len(seen) == 3
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in seen)


def test_a_model_that_flattens_by_view_keeps_to_one_layout_after_its_first_call():
    model, fake, x = trained(lambda: cnn(FlattenByView), ["w8a8", "w32a32"], steps=0)
    packed = packed_like(model, fake)
    first = packed(x).clone()
    assert not packed.channels_last
    assert torch.equal(packed(x), first)


def test_other_errors_of_the_model_come_through():
    model, fake, x = trained(cnn, ["w8a8"], steps=0)
    packed = packed_like(model, fake)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        build_packed_model(model, {})(x[:, :, :4])
    with pytest.raises(ShapeError, match="C = 64"):
        packed(x[:, :, :4])
    assert packed.channels_last


def test_it_runs_without_gradients_and_cannot_be_trained():
    model, fake, x = trained(cnn, ["w1a8"], steps=0)
    packed = packed_like(model, fake)
    assert packed(x.requires_grad_()).is_inference()
    assert not any(module.training for module in packed.modules())
    packed.eval()
    with pytest.raises(ConfigError, match="cannot be trained"):
        packed.train()


def test_a_shared_module_becomes_one_packed_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    model.append(model[0])
    fake = quantize_model(model, PrecisionPolicy({"0": "w1.58a8"}))
    x = torch.randn(9, 6)
    calibrate(fake, [x])
    packed = build_packed_model(model, freeze_model(fake))
    assert packed.model[2] is packed.model[0]
    torch.testing.assert_close(packed(x).clone(), fake(x).detach(), rtol=1e-5, atol=1e-5)


def test_fused_transformer_inference_calls_the_packed_layers():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(encoder, 1).eval()
    fake = quantize_model(model, PrecisionPolicy({"layers.0.linear1": "w1a8", "layers.0.linear2": "w4a8"}))
    x = torch.randn(2, 5, 8)
    calibrate(fake, [x])
    packed = build_packed_model(model, freeze_model(fake))
    torch.testing.assert_close(packed(x).clone(), fake.eval()(x).detach(), rtol=1e-4, atol=1e-4)


def test_fused_transformer_inference_is_off_without_packed_layers_too():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    packed = build_packed_model(nn.TransformerEncoder(encoder, 1), {})
    called = []
    packed.model.layers[0].linear1.forward = lambda x: called.append(x.shape) or torch.zeros(2, 5, 16)
    packed(torch.randn(2, 5, 8))
    assert called == [(2, 5, 8)]


class ByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(input=x)


def test_layers_that_get_their_input_by_keyword_run():
    torch.manual_seed(0)
    model, x = ByKeyword(), torch.randn(4, 8)
    fake = quantize_model(model, PrecisionPolicy({"head": "w4a8"}))
    calibrate(fake, [x])
    with torch.no_grad():
        torch.testing.assert_close(build_packed_model(model, freeze_model(fake))(x).clone(), fake.eval()(x))


def test_layers_of_another_model_are_refused():
    model, fake, _ = trained(cnn, ["w4a8"], steps=0)
    frozen = freeze_model(fake)
    with pytest.raises(ShapeError, match=r"weight of '0' must be \(8, 3, 3, 3\).*\(16, 8, 1, 1\)"):
        build_packed_model(model, {"0": frozen["6"]})
    with pytest.raises(ConfigError, match="'1' is a BatchNorm2d"):
        build_packed_model(model, {"1": frozen["6"]})
    with pytest.raises(ConfigError, match="has no 'stem'"):
        build_packed_model(model, {"stem": frozen["0"]})


@pytest.mark.parametrize(
    ("field", "value"), [("stride", (1, 1)), ("padding", (30_000, 0)), ("dilation", (1, 2)), ("groups", 4)]
)
def test_layers_of_another_geometry_are_refused(field, value):
    model, fake, _ = trained(cnn, ["w8a8"])
    layers = freeze_model(fake)
    with pytest.raises(ShapeError, match=f"`{field}` of '3' must be .* as in the model"):
        build_packed_model(model, {**layers, "3": replace(layers["3"], **{field: value})})
