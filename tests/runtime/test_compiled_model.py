"""A compiled model returns what the fake-quantized model returns, to the bit where all layers are low-bit."""

import itertools
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ConfigError, ExportError, ShapeError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.resnet import ResNet18, resnet20
from mpsearch.models.vgg import VggSmall
from mpsearch.models.xnor_cnn import XnorCnn
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_model
from mpsearch.runtime.compiled_model import CompiledModel

LOW = [name for name in SCHEMES if name != "w32a32"]


class Of(nn.Module):
    """A model from its layers and a function of them and its input."""

    def __init__(self, compute, **layers: nn.Module) -> None:
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def conv1d():
    return nn.Sequential(
        nn.Conv1d(3, 12, 5, padding=2, stride=2),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Conv1d(12, 12, 3, padding="same", dilation=2, groups=12),
        nn.ReLU6(),
        nn.MaxPool1d(2),
        nn.Conv1d(12, 5, 1),
    )


def strided_blocks():
    """A wide stem with a pool behind it, and a shortcut that is a convolution of its own."""
    return Of(
        lambda m, x: m.fc(m.pool(block(m, m.stem(x))).flatten(1)),
        stem=nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.MaxPool2d(3, 2, 1)),
        main=nn.Sequential(
            nn.Conv2d(16, 24, 3, 2, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 24, 3, 1, 1, bias=False),
            nn.BatchNorm2d(24),
        ),
        shortcut=nn.Sequential(nn.Conv2d(16, 24, 1, 2, bias=False), nn.BatchNorm2d(24)),
        pool=nn.AdaptiveAvgPool2d(1),
        fc=nn.Linear(24, 10),
    )


def block(m, x):
    return F.relu(m.main(x) + m.shortcut(x))


def separable():
    """Depthwise and pointwise convolutions in turn, and one that is grouped."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, 8, (5, 3), (2, 1), (2, 1), bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
    ]
    for groups in (8, 1, 8, 1, 2):
        size = 1 if groups == 1 else 3
        layers += [
            nn.Conv2d(8, 8, size, padding=size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8 * 2 * 2, 5))


def shared():
    """One layer called three times, on different inputs."""
    layer = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.BatchNorm2d(4), layer)


def normalized_features():
    """BatchNorm, an addition and two linear layers on features in the order (C, H, W)."""
    return Of(
        lambda m, x: m.a(m.norm(m.conv(x).flatten(1)) + m.conv(x).flatten(1)) + m.b(m.conv(x).flatten(1)),
        conv=nn.Conv2d(2, 3, 3),
        norm=nn.BatchNorm1d(3 * 2 * 4),
        a=nn.Linear(24, 4),
        b=nn.Linear(24, 4),
    )


MODELS = {
    "resnet20": (lambda: resnet20(width=8), (3, 32, 32)),
    "resnet18": (lambda: ResNet18(width=4), (3, 32, 32)),
    "ds-cnn": (lambda: DsCnn(width=24, blocks=2), (1, 25, 10)),
    "strided blocks": (strided_blocks, (3, 32, 32)),
    "vgg": (lambda: VggSmall(width=8), (3, 32, 32)),
    "separable": (separable, (1, 16, 8)),
    "mlp": (lambda: Mlp(192, (40, 24)), (3, 8, 8)),
    "digits": (DigitsCnn, (1, 8, 8)),
    "xnor order": (XnorCnn, (1, 8, 8)),
    "conv1d": (conv1d, (3, 21)),
    "shared layer": (shared, (4, 6, 5)),
    "normalized features": (normalized_features, (2, 4, 6)),
    "features": (lambda: nn.Sequential(nn.Linear(9, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)), (9,)),
    "flattened output": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten()), (2, 4, 6)),
}
CASES = pytest.mark.parametrize(("build", "size"), MODELS.values(), ids=MODELS)


def random_policies(layers, schemes, count):
    rng = np.random.default_rng(0)
    return [{name: schemes[rng.integers(len(schemes))] for name in layers} for _ in range(count)]


def outputs(fake, x):
    with torch.no_grad():
        return fake(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x)


@CASES
def test_outputs_of_low_bit_policies_are_those_of_the_fake_quantized_model_to_the_bit(twins, build, size):
    pair = twins(build, size)
    policies = [dict.fromkeys(pair.layers, scheme) for scheme in LOW]
    for policy in [*policies, *random_policies(pair.layers, LOW, 3)]:
        fake = pair.fake(policy)
        for threads, batch in itertools.product((1, 2), (1, 3)):
            compiled = pair.compiled(fake, threads=threads)
            y, expected = compiled(pair.x[:batch]), outputs(fake, pair.x[:batch])
            assert y.dtype == torch.float32
            assert torch.equal(y, expected), policy


@CASES
def test_outputs_of_policies_with_32_bit_layers_agree_within_rounding(twins, build, size):
    pair = twins(build, size)
    policies = random_policies(pair.layers, list(SCHEMES), 4)
    for policy in [dict.fromkeys(pair.layers, "w32a32"), *policies]:
        fake = pair.fake(policy)
        compiled = pair.compiled(fake)
        for batch in (1, 3):
            y, expected = compiled(pair.x[:batch]), outputs(fake, pair.x[:batch])
            torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
            assert torch.equal(y.argmax(1), expected.argmax(1))


def test_memory_order_of_the_input_does_not_matter(twins):
    pair = twins(*MODELS["vgg"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w4a8")))
    expected = compiled(pair.x)
    assert torch.equal(compiled(pair.x.contiguous(memory_format=torch.channels_last)), expected)
    strided = torch.stack([pair.x, -pair.x], dim=-1)[..., 0]
    negated = torch.complex(pair.x, -pair.x).conj().imag  # torch negates such views when they are read
    assert torch.equal(compiled(negated), expected)
    assert torch.equal(compiled(strided), expected)


def test_images_come_out_channels_last_and_outputs_of_two_calls_do_not_share_memory(twins):
    pair = twins(*MODELS["shared layer"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w8a8")))
    first = compiled(pair.x)
    assert first.is_contiguous(memory_format=torch.channels_last)
    kept = first.clone()
    compiled(-pair.x)
    assert torch.equal(first, kept)


def test_batches_may_change_from_call_to_call(twins):
    pair = twins(*MODELS["digits"])
    compiled = pair.compiled(pair.fake({**dict.fromkeys(pair.layers, "w1.58a8"), "conv2": "w32a32"}))
    whole = compiled(pair.x)
    for size in (1, 4, 1, 6):
        torch.testing.assert_close(compiled(pair.x[:size]), whole[:size], rtol=1e-5, atol=1e-6)


def test_threads_that_call_it_at_once_get_their_own_answers(twins):
    pair = twins(*MODELS["digits"])
    compiled = pair.compiled(pair.fake({**dict.fromkeys(pair.layers, "w1a8"), "fc1": "w32a32"}))
    inputs = [pair.x[:1], pair.x[1:3], pair.x[3:]]
    expected = [compiled(x).clone() for x in inputs]
    wrong = []

    def call(x, y):
        wrong.extend(len(x) for _ in range(50) if not torch.equal(compiled(x), y))

    threads = [threading.Thread(target=call, args=pair) for pair in zip(inputs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 1, 8, 8, dtype=torch.float64), r"float32 \(N, 1, 8, 8\).*got float64 \(1, 1, 8, 8\)"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int8), "got int8"),
        (torch.zeros(1, 8, 8), r"got float32 \(1, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8), r"got float32 \(1, 3, 8, 8\)"),
        (torch.zeros(1, 1, 9, 8), r"got float32 \(1, 1, 9, 8\)"),
        (torch.zeros(0, 1, 8, 8), r"not empty; got float32 \(0, 1, 8, 8\)"),
        (torch.tensor(1.0), r"got float32 \(\)"),
        (torch.zeros(1, 1, 8, 8, device="meta"), "on meta"),
        (np.zeros((1, 1, 8, 8), np.float32), "got ndarray"),
        (torch.zeros(1, 1, 8, 8).to_sparse(), "got torch.sparse_coo. Give one dense tensor"),
        (torch.nested.nested_tensor([torch.zeros(1, 8, 8)], layout=torch.jagged), "Give one dense tensor"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(twins, x, message):
    pair = twins(*MODELS["digits"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w4a8")))
    with pytest.raises(ShapeError, match=message):
        compiled(x)


def test_gradients_are_refused_but_not_inputs_that_could_have_them(twins):
    pair = twins(*MODELS["features"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w4a8")))
    expected = compiled(pair.x)
    x = pair.x.clone().requires_grad_()
    with pytest.raises(ExportError, match=r"no gradients.*torch.inference_mode"):
        compiled(x)
    with torch.no_grad():
        assert torch.equal(compiled(x), expected)


def test_it_cannot_be_trained(twins):
    pair = twins(*MODELS["features"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w4a8"))).eval()
    assert not compiled.training
    with pytest.raises(ConfigError, match="cannot be trained"):
        compiled.train()


def test_layers_may_be_named_by_any_of_their_names(twins):
    pair = twins(*MODELS["shared layer"])
    fake = pair.fake(dict.fromkeys(pair.layers, "w4a8"))
    (layer,) = freeze_model(fake).values()
    assert pair.layers == ("0",)
    assert torch.equal(CompiledModel(pair.model, {"4": layer}, pair.graph)(pair.x), outputs(fake, pair.x))


def test_changes_of_the_model_do_not_reach_what_was_compiled_from_it(twins):
    layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(36, 3)
    pair = twins(lambda: nn.Sequential(*layers), (2, 5, 5))
    compiled = pair.compiled(pair.fake({"0": "w4a8", "2": "w32a32", "4": "w32a32"}))
    expected = compiled(pair.x)
    for parameter in pair.model.parameters():
        nn.init.ones_(parameter)
    assert torch.equal(compiled(pair.x), expected)


def test_a_graph_of_another_model_is_refused(twins):
    digits, mlp = twins(*MODELS["digits"]), twins(*MODELS["mlp"])
    with pytest.raises(ConfigError, match="Mlp has no 'conv1'"):
        CompiledModel(mlp.model, {}, digits.graph)


@pytest.mark.parametrize("scheme", ["w1a1", "w32a32"])
def test_each_step_of_the_plan_is_timed_in_whole_passes(twins, scheme):
    pair = twins(*MODELS["digits"])
    policy = {**dict.fromkeys(pair.layers, "w4a8"), "conv2": scheme, "conv3": scheme, "fc2": scheme}
    compiled = pair.compiled(pair.fake(policy))
    timed = compiled.time_steps(pair.x[:3], repetitions=5)
    assert [shape.kind for shape, _ in timed] == [step.shape.kind for step in compiled.steps]
    for shape, seconds in timed:
        assert shape.batch == 3
        assert seconds.shape == (5,)
        assert (seconds >= 0).all()
    assert sum(float(np.median(seconds)) for _, seconds in timed) > 0
    assert ("float_layer" in {shape.kind for shape, _ in timed}) == (scheme == "w32a32")


def test_a_timing_without_repetitions_is_refused(twins):
    pair = twins(*MODELS["features"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w4a8")))
    with pytest.raises(ConfigError, match="`repetitions` must be 1 or more; got 0"):
        compiled.time_steps(pair.x, repetitions=0)


def test_it_says_how_it_runs(twins):
    pair = twins(*MODELS["features"])
    compiled = pair.compiled(pair.fake(dict.fromkeys(pair.layers, "w8a8")), threads=2)
    assert compiled.threads == 2
    assert compiled.isa
    assert compiled.packed_bytes >= 9 * 7 + 7 * 3
    assert f"isa={compiled.isa}, threads=2" in repr(compiled)
