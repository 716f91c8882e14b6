"""What a program refuses, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpsearch.errors import KernelError, ShapeError
from mpsearch.kernels.epilogue import Epilogue
from mpsearch.kernels.native import available_isas
from mpsearch.kernels.program import NativeProgram, takes_fused_image, writes_fused_images


@pytest.fixture
def program(make_layer) -> NativeProgram:
    """Value 0 (6, 6, 8) loaded; value 1 (6, 6, 8) and image 0 of a 3x3 layer not written."""
    program = NativeProgram()
    program.add_value(6, 6, 8)
    program.add_value(6, 6, 8)
    program.add_image(make_layer("w8a8", channels=8, columns=8, kernel=(3, 3), padding=(1, 1)), 6, 6)
    program.load(0, channels_first=False)
    return program


@pytest.mark.parametrize("isa", available_isas())
def test_the_forced_implementation_runs_the_program(monkeypatch, isa):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    assert NativeProgram().isa == isa


def test_an_implementation_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", "neon9000")
    with pytest.raises(KernelError, match="neon9000"):
        NativeProgram()


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5])
def test_a_senseless_number_of_threads_is_refused(threads):
    with pytest.raises(KernelError, match=f"`threads`.*got {threads}"):
        NativeProgram(threads=threads)


@pytest.mark.parametrize("size", [(0, 1, 1), (1, -1, 1), (1, 1, 0), (2**31, 2**31, 2), (2**62, 2**62, 2**62)])
def test_a_value_of_a_senseless_size_is_refused(size):
    with pytest.raises(ShapeError, match=r"height, width and channels of at least 1.*2\^40"):
        NativeProgram().add_value(*size)


def test_an_alias_holds_as_many_numbers_as_its_value(program):
    assert program.add_alias(0, 1, 1, 288) == 2
    with pytest.raises(ShapeError, match="as many numbers as its value; got 1x1x287 for 6x6x8"):
        program.add_alias(0, 1, 1, 287)
    with pytest.raises(ShapeError, match=r"id of a value.*got 9"):
        program.add_alias(9, 1, 1, 288)


def test_a_layer_whose_kernel_does_not_fit_is_refused(make_layer):
    layer = make_layer("w8a8", channels=8, columns=8, kernel=(3, 3))
    with pytest.raises(ShapeError, match="must fit the padded input; got an input of 2x6"):
        NativeProgram().add_image(layer, 2, 6)
    with pytest.raises(ShapeError, match="at least 1"):
        NativeProgram().add_image(layer, 0, 6)
    with pytest.raises(KernelError, match="at most 65536 products"):
        NativeProgram().add_image(make_layer("w1a8", columns=1, channels=65537), 1, 1)


@pytest.mark.parametrize("wrong", [-1, 2, 2**31 - 1])
def test_ids_that_name_nothing_are_refused(program, wrong):
    calls: list[Any] = [
        lambda: program.load(wrong, channels_first=True),
        lambda: program.store(wrong, channels_first=True),
        lambda: program.elementwise(wrong, value=1),
        lambda: program.elementwise(0, value=wrong),
        lambda: program.elementwise(0, images=[wrong]),
        lambda: program.layer(wrong, value=1),
        lambda: program.max_pool(wrong, kernel=(1, 1), stride=(1, 1), value=1),
        lambda: program.subsample(wrong, stride=(1, 1), channels_before=0, value=1),
        lambda: program.subsample(0, stride=(1, 1), channels_before=0, value=wrong),
        lambda: program.external([wrong], 1),
        lambda: program.external([0], wrong),
        lambda: program.value(wrong),
        lambda: program.elementwise(0, value=1, epilogue=Epilogue(residual=wrong)),
    ]
    for call in calls:
        with pytest.raises(ShapeError, match=f"got {wrong}"):
            call()
    assert len(program) == 1


def test_what_is_not_written_yet_cannot_be_read(program):
    for call in (
        lambda: program.store(1, channels_first=True),
        lambda: program.elementwise(1, images=[0]),
        lambda: program.elementwise(0, images=[0], epilogue=Epilogue(residual=1)),
        lambda: program.global_avg_pool(1, images=[0]),
        lambda: program.external([1], 1),
    ):
        with pytest.raises(KernelError, match=r"reads what an earlier one wrote.*value 1"):
            call()
    with pytest.raises(KernelError, match="image 0 is not written"):
        program.layer(0, value=1)


def test_a_value_is_written_once_and_an_alias_never(program):
    with pytest.raises(KernelError, match=r"written by one step.*got value 0"):
        program.elementwise(0, value=0)
    with pytest.raises(KernelError, match=r"written by one step.*got value 0"):
        program.load(0, channels_first=False)
    alias = program.add_alias(1, 1, 1, 288)
    with pytest.raises(KernelError, match="an alias by none; got value 2"):
        program.external([0], alias)


def test_an_image_is_written_once_before_its_layer_reads_it(program):
    with pytest.raises(KernelError, match=r"written once.*image 0 again"):
        program.elementwise(0, images=[0, 0])
    program.elementwise(0, images=[0])
    with pytest.raises(KernelError, match=r"written once.*image 0 again"):
        program.elementwise(0, images=[0])
    with pytest.raises(KernelError, match=r"written once.*image 0 again"):
        program.layer(0, images=[0])
    program.layer(0, value=1)
    with pytest.raises(KernelError, match="or was read already"):
        program.layer(0, value=program.add_value(6, 6, 8))
    program.elementwise(1, images=[0])
    program.layer(0, value=program.add_value(6, 6, 8))


def test_results_need_a_place_of_their_shape(program, make_layer):
    with pytest.raises(ShapeError, match="writes a value, an image, or both; got neither"):
        program.elementwise(0)
    other = program.add_value(6, 6, 9)
    with pytest.raises(ShapeError, match="`value` must have the shape of the result, 6x6x8; got 6x6x9"):
        program.elementwise(0, value=other)
    image = program.add_image(make_layer("w8a8", channels=9, columns=8), 6, 6)
    with pytest.raises(ShapeError, match="shape of the result, 6x6x8; image 1 has 6x6x9"):
        program.elementwise(0, images=[image])
    with pytest.raises(ShapeError, match="for each of the 8 output channels; got 9"):
        program.elementwise(0, value=1, epilogue=Epilogue(offset=np.ones(9, np.float32)))
    program.external([0], other)
    with pytest.raises(ShapeError, match="`residual` must have the shape of the result, 6x6x8; got 6x6x9"):
        program.elementwise(0, value=1, epilogue=Epilogue(residual=other))


def test_grouped_layers_neither_write_images_nor_have_theirs_written_but_by_elementwise_steps(make_layer):
    conv = {"kernel": (3, 3), "padding": (1, 1)}
    layers = {
        "dense": make_layer("w8a8", channels=8, columns=8, **conv),
        "depthwise": make_layer("w8a8", channels=8, columns=8, groups=8, **conv),
        "grouped": make_layer("w8a8", channels=8, columns=8, groups=2, **conv),
        "multiplied": make_layer("w8a8", channels=8, columns=16, groups=8, **conv),
    }
    assert {name for name, layer in layers.items() if takes_fused_image(layer)} == {"dense", "depthwise"}
    assert {name for name, layer in layers.items() if writes_fused_images(layer)} == {
        "dense",
        "depthwise",
        "multiplied",
    }
    for producer in ("dense", "grouped"):
        for layer in layers.values():
            program = NativeProgram()
            source = program.add_value(6, 6, 8)
            images = [program.add_image(each, 6, 6) for each in (layers[producer], layer)]
            program.load(source, channels_first=False)
            program.elementwise(source, images=[images[0]])
            if producer == "dense" and takes_fused_image(layer):
                program.layer(images[0], images=[images[1]])
                continue
            with pytest.raises(KernelError, match="then add an elementwise step"):
                program.layer(images[0], images=[images[1]])
            if not takes_fused_image(layer):
                with pytest.raises(KernelError, match="then add an elementwise step"):
                    program.max_pool(source, kernel=(1, 1), stride=(1, 1), images=[images[1]])
            program.elementwise(source, images=[images[1]])


@pytest.mark.parametrize(
    "window",
    [
        {"kernel": (0, 1), "stride": (1, 1)},
        {"kernel": (7, 1), "stride": (1, 1)},
        {"kernel": (2, 2), "stride": (0, 1)},
        {"kernel": (2, 2), "stride": (1, 1), "padding": (0, 2)},
        {"kernel": (2, 2), "stride": (1, 1), "padding": (-1, 0)},
        {"kernel": (2**62, 2), "stride": (1, 1), "padding": (2**61, 0)},
    ],
)
def test_a_window_that_does_not_fit_is_refused(program, window):
    for pool in (program.max_pool, program.avg_pool):
        with pytest.raises(ShapeError, match="A pooling window must fit"):
            pool(0, value=1, **window)


@pytest.mark.parametrize("size", [2**63, 1.0, "1", None])
def test_what_is_no_whole_number_of_64_bits_is_refused(program, size):
    with pytest.raises(ShapeError, match="whole numbers of 64 bits; got"):
        program.max_pool(0, kernel=(2, size), stride=(1, 1), value=1)
    with pytest.raises(ShapeError, match=r"`residual` must be the id of a value; got 2147483648"):
        program.elementwise(0, value=1, epilogue=Epilogue(residual=2**31))


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        ((3, 3, 8), {"stride": (2, 2), "channels_before": 1}),
        ((3, 3, 7), {"stride": (2, 2), "channels_before": 0}),
        ((3, 4, 8), {"stride": (2, 2), "channels_before": 0}),
        ((6, 6, 8), {"stride": (0, 1), "channels_before": 0}),
        ((6, 6, 8), {"stride": (1, 1), "channels_before": -1}),
        ((1, 1, 8), {"stride": (2**62, 2**62), "channels_before": 2**62}),
    ],
)
def test_a_shortcut_into_a_value_of_another_shape_is_refused(program, size, fields):
    value = program.add_value(*size)
    with pytest.raises(ShapeError, match="every stride-th pixel"):
        program.subsample(0, value=value, **fields)


def test_a_program_runs_once_it_is_prepared_and_again_after_every_change(program):
    x = np.zeros((1, 6, 6, 8), np.float32)
    with pytest.raises(KernelError, match="prepare it first"):
        program.run(0, 1, x)
    with pytest.raises(KernelError, match="have memory after prepare"):
        program.value(0)
    program.prepare(1)
    program.run(0, 1, x)
    for change in (
        lambda: program.add_value(1, 1, 1),
        lambda: program.add_alias(0, 1, 1, 288),
        lambda: program.elementwise(0, value=1),
    ):
        change()
        assert program.batch == 0
        with pytest.raises(KernelError, match="prepare it first"):
            program.run(0, 1, x)
        program.prepare(1)
        program.run(0, 1, x)


def test_a_value_that_no_step_writes_has_no_memory(program):
    program.prepare(1)
    with pytest.raises(KernelError, match="no memory; got value 1"):
        program.value(1)


@pytest.mark.parametrize("batch", [0, -1])
def test_an_empty_batch_is_refused(program, batch):
    with pytest.raises(ShapeError, match=f"at least 1 element; got {batch}"):
        program.prepare(batch)


def test_a_batch_that_no_memory_holds_is_refused_and_a_small_one_still_runs(program):
    for batch in (2**35, 2**62):
        with pytest.raises(KernelError, match="Use a smaller batch"):
            program.prepare(batch)
        with pytest.raises(KernelError, match="prepare it first"):
            program.run(0, 1, np.zeros((1, 6, 6, 8), np.float32))
    program.prepare(2)
    program.run(0, 1, np.zeros((2, 6, 6, 8), np.float32))


@pytest.mark.parametrize(("first", "last"), [(-1, 1), (0, 3), (2, 1), (2**62, 2**62)])
def test_steps_that_do_not_exist_cannot_run(program, first, last):
    program.store(0, channels_first=False)
    program.prepare(1)
    x = np.zeros((1, 6, 6, 8), np.float32)
    with pytest.raises(ShapeError, match="0 <= first <= last <= 2"):
        program.run(first, last, x, x.copy())
    program.run(1, 1)


def test_an_external_step_ends_a_run(program):
    program.external([0], 1)
    program.prepare(1)
    with pytest.raises(KernelError, match="Step 1 is external"):
        program.run(0, 2, np.zeros((1, 6, 6, 8), np.float32))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, r"`x` must be float32 \(1, 6, 6, 8\) for step 0; got none"),
        (np.zeros((2, 6, 6, 8), np.float32), r"\(1, 6, 6, 8\) for step 0; got \(2, 6, 6, 8\)"),
        (np.zeros((1, 8, 6, 6), np.float32), r"got \(1, 8, 6, 6\)"),
        (np.zeros((1, 6, 6, 8)), "`x` must be float32.*8-byte"),
        (np.zeros((6, 6, 8), np.float32), r"4 dimensions; got shape \(6, 6, 8\)"),
        (np.zeros((1, 6, 8, 6), np.float32).transpose(0, 1, 3, 2), "not contiguous"),
        ([[[[0.0]]]], "numpy array or CPU tensor.*list"),
    ],
)
def test_wrong_arrays_are_refused(program, x, message):
    program.store(0, channels_first=False)
    program.prepare(1)
    with pytest.raises(ShapeError, match=message):
        program.run(0, 1, x)
    with pytest.raises(ShapeError, match=message.replace("`x`", "`out`").replace("step 0", "step 1")):
        program.run(1, 2, None, x)


def test_an_output_that_cannot_be_written_is_refused(program):
    program.store(0, channels_first=False)
    program.prepare(1)
    out = np.zeros((1, 6, 6, 8), np.float32)
    out.flags.writeable = False
    with pytest.raises(ShapeError, match="writable"):
        program.run(1, 2, None, out)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (np.zeros(2), "`seconds` must have a place for each of the 1 steps; got 2"),
        (np.zeros(1, np.float32), "`seconds` must be float64"),
        (np.zeros((1, 1)), "1 dimensions"),
    ],
)
def test_seconds_have_a_place_for_each_step(program, seconds, message):
    program.prepare(1)
    with pytest.raises(ShapeError, match=message):
        program.run_timed(0, 1, seconds, np.zeros((1, 6, 6, 8), np.float32))
