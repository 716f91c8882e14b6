"""Every instruction set, every scheme, every kind of layer: equal to the reference, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.kernels.native import available_isas
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.kernels.reference import integer_output, quantize_activations, run_reference

ISAS = available_isas()
SCHEMES = tuple(WEIGHT_RANGES)


@pytest.mark.parametrize("zero_point", [0, -128])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("isa", ISAS)
def test_a_layer_equals_the_reference_to_the_bit(
    make_layer, native_on, layer_cases, isa, scheme, case_name, zero_point
):
    if scheme == "w1a1" and zero_point:
        zero_point = 0  # bits have none; the case still gets a second seed
    (batch, height, width), fields = layer_cases[case_name]
    layer = make_layer(scheme, zero_point=zero_point, seed=len(case_name) - zero_point, **fields)
    native = native_on(isa, layer)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(batch, height, width, layer.in_channels)).astype(np.float32)
    a = quantize_activations(x, layer.activation)

    sums = native.run_integer(a)
    np.testing.assert_array_equal(sums, integer_output(layer, a))

    y = np.empty(sums.shape, np.float32)
    native.run(x, y)
    np.testing.assert_array_equal(y, run_reference(layer, x))
    assert native.out_spatial(height, width) == sums.shape[1:3]


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_shapes_equal_the_reference(make_layer, native_on, isa, data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    def draw_pair(low, high):
        return draw(low, high), draw(low, high)

    groups = data.draw(st.sampled_from([1, 1, 1, 2, 5]))
    kernel, dilation, padding = draw_pair(1, 4), draw_pair(1, 2), draw_pair(0, 3)
    height, width = (
        draw(max(1, d * (k - 1) + 1 - 2 * p), 9) for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    layer = make_layer(
        data.draw(st.sampled_from(SCHEMES)),
        columns=groups * draw(1, 40),
        channels=groups * draw(1, 70),
        groups=groups,
        kernel=kernel,
        dilation=dilation,
        padding=padding,
        stride=draw_pair(1, 3),
        zero_point=data.draw(st.sampled_from([0, -128, -37, 127])),
        seed=draw(0, 1000),
    )
    x = (
        np.random.default_rng(3)
        .normal(size=(draw(1, 3), height, width, layer.in_channels))
        .astype(np.float32)
    )
    expected = run_reference(layer, x)
    y = np.empty_like(expected)
    native_on(isa, layer).run(x, y)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("zero_point", [0, -128])
@pytest.mark.parametrize("activation", [127, -128])
@pytest.mark.parametrize("reduction", [1, 4096, 65536])
@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s != "w1a1"])
@pytest.mark.parametrize("isa", ISAS)
def test_extreme_integers_do_not_overflow(
    make_layer, native_on, isa, scheme, reduction, activation, zero_point
):
    for weight in WEIGHT_RANGES[scheme]:
        layer = make_layer(
            scheme, columns=3, channels=reduction, weight=weight, zero_point=zero_point, has_bias=False
        )
        for rows in (1, 5):
            a = np.full((rows, 1, 1, reduction), activation, np.int8)
            expected = reduction * weight * (activation - zero_point)
            assert (native_on(isa, layer).run_integer(a) == expected).all()


@pytest.mark.parametrize("reduction", [1, 31, 4096, 65536])
@pytest.mark.parametrize("isa", ISAS)
def test_bits_that_all_agree_or_all_differ_are_counted_exactly(make_layer, native_on, isa, reduction):
    for weight in (-1, 1):
        layer = make_layer("w1a1", columns=3, channels=reduction, weight=weight)
        for activation in (-1, 1):
            for rows in (1, 3):
                a = np.full((rows, 1, 1, reduction), activation, np.int8)
                assert (native_on(isa, layer).run_integer(a) == reduction * weight * activation).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("isa", ISAS)
def test_special_floats_and_halves_are_quantized_as_the_reference_does(make_layer, native_on, isa, scheme):
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38, -3e38]
    for zero_point in (0, -128) if scheme != "w1a1" else (0,):
        layer = make_layer(scheme, columns=2, channels=40, zero_point=zero_point, has_bias=False)
        halves = (np.arange(-150, 290) + 0.5) / layer.activation.inverse_scale
        x = np.resize(np.concatenate((special, halves)), (12, 1, 1, 40)).astype(np.float32)
        if layer.activation.threshold is not None:
            x[5, 0, 0] = layer.activation.threshold
        expected = run_reference(layer, x)
        y = np.empty_like(expected)
        native_on(isa, layer).run(x, y)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_layer_follows_changes_of_its_input_size(make_layer, native_on, scheme):
    layer = make_layer(scheme, columns=10, channels=9, kernel=(3, 3), padding=(1, 1), zero_point=0)
    native = native_on(ISAS[0], layer)
    for batch, height, width in ((1, 5, 4), (3, 2, 8), (1, 5, 4), (2, 1, 1)):
        x = np.random.default_rng(height).normal(size=(batch, height, width, 9)).astype(np.float32)
        for _ in range(2):
            y = np.empty((batch, height, width, 10), np.float32)
            native.run(x, y)
            np.testing.assert_array_equal(y, run_reference(layer, x))


@pytest.mark.parametrize("isa", ISAS)
def test_nothing_is_written_outside_the_output(make_layer, native_on, isa):
    for columns, groups in ((17, 1), (21, 21)):
        layer = make_layer("w8a8", columns=columns, channels=21 if groups > 1 else 8, groups=groups)
        memory = np.full(columns * 3 + 64, 123, np.float32)
        y = memory[32 : 32 + columns * 3].reshape(3, 1, 1, columns)
        native_on(isa, layer).run(np.ones((3, 1, 1, layer.in_channels), np.float32), y)
        assert (memory[:32] == 123).all()
        assert (memory[-32:] == 123).all()
        assert (y != 123).all()
