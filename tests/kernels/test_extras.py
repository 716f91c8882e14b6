"""What a layer computes beside its scheme: two weight scales, scales of tokens and pixels, ternary inputs."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import ShapeError
from mpsearch.kernels.native import NativeLayer, available_isas
from mpsearch.kernels.program import takes_fused_image
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.kernels.reference import (
    integer_output,
    pixel_scales,
    quantize_activations,
    run_reference,
    token_scales,
)
from mpsearch.precision.scheme import SCHEMES

LINEAR = {"columns": 33, "channels": 70}
WIDE = {"columns": 130, "channels": 300}
DENSE = {"columns": 40, "channels": 16, "kernel": 3, "padding": 1}
STRIDED = {"columns": 72, "channels": 24, "kernel": 3, "padding": 2, "stride": 2, "groups": 4}
DILATED = {"columns": 9, "channels": 5, "kernel": 3, "padding": 2, "dilation": 2}
DEPTHWISE = {"columns": 70, "channels": 70, "kernel": 3, "padding": 1, "groups": 70}
TWICE = {**DEPTHWISE, "columns": 140}

# name: scheme, extras, geometry
CASES = {
    "ttq linear": ("w1.58a8", {"two_scales"}, WIDE),
    "ttq linear after relu": ("w1.58a8", {"two_scales", "unsigned"}, LINEAR),
    "ttq 3x3": ("w1.58a8", {"two_scales"}, DENSE),
    "ttq 3x3 after relu": ("w1.58a8", {"two_scales", "unsigned"}, DENSE),
    "ttq in groups": ("w1.58a8", {"two_scales"}, STRIDED),
    "ttq depthwise": ("w1.58a8", {"two_scales"}, DEPTHWISE),
    "ttq depthwise of ternary inputs": ("w1.58a8", {"two_scales", "ternary_input"}, TWICE),
    "ttq of tokens": ("w1.58a8", {"two_scales", "token_scale"}, WIDE),
    "w1a8 of tokens": ("w1a8", {"token_scale"}, LINEAR),
    "w4a8 of tokens": ("w4a8", {"token_scale"}, WIDE),
    "w8a8 of tokens": ("w8a8", {"token_scale"}, LINEAR),
    "xnor linear": ("w1a1", {"pixel_scale"}, LINEAR),
    "xnor 3x3": ("w1a1", {"pixel_scale"}, DENSE),
    "xnor in groups": ("w1a1", {"pixel_scale"}, STRIDED),
    "xnor dilated": ("w1a1", {"pixel_scale"}, DILATED),
    "xnor depthwise": ("w1a1", {"pixel_scale"}, DEPTHWISE),
    "w1a8 of ternary inputs": ("w1a8", {"ternary_input"}, STRIDED),
    "w1.58a8 of ternary inputs": ("w1.58a8", {"ternary_input"}, DENSE),
    "w4a8 of ternary inputs": ("w4a8", {"ternary_input"}, DILATED),
    "w8a8 of ternary inputs": ("w8a8", {"ternary_input"}, LINEAR),
}


def layer_of(name, seed=0):
    scheme, extras, geometry = CASES[name]
    rng = np.random.default_rng(seed)
    columns, channels = geometry["columns"], geometry["channels"]
    kernel, groups = geometry.get("kernel", 1), geometry.get("groups", 1)
    low, high = WEIGHT_RANGES[scheme]
    size = (columns, channels // groups, kernel, kernel)
    weight = rng.integers(low, high, size, np.int8, endpoint=True)
    if SCHEMES[scheme].weight_bits == 1:
        weight[weight == 0] = 1
    given = "scale_of" if extras & {"token_scale", "pixel_scale"} else None
    positive = lambda: rng.uniform(0.1, 1, columns).astype(np.float32)  # noqa: E731
    return QuantizedLayer(
        operator="linear" if kernel == 1 else "conv2d",
        scheme=SCHEMES[scheme],
        weight=weight,
        weight_scale=positive(),
        negative_scale=positive() if "two_scales" in extras else None,
        bias=rng.standard_normal(columns).astype(np.float32),
        activation=ActivationFormat(
            bits=SCHEMES[scheme].activation_bits,
            scale=np.float32(1 if given else 0.02),
            zero_point=-128 if "unsigned" in extras else 0,
            threshold=np.zeros(channels, np.float32) if scheme == "w1a1" else None,
            scale_of="token" if "token_scale" in extras else "pixel" if "pixel_scale" in extras else "layer",
            ternary_step=np.float32(0.8) if "ternary_input" in extras else None,
        ),
        stride=(geometry.get("stride", 1),) * 2,
        padding=(geometry.get("padding", 0),) * 2,
        dilation=(geometry.get("dilation", 1),) * 2,
        groups=groups,
    )


def inputs_of(layer, batch, seed=1):
    spatial = (1, 1) if layer.operator == "linear" else (9, 7)
    x = np.random.default_rng(seed).standard_normal((batch, *spatial, layer.in_channels))
    return x.astype(np.float32)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", CASES)
def test_every_implementation_equals_the_reference_to_the_bit(name, isa, monkeypatch):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    layer = layer_of(name)
    for batch, threads in ((1, 1), (3, 2), (40, 2)):
        native = NativeLayer(layer, threads=threads)
        x = inputs_of(layer, batch)
        if layer.activation.scale_of != "pixel":
            x[0, 0, 0, 0] = np.nan
        expected = run_reference(layer, x)
        out = np.empty_like(expected)
        for _ in range(2):  # buffers are kept
            native.run(x, out)
            np.testing.assert_array_equal(out, expected)
        a = quantize_activations(x, layer.activation)
        np.testing.assert_array_equal(native.run_integer(a), integer_output(layer, a))


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_the_product_of_the_real_numbers_that_integers_stand_for(name):
    layer = replace(layer_of(name), groups=1) if CASES[name][2].get("groups", 1) == 1 else layer_of(name)
    x = inputs_of(layer, 2)
    signs = np.where(layer.weight < 0, -1, 1)
    scale = layer.weight_scale[:, None, None, None].astype(np.float64)
    if layer.negative_scale is not None:
        scale = np.where(signs < 0, layer.negative_scale[:, None, None, None], scale)
    weight = layer.weight * scale
    a = quantize_activations(x, layer.activation).astype(np.float64) - layer.activation.zero_point
    a *= layer.activation.scale
    if layer.activation.scale_of == "token":
        a *= token_scales(x)
    y = direct_convolution(a, weight, layer)
    if layer.activation.scale_of == "pixel":
        y *= pixel_scales(layer, x)
    np.testing.assert_allclose(run_reference(layer, x), y + layer.bias, rtol=1e-4, atol=1e-4)


def direct_convolution(a, weight, layer):
    """Each output by itself."""
    (pad, _), (stride, _), (dilation, _) = layer.padding, layer.stride, layer.dilation
    padded = np.pad(a, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    reach = dilation * (weight.shape[2] - 1) + 1
    columns, channels = len(weight) // layer.groups, weight.shape[1]
    sizes = [(padded.shape[axis] - reach) // stride + 1 for axis in (1, 2)]
    y = np.zeros((len(a), *sizes, len(weight)))
    for row, column in np.ndindex(*sizes):
        top, left = row * stride, column * stride
        window = padded[:, top : top + reach : dilation, left : left + reach : dilation]
        for n in range(len(weight)):
            first = n // columns * channels
            part = window[..., first : first + channels]
            y[:, row, column, n] = np.einsum("bhwc,chw->b", part, weight[n])
    return y


def test_a_pixels_scale_is_the_mean_magnitude_of_its_window_with_padding_as_zeros():
    layer = layer_of("xnor 3x3")
    x = inputs_of(layer, 1)
    scales = pixel_scales(layer, x)
    assert scales.shape == (1, 9, 7, 1)
    assert scales[0, 4, 3, 0] == pytest.approx(np.abs(x[0, 3:6, 2:5]).mean())
    assert scales[0, 0, 0, 0] == pytest.approx(np.abs(x[0, :2, :2]).sum() / (9 * 16))


def test_a_tokens_greatest_magnitude_becomes_127_and_rows_of_zeros_stay_zeros():
    fmt = layer_of("w8a8 of tokens").activation
    x = np.array([[0.5, -2.0, 1.0], [0, 0, 0], [np.nan, 1e-12, 0], [3e38, -3e38, 1]], np.float32)
    a = quantize_activations(x, fmt)
    assert a.tolist() == [[32, -127, 64], [0, 0, 0], [0, 0, 0], [127, -127, 0]]


def test_inputs_that_need_the_whole_input_are_not_written_by_an_epilogue():
    writable = {name for name in CASES if takes_fused_image(layer_of(name))}
    assert writable == {
        "ttq linear",
        "ttq linear after relu",
        "ttq 3x3",
        "ttq 3x3 after relu",
        "ttq depthwise",
    }


def test_a_layer_tells_its_extras():
    for name, (_, extras, _) in CASES.items():
        assert set(layer_of(name).extras) == extras - {"unsigned"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("w4a8 of tokens", {"negative_scale": np.ones(130, np.float32)}),
        ("ttq linear", {"negative_scale": np.ones(3, np.float32)}),
        ("ttq linear", {"negative_scale": np.full(130, np.inf, np.float32)}),
        ("w8a8 of tokens", {"operator": "conv2d"}),
    ],
)
def test_a_layer_whose_parts_do_not_fit_is_refused(name, changes):
    with pytest.raises(ShapeError):
        replace(layer_of(name), **changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("w8a8 of tokens", {"scale": np.float32(2)}),
        ("w8a8 of tokens", {"scale_of": "pixel"}),
        ("w8a8 of tokens", {"scale_of": "row"}),
        ("w8a8 of tokens", {"zero_point": -128}),
        ("w8a8 of tokens", {"ternary_step": np.float32(1)}),
        ("xnor linear", {"scale_of": "token"}),
        ("xnor linear", {"ternary_step": np.float32(1)}),
        ("w8a8 of ternary inputs", {"ternary_step": np.float32(0)}),
        ("w8a8 of ternary inputs", {"zero_point": -128}),
    ],
)
def test_a_format_whose_parts_do_not_fit_is_refused(name, changes):
    with pytest.raises(ShapeError):
        replace(layer_of(name).activation, **changes)
