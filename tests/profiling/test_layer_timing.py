import pytest
import torch

from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import call_step
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling.grid import grid_shapes
from mpsearch.profiling.layer_timing import MAX_COPIES, copies, time_layer
from mpsearch.profiling.random_layer import random_input, random_layer

CONV1D = LayerShape(
    operator="conv1d",
    batch=2,
    in_channels=4,
    out_channels=6,
    spatial=(1, 9),
    kernel=(1, 3),
    stride=(1, 2),
    padding=(0, 1),
    groups=2,
)
CONV2D = LayerShape(
    operator="conv2d",
    batch=1,
    in_channels=4,
    out_channels=8,
    spatial=(6, 5),
    kernel=(3, 2),
    dilation=(2, 1),
    has_bias=False,
)
LINEAR = LayerShape(operator="linear", batch=3, in_channels=7, out_channels=5)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=str)
@pytest.mark.parametrize("shape", [CONV1D, CONV2D, LINEAR], ids=str)
def test_a_random_layer_computes_what_its_shape_says(shape, scheme):
    with torch.inference_mode():
        output = random_layer(shape, scheme, threads=1)(random_input(shape))
    assert output.numel() == shape.output_count
    assert output.isfinite().all()


def test_all_schemes_of_a_shape_are_measured(quick):
    footprints = dict.fromkeys(SCHEMES.values(), 1000)
    timed = time_layer(LINEAR, footprints, threads=1, settings=quick)
    assert [measurement.shape for measurement, _ in timed] == [
        call_step(LINEAR, scheme) for scheme in SCHEMES.values()
    ]
    assert all(m.latency_s > 0 and m.footprint_bytes == 1000 for m, _ in timed)


def test_copies_fill_the_footprint_within_bounds():
    int8, shape = SCHEMES["w8a8"], LayerShape(operator="linear", batch=1, in_channels=100, out_channels=100)
    assert copies(shape, int8, 1) == 1
    assert copies(shape, int8, 45_000) == 5
    assert copies(shape, SCHEMES["w4a8"], 45_000) == 9
    assert copies(shape, int8, 1 << 40) == MAX_COPIES
    huge = LayerShape(operator="linear", batch=1, in_channels=1 << 15, out_channels=1 << 15)
    assert copies(huge, int8, 1 << 40) == 1


def test_the_number_of_torch_threads_is_restored(quick):
    before = torch.get_num_threads()
    time_layer(LINEAR, {SCHEMES["w8a8"]: 1}, threads=before + 1, settings=quick)
    assert torch.get_num_threads() == before


def test_the_grid_spans_every_operator_kind_with_enough_shapes_to_interpolate():
    shapes = grid_shapes()
    kinds = [shape.kind for shape in shapes]
    assert len(set(shapes)) == len(shapes)
    assert set(kinds) == {"linear", "conv1d", "conv2d", "depthwise_conv2d", "grouped_conv2d"}
    assert min(map(kinds.count, kinds)) >= 6
