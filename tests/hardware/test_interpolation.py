"""Interpolation recovers laws that it can express, and stays inside what was measured."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.hardware.interpolation import LatencyModel, _non_negative_fit
from mpsearch.hardware.measurement import Measurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import Outputs, StepShape, call_step
from mpsearch.precision.scheme import SCHEMES

SHAPES = [
    LayerShape(operator="linear", batch=batch, in_channels=k, out_channels=n)
    for batch in (1, 16)
    for k in (8, 64, 512)
    for n in (8, 64, 512)
]


def model_of(law):
    return LatencyModel(
        [
            Measurement(
                shape=call_step(shape, SCHEMES["w8a8"]),
                latency_s=law(shape),
                quartiles_s=(law(shape), law(shape)),
                p95_s=1.5 * law(shape),
                p99_s=2 * law(shape),
                repetitions=1,
            )
            for shape in SHAPES
        ]
    )


def int8(**sizes):
    return call_step(LayerShape(operator="linear", **sizes), SCHEMES["w8a8"])


def affine(shape):
    return 3e-6 + 2e-11 * shape.macs + 5e-10 * shape.input_count + 1e-10 * shape.weight_count


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 16), k=st.integers(1, 8), n=st.integers(1, 16))
def test_a_law_of_its_own_form_is_recovered_where_tiles_are_full(batch, k, n):
    shape = int8(batch=batch, in_channels=64 * k, out_channels=32 * n)
    model = model_of(affine)
    assert model.covers(shape)
    assert model.estimate(shape).latency_s == pytest.approx(affine(shape.layer), rel=0.05)


def test_neighbours_correct_a_law_of_another_form():
    def bent(shape):
        return affine(shape) * (1.3 if shape.in_channels > 64 else 1.0)

    shape = int8(batch=16, in_channels=500, out_channels=500)
    estimate = model_of(bent).estimate(shape)
    assert estimate.latency_s == pytest.approx(bent(shape.layer), rel=0.1)
    low, high = estimate.quartiles_s
    assert low < estimate.latency_s < high <= estimate.p95_s <= estimate.p99_s


def test_shapes_outside_the_measured_box_are_not_covered():
    model = model_of(affine)
    assert not model.covers(int8(batch=1, in_channels=4, out_channels=8))
    assert not model.covers(int8(batch=17, in_channels=512, out_channels=512))


def test_formats_of_the_output_have_prices_of_their_own():
    written = [
        Outputs(float32=True),
        Outputs(byte_images=1),
        Outputs(bit_images=1),
        Outputs(float32=True, byte_images=1),
    ]

    def relu(channels, outputs):
        return StepShape(kind="elementwise", batch=1, size=(8, 8, channels), outputs=outputs)

    def law(step):
        count = 64 * step.size[2]
        written = step.outputs
        prices = 4e-10 * written.float32, 1e-10 * written.byte_images, 3e-10 * written.bit_images
        return 1e-6 + count * sum(prices)

    steps = [relu(channels, outputs) for channels in (4, 16, 64) for outputs in written]
    model = LatencyModel(
        [
            Measurement(
                shape=step,
                latency_s=law(step),
                quartiles_s=(law(step), law(step)),
                p95_s=law(step),
                p99_s=law(step),
                repetitions=1,
            )
            for step in steps
        ]
    )
    unseen = relu(32, Outputs(float32=True, bit_images=1))
    assert model.estimate(unseen).latency_s == pytest.approx(law(unseen), rel=0.05)


def test_the_fit_is_the_best_non_negative_one():
    rng = np.random.default_rng(0)
    a, b = rng.random((20, 4)), rng.random(20)
    b += 1 - 0.8 * a[:, 1]
    x = _non_negative_fit(a, b)
    gradient = a.T @ (a @ x - b)
    assert np.any(x > 0)
    assert np.any(x == 0)
    assert np.all(gradient >= -1e-9)
    assert np.abs(gradient[x > 0]).max() < 1e-9
