from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from mpsearch.errors import ExportError, ShapeError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_layer
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.quantizer_choice import STANDARD, Binary, QuantizerChoice, Ternary, Uniform
from mpsearch.runtime.packed_layer import PackedLayer

LOW = [name for name in SCHEMES if name != "w32a32"]
CASES = {
    "linear": (lambda: nn.Linear(70, 9), (5, 70)),
    "linear on sequences": (lambda: nn.Linear(33, 9, bias=False), (2, 3, 33)),
    "linear on one vector": (lambda: nn.Linear(8, 3), (8,)),
    "conv1d": (lambda: nn.Conv1d(5, 6, 5, stride=2, padding=3, dilation=2), (3, 5, 17)),
    "grouped conv1d": (lambda: nn.Conv1d(6, 4, 3, padding="same", groups=2), (2, 6, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (3, 4, 9, 8)),
    "conv2d on one channel": (lambda: nn.Conv2d(1, 6, 3, padding=1), (2, 1, 8, 8)),
    "pointwise": (lambda: nn.Conv2d(40, 17, 1, stride=2), (2, 40, 5, 5)),
    "one pixel, one image": (lambda: nn.Conv2d(8, 4, 1), (1, 8, 1, 1)),
    "depthwise": (lambda: nn.Conv2d(9, 9, 3, padding=2, dilation=2, groups=9), (2, 9, 7, 7)),
    "depthwise of multiplier 2": (lambda: nn.Conv2d(4, 8, 3, padding="same", groups=4), (3, 4, 6, 6)),
    "grouped": (lambda: nn.Conv2d(8, 12, 3, padding=1, groups=2), (2, 8, 6, 6)),
}


def quantized(case, scheme, *, relu, choice=STANDARD):
    torch.manual_seed(0)
    build, shape = CASES[case]
    layer = quantize_layer(build(), SCHEMES[scheme], choice)
    x = torch.randn(shape)
    x = x.relu() if relu else x
    layer.activation_quantizer.start_calibration()
    layer.activation_quantizer.observe(x)
    layer.activation_quantizer.end_calibration()
    return layer, x


def packed(case, scheme="w4a8", *, relu=False):
    layer, x = quantized(case, scheme, relu=relu)
    return PackedLayer(freeze_layer(layer)), x


@pytest.mark.parametrize("relu", [False, True], ids=["signed input", "after relu"])
@pytest.mark.parametrize("scheme", LOW)
@pytest.mark.parametrize("case", CASES)
def test_output_is_that_of_the_fake_quantized_layer(case, scheme, relu):
    layer, x = quantized(case, scheme, relu=relu)
    y = PackedLayer(freeze_layer(layer))(x)
    trained = layer(x).detach()
    torch.testing.assert_close(y, trained, rtol=1e-5, atol=2e-6 * float(trained.abs().max()) + 1e-6)
    with torch.no_grad():
        scored = layer(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, scored)  # to the bit


@pytest.mark.parametrize("case", ["linear", "conv2d", "depthwise"])
@pytest.mark.parametrize(
    ("family", "name", "schemes"),
    [
        (family, name, schemes)
        for family, names, schemes in (
            ("binary", Binary, ("w1a8", "w1a1")),
            ("ternary", Ternary, ("w1.58a8",)),
            ("uniform", Uniform, ("w4a8", "w8a8")),
        )
        for name in get_args(names)
    ],
)
def test_the_kernels_compute_what_each_weight_quantizer_does_to_the_bit(case, family, name, schemes):
    for scheme in schemes:
        layer, x = quantized(case, scheme, relu=True, choice=QuantizerChoice(**{family: name}))
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
        for _ in range(2):  # so that learnt scales are not where they began
            layer(x).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            scored = layer(x)
        assert torch.equal(PackedLayer(freeze_layer(layer))(x), scored)


@pytest.mark.parametrize("scheme", LOW)
def test_two_threads_give_the_same_numbers(scheme):
    layer, x = quantized("conv2d", scheme, relu=True)
    frozen = freeze_layer(layer)
    assert torch.equal(PackedLayer(frozen, threads=2)(x), PackedLayer(frozen, threads=1)(x))


@pytest.mark.parametrize("case", ["conv2d", "conv2d on one channel", "conv1d"])
def test_memory_order_of_the_input_does_not_matter(case):
    layer, x = packed(case)
    strided = torch.stack([x, -x], dim=-1)[..., 0]
    assert torch.equal(layer(strided), layer(x))
    if x.ndim == 4:
        assert torch.equal(layer(x.contiguous(memory_format=torch.channels_last)), layer(x))


def test_a_channels_last_image_is_read_without_a_copy_and_gives_a_channels_last_image(monkeypatch):
    layer, x = packed("conv2d")
    x = x.contiguous(memory_format=torch.channels_last)
    seen = []
    native = layer.native
    monkeypatch.setattr(layer, "native", SpyNative(native, seen))
    y = layer(x)
    assert seen[0].ctypes.data == x.data_ptr()
    assert y.is_contiguous(memory_format=torch.channels_last)


class SpyNative:
    def __init__(self, native, seen):
        self.native, self.seen = native, seen
        self.out_spatial = native.out_spatial

    def run(self, x, out):
        self.seen.append(x)
        self.native.run(x, out)


@pytest.mark.parametrize("case", ["conv2d", "conv1d"])
def test_outputs_are_contiguous_where_asked(case):
    layer, x = packed(case)
    last = layer(x)
    layer.channels_last = False
    assert layer(x).is_contiguous()
    assert torch.equal(layer(x), last)


def test_outputs_of_two_calls_do_not_share_memory():
    layer, x = packed("linear")
    first = layer(x)
    kept = first.clone()
    layer(x * 2)
    assert torch.equal(first, kept)


@pytest.mark.parametrize(
    ("case", "x", "message"),
    [
        ("linear", torch.zeros(2, 70, dtype=torch.float64), r"takes float32 on the CPU; got torch.float64"),
        ("linear", torch.zeros(2, 70, dtype=torch.int8), r"got torch.int8"),
        ("linear", np.zeros((2, 70), np.float32), r"takes one dense tensor; got ndarray"),
        ("linear", torch.zeros(2, 70).to_sparse(), r"takes one dense tensor; got torch.sparse_coo"),
        ("linear", torch.zeros(2, 70, device="meta"), r"float32 on the CPU; got torch.float32 on meta"),
        ("linear", torch.zeros(2, 71), r"\(\*, C\) with C = 70; got \(2, 71\)"),
        ("linear", torch.tensor(1.0), r"with C = 70; got \(\)"),
        ("linear", torch.zeros(0, 70), r"not empty; got \(0, 70\)"),
        ("conv1d", torch.zeros(5, 17), r"\(B, C, L\) with C = 5; got \(5, 17\)"),
        ("conv2d", torch.zeros(4, 9, 8), r"\(B, C, H, W\) with C = 4; got \(4, 9, 8\)"),
        ("conv2d", torch.zeros(3, 1, 9, 8), r"with C = 4; got \(3, 1, 9, 8\)"),
        ("conv2d", torch.zeros(3, 4, 9, 2), "fit"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(case, x, message):
    layer, _ = packed(case)
    with pytest.raises(ShapeError, match=message):
        layer(x)


def test_gradients_are_refused_but_not_inputs_that_could_have_them():
    layer, x = packed("linear")
    expected = layer(x)
    x.requires_grad_()
    with pytest.raises(ExportError, match=r"no gradients.*torch.inference_mode"):
        layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), expected)


def test_it_says_what_it_is():
    layer, _ = packed("conv2d", "w1a1")
    assert f"conv2d, 4, 6, scheme=w1a1, isa={layer.native.isa}" in repr(layer)
