"""Chains of steps in the native program: equal to the same chains in numpy, to the bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mpsearch.kernels.epilogue import Epilogue, apply_epilogue
from mpsearch.kernels.native import available_isas
from mpsearch.kernels.program import NativeProgram, takes_fused_image, writes_fused_images
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, QuantizedLayer
from mpsearch.kernels.reference import run_reference

ISAS = available_isas()
SCHEMES = tuple(WEIGHT_RANGES)
Shape = tuple[int, int, int]


def pool_reference(
    x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], reduction: str
) -> np.ndarray:
    """Windows of x (N, H, W, C), their taps in order."""
    height, width = ((x.shape[1 + i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in range(2))
    out = np.empty((len(x), height, width, x.shape[3]), np.float32)
    for row in range(height):
        for column in range(width):
            top, left = row * stride[0] - padding[0], column * stride[1] - padding[1]
            window = x[:, max(top, 0) : top + kernel[0], max(left, 0) : left + kernel[1]]
            taps = window.reshape(len(x), -1, x.shape[3])
            if reduction == "max":
                out[:, row, column] = taps.max(axis=1)
            else:
                total = np.add.accumulate(taps, axis=1, dtype=np.float32)[:, -1]
                out[:, row, column] = total / np.float32(kernel[0] * kernel[1])
    return out


class Mirror:
    """Adds steps to a native program and to a numpy one at the same time."""

    def __init__(self, program: NativeProgram) -> None:
        self.program = program
        self.shapes: dict[int, Shape] = {}
        self.roots: dict[int, int] = {}  # of aliases
        self.read: set[int] = set()
        self.layers: dict[int, tuple[QuantizedLayer, int, int]] = {}
        self.steps: list[Callable[[dict[int, np.ndarray], dict[int, np.ndarray], np.ndarray], None]] = []

    def value(self, shape: Shape) -> int:
        value = self.program.add_value(*shape)
        self.shapes[value] = shape
        return value

    def root(self, value: int) -> int:
        return self.roots.get(value, value)

    def unread(self) -> list[int]:
        """Values that keep their numbers to the end of a run."""
        return [value for value in self.shapes if value not in self.roots and value not in self.read]

    def image(self, layer: QuantizedLayer, shape: Shape) -> int:
        image = self.program.add_image(layer, *shape[:2])
        self.layers[image] = layer, shape[0], shape[1]
        return image

    def load(self, value: int, *, channels_first: bool) -> None:
        self.program.load(value, channels_first=channels_first)

        def step(values: Any, images: Any, x: np.ndarray) -> None:
            values[value] = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if channels_first else x

        self.steps.append(step)

    def alias(self, value: int, shape: Shape) -> int:
        alias = self.program.add_alias(value, *shape)
        self.shapes[alias] = shape
        self.roots[alias] = self.root(value)

        def step(values: Any, images: Any, x: np.ndarray) -> None:
            values[alias] = values[value].reshape(-1, *shape)

        self.steps.append(step)
        return alias

    def _finish(
        self,
        z: Callable[[Any, Any], np.ndarray],
        epilogue: Epilogue,
        value: int | None,
        images: Sequence[int],
    ) -> None:
        if epilogue.residual is not None:
            self.read.add(self.root(epilogue.residual))

        def step(values: Any, image_values: Any, x: np.ndarray) -> None:
            residual = None if epilogue.residual is None else values[epilogue.residual]
            y = apply_epilogue(z(values, image_values), epilogue, residual)
            if value is not None:
                values[value] = y
            for image in images:
                image_values[image] = y

        self.steps.append(step)

    def elementwise(self, source: int, **sink: Any) -> None:
        self.read.add(self.root(source))
        self.program.elementwise(source, **sink)
        self._finish(lambda values, images: values[source], **sink)

    def layer(self, image: int, **sink: Any) -> None:
        self.program.layer(image, **sink)
        layer = self.layers[image][0]
        self._finish(lambda values, images: run_reference(layer, images[image]), **sink)

    def max_pool(self, source: int, kernel: Any, stride: Any, padding: Any, **sink: Any) -> None:
        self.read.add(self.root(source))
        self.program.max_pool(source, kernel=kernel, stride=stride, padding=padding, **sink)
        self._finish(lambda v, _: pool_reference(v[source], kernel, stride, padding, "max"), **sink)

    def avg_pool(self, source: int, kernel: Any, stride: Any, padding: Any, **sink: Any) -> None:
        self.read.add(self.root(source))
        self.program.avg_pool(source, kernel=kernel, stride=stride, padding=padding, **sink)
        self._finish(lambda v, _: pool_reference(v[source], kernel, stride, padding, "mean"), **sink)

    def subsample(self, source: int, stride: tuple[int, int], before: int, value: int) -> None:
        self.read.add(self.root(source))
        self.program.subsample(source, stride=stride, channels_before=before, value=value)
        channels, before_and_after = self.shapes[source][2], self.shapes[value][2]

        def step(values: Any, images: Any, x: np.ndarray) -> None:
            picked = values[source][:, :: stride[0], :: stride[1]]
            out = np.zeros((*picked.shape[:3], before_and_after), np.float32)
            out[..., before : before + channels] = picked
            values[value] = out

        self.steps.append(step)

    def reference(self, x: np.ndarray) -> dict[int, np.ndarray]:
        values: dict[int, np.ndarray] = {}
        images: dict[int, np.ndarray] = {}
        for step in self.steps:
            step(values, images, x)
        return values


class RandomChain:
    """Random steps; every value that is not read any more at the end can be compared."""

    def __init__(self, make_layer: Any, program: NativeProgram, seed: int) -> None:
        self.make_layer = make_layer
        self.rng = np.random.default_rng(seed)
        self.mirror = Mirror(program)
        self.x_shape: Shape = (int(self.rng.integers(3, 9)), int(self.rng.integers(3, 9)), self.channels())
        self.waiting: list[int] = []  # images that are written
        first = self.mirror.value(self.x_shape)
        self.channels_first = bool(self.rng.integers(2))
        self.mirror.load(first, channels_first=self.channels_first)
        self.values = [first]
        for _ in range(14):
            self.add_step()
        while self.waiting:
            self.add_layer(last=True)

    def chance(self, probability: float = 0.5) -> bool:
        return bool(self.rng.random() < probability)

    def channels(self) -> int:
        return int(self.rng.choice([1, 3, 8, 16, 17, 31, 32, 33, 64, 70]))

    def add_step(self) -> None:
        if self.waiting and self.chance(0.8):
            self.add_layer(last=False)
            return
        source = int(self.rng.choice(self.values))
        height, width, channels = self.mirror.shapes[source]
        kind = self.rng.choice(["elementwise", "elementwise", "max_pool", "avg_pool", "subsample", "alias"])
        if kind == "elementwise":
            sink = self.sink((height, width, channels), can_fuse=True, any_layer=True)
            self.mirror.elementwise(source, **sink)
        elif kind == "subsample":
            stride = int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3))
            before, after = int(self.rng.integers(0, 9)), int(self.rng.integers(0, 9))
            shape = (-(-height // stride[0]), -(-width // stride[1]), before + channels + after)
            value = self.mirror.value(shape)
            self.mirror.subsample(source, stride, before, value)
            self.values.append(value)
        elif kind == "alias":
            self.values.append(self.mirror.alias(source, (width, height, channels)))
        else:
            windows = [self.window(size) for size in (height, width)]
            kernel, stride, padding, out = zip(*windows, strict=True)
            sink = self.sink((out[0], out[1], channels), can_fuse=True)
            getattr(self.mirror, kind)(source, kernel, stride, padding, **sink)

    def window(self, size: int) -> tuple[int, int, int, int]:
        """Kernel, stride, padding and size of the output."""
        kernel, stride = int(self.rng.integers(1, min(size, 3) + 1)), int(self.rng.integers(1, 3))
        padding = int(self.rng.integers(0, kernel // 2 + 1))
        return kernel, stride, padding, (size + 2 * padding - kernel) // stride + 1

    def add_layer(self, *, last: bool) -> None:
        image = self.waiting.pop(int(self.rng.integers(len(self.waiting))))
        layer, height, width = self.mirror.layers[image]
        shape = (*layer_out_spatial(layer, height, width), layer.out_channels)
        can_fuse = writes_fused_images(layer) and not last
        self.mirror.layer(image, **self.sink(shape, can_fuse=can_fuse))

    def sink(self, shape: Shape, *, can_fuse: bool, any_layer: bool = False) -> dict[str, Any]:
        images = []
        for _ in range(int(self.rng.integers(0, 3)) if can_fuse else 0):
            layer = self.random_layer(shape)
            if any_layer or takes_fused_image(layer):
                images.append(self.mirror.image(layer, shape))
        self.waiting += images
        epilogue = self.random_epilogue(shape)
        value = None
        if not images or self.chance():
            value = self.mirror.value(shape)
            self.values.append(value)
        return {"epilogue": epilogue, "value": value, "images": images}

    def random_epilogue(self, shape: Shape) -> Epilogue:
        affine: dict[str, Any] = {}
        if self.chance(0.6):
            affine["multiplier"] = self.rng.normal(scale=0.1, size=shape[2]).astype(np.float32)
        if self.chance(0.6):
            affine["offset"] = self.rng.normal(scale=0.5, size=shape[2]).astype(np.float32)
        same = [value for value in self.values if self.mirror.shapes[value] == shape]
        residual = int(self.rng.choice(same)) if same and self.chance(0.7) else None
        bounds = [{}, {"low": 0.0}, {"low": -1.0, "high": 1.0}, {"high": 6.0}][int(self.rng.integers(4))]
        return Epilogue(residual=residual, **affine, **bounds)

    def random_layer(self, shape: Shape) -> QuantizedLayer:
        channels = shape[2]
        scheme = str(self.rng.choice(SCHEMES))
        fields: dict[str, Any] = {"channels": channels, "columns": self.channels()}
        kind = self.rng.choice(["1x1", "3x3", "strided", "dilated", "depthwise", "multiplied", "grouped"])
        if kind in {"3x3", "depthwise"}:
            fields |= {"kernel": (3, 3), "padding": (1, 1)}
        if kind == "strided":
            fields |= {"kernel": (3, 2), "padding": (1, 2), "stride": (2, 1)}
        if kind == "dilated":
            fields |= {"kernel": (2, 3), "padding": (1, 2), "dilation": (1, 2)}
        if kind == "depthwise":
            fields |= {"columns": channels, "groups": channels}
        if kind == "multiplied":
            fields |= {"columns": 2 * channels, "groups": channels}
        if kind == "grouped" and channels % 2 == 0:
            fields |= {"columns": 2 * int(self.rng.integers(1, 30)), "groups": 2}
        zero_point = 0 if scheme == "w1a1" else int(self.rng.choice([0, -128, -37, 127]))
        seed = int(self.rng.integers(1000))
        return self.make_layer(scheme, zero_point=zero_point, seed=seed, has_bias=self.chance(), **fields)


def layer_out_spatial(layer: QuantizedLayer, height: int, width: int) -> tuple[int, int]:
    sizes = []
    for i, size in enumerate((height, width)):
        span = layer.dilation[i] * (layer.weight.shape[2 + i] - 1) + 1
        sizes.append((size + 2 * layer.padding[i] - span) // layer.stride[i] + 1)
    return sizes[0], sizes[1]


@pytest.fixture
def program_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., NativeProgram]:
    def build(isa: str, *, threads: int = 1) -> NativeProgram:
        monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
        program = NativeProgram(threads=threads)
        assert program.isa == isa
        return program

    return build


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("isa", ISAS)
def test_a_random_chain_equals_its_numpy_composition_to_the_bit(make_layer, program_on, isa, seed):
    chain = RandomChain(make_layer, program_on(isa, threads=1 + seed % 2), seed)
    program, mirror = chain.mirror.program, chain.mirror
    output = chain.values[-1]
    store = program.store(output, channels_first=seed % 2 == 0)
    assert store == len(program) - 1
    unread = set(mirror.unread()) - {mirror.root(output)}
    for batch in (1, 3, 1):
        program.prepare(batch)
        assert program.batch == batch
        height, width, channels = chain.x_shape
        x = np.random.default_rng(seed).normal(size=(batch, height, width, channels)).astype(np.float32)
        if chain.channels_first:
            x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        expected = mirror.reference(x)
        expected_out = expected[output].transpose(0, 3, 1, 2) if seed % 2 == 0 else expected[output]
        out = np.full(expected_out.shape, np.nan, np.float32)
        program.run(0, len(program), x, out)
        np.testing.assert_array_equal(out, expected_out)
        for value in unread:
            np.testing.assert_array_equal(program.value(value), expected[value])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_residual_network_equals_its_numpy_composition_step_by_step(make_layer, program_on, isa, scheme):
    """A block with an option-A shortcut, pooling and a linear layer, cut where every value can be seen."""
    mirror = Mirror(program_on(isa))
    program = mirror.program
    rng = np.random.default_rng(3)

    def affine(channels: int) -> dict[str, np.ndarray]:
        return {
            "multiplier": rng.normal(scale=0.05, size=channels).astype(np.float32),
            "offset": rng.normal(size=channels).astype(np.float32),
        }

    conv = {"kernel": (3, 3), "padding": (1, 1)}
    pixels, wide = mirror.value((12, 12, 16)), mirror.value((6, 6, 40))
    first = mirror.image(make_layer(scheme, channels=16, columns=40, stride=(2, 2), **conv), (12, 12, 16))
    second = mirror.image(make_layer(scheme, channels=40, columns=40, **conv, seed=1), (6, 6, 40))
    third = mirror.image(make_layer(scheme, channels=40, columns=40, groups=40, **conv, seed=2), (6, 6, 40))
    joined, pooled = mirror.value((6, 6, 40)), mirror.value((3, 3, 40))
    logits = mirror.value((1, 1, 10))
    head = mirror.image(make_layer("w8a8", channels=360, columns=10), (1, 1, 360))
    mirror.load(pixels, channels_first=False)
    mirror.elementwise(pixels, epilogue=Epilogue(), value=None, images=[first])
    mirror.layer(first, epilogue=Epilogue(low=0, **affine(40)), value=None, images=[second])
    mirror.subsample(pixels, (2, 2), 12, wide)
    shortcut = Epilogue(low=0, residual=wide, **affine(40))
    mirror.layer(second, epilogue=shortcut, value=joined, images=[third])
    features = mirror.value((6, 6, 40))
    mirror.layer(third, epilogue=Epilogue(residual=joined), value=features, images=[])
    mirror.max_pool(features, (2, 2), (2, 2), (0, 0), epilogue=Epilogue(low=0), value=pooled, images=[])
    flat = mirror.alias(pooled, (1, 1, 360))
    mirror.elementwise(flat, epilogue=Epilogue(), value=None, images=[head])
    mirror.layer(head, epilogue=Epilogue(), value=logits, images=[])
    program.prepare(3)
    x = rng.normal(size=(3, 12, 12, 16)).astype(np.float32)
    expected = mirror.reference(x)
    seen = {0: pixels, 3: wide, 4: joined, 5: features, 6: pooled, 8: logits}
    for step in range(len(program)):
        program.run(step, step + 1, x)
        if step in seen:
            np.testing.assert_array_equal(program.value(seen[step]), expected[seen[step]])
    np.testing.assert_array_equal(program.value(logits), expected[logits])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_epilogue_of_many_small_groups_stays_within_its_channels(make_layer, program_on, isa, scheme):
    """Its tables are read from anywhere: tests/kernels/sanitize.sh sees how far."""
    mirror = Mirror(program_on(isa))
    rng = np.random.default_rng(5)
    pixels, result = mirror.value((3, 3, 64)), mirror.value((3, 3, 64))
    image = mirror.image(make_layer(scheme, channels=64, columns=64, groups=32), (3, 3, 64))
    numbers = rng.normal(size=(2, 64)).astype(np.float32)
    mirror.load(pixels, channels_first=False)
    mirror.elementwise(pixels, epilogue=Epilogue(), value=None, images=[image])
    mirror.layer(image, epilogue=Epilogue(multiplier=numbers[0], offset=numbers[1]), value=result, images=[])
    mirror.program.prepare(2)
    x = rng.normal(size=(2, 3, 3, 64)).astype(np.float32)
    mirror.program.run(0, 3, x)
    np.testing.assert_array_equal(mirror.program.value(result), mirror.reference(x)[result])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("scheme", ["w1a1", "w4a8"])
def test_two_threads_compute_what_one_does(make_layer, program_on, isa, scheme):
    size = (1, 40, 40, 96) if isa != "scalar" else (1, 14, 14, 96)
    shape = size[1:]
    fields = {"columns": 96, "channels": 96, "kernel": (3, 3), "padding": (1, 1)}
    results = []
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    for threads in (1, 2, 3):
        program = program_on(isa, threads=threads)
        first, second = program.add_value(*shape), program.add_value(*shape)
        pooled = program.add_value(shape[0] // 2, shape[1] // 2, shape[2])
        image = program.add_image(make_layer(scheme, **fields), *shape[:2])
        other = program.add_image(make_layer("w1a1", **{**fields, "groups": 96}, seed=1), *shape[:2])
        last = program.add_image(make_layer(scheme, **fields, seed=2), *shape[:2])
        out = program.add_value(*shape)
        program.load(first, channels_first=False)
        program.elementwise(first, images=[image])
        program.layer(image, epilogue=Epilogue(low=0), value=second, images=[other])
        program.layer(other, epilogue=Epilogue(residual=first), images=[last])
        program.max_pool(second, kernel=(2, 2), stride=(2, 2), value=pooled)
        program.layer(last, epilogue=Epilogue(residual=second), value=out)
        program.prepare(3)
        for _ in range(2):
            program.run(0, len(program), x)
            results.append((program.value(out).copy(), program.value(pooled).copy()))
    for result in results[1:]:
        np.testing.assert_array_equal(result[0], results[0][0])
        np.testing.assert_array_equal(result[1], results[0][1])


def test_a_step_of_the_callers_own_reads_and_writes_views(make_layer):
    program = NativeProgram()
    pixels, doubled, features = (program.add_value(5, 5, 8) for _ in range(3))
    layer = make_layer("w8a8", channels=8, columns=8, kernel=(3, 3), padding=(1, 1))
    image = program.add_image(layer, 5, 5)
    program.load(pixels, channels_first=False)
    external = program.external([pixels], doubled)
    program.elementwise(doubled, images=[image])
    program.layer(image, value=features)
    program.prepare(2)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 8)).astype(np.float32)
    program.run(0, external, x)
    np.multiply(program.value(pixels), 2, out=program.value(doubled))
    program.run(external + 1, len(program))
    np.testing.assert_array_equal(program.value(features), run_reference(layer, 2 * x))


def test_values_that_are_not_alive_at_once_share_memory_and_others_do_not():
    program = NativeProgram()
    values = [program.add_value(4, 4, 16) for _ in range(6)]
    program.load(values[0], channels_first=False)
    for source, value in itertools.pairwise(values[:5]):
        program.max_pool(source, kernel=(1, 1), stride=(1, 1), value=value)
    program.elementwise(values[4], epilogue=Epilogue(residual=values[3]), value=values[5])
    program.prepare(2)
    at = [program.value(value).ctypes.data for value in values]
    assert at[0] != at[1]
    assert len(set(at)) == 2
    assert at[5] in {at[3], at[4]}, "a sum takes the place of a term that nobody reads any more"
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 16)).astype(np.float32)
    program.run(0, len(program), x)
    np.testing.assert_array_equal(program.value(values[5]), 2 * x)


def test_a_view_outlives_the_next_prepare_and_the_program():
    program = NativeProgram()
    value = program.add_value(2, 2, 3)
    program.load(value, channels_first=False)
    program.prepare(1)
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    program.run(0, 1, x)
    view = program.value(value)
    program.prepare(64)
    assert program.value(value).shape == (64, 2, 2, 3)
    del program
    np.testing.assert_array_equal(view, x)


def test_a_timed_run_gives_the_seconds_of_each_step_and_the_same_numbers(make_layer):
    program = NativeProgram()
    pixels, features = program.add_value(8, 8, 16), program.add_value(8, 8, 16)
    layer = make_layer("w1.58a8", channels=16, columns=16, kernel=(3, 3), padding=(1, 1))
    image = program.add_image(layer, 8, 8)
    program.load(pixels, channels_first=False)
    program.elementwise(pixels, images=[image])
    program.layer(image, value=features)
    program.prepare(1)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype(np.float32)
    seconds = np.full(3, np.nan)
    program.run_timed(0, 3, seconds, x)
    assert (seconds >= 0).all()
    np.testing.assert_array_equal(program.value(features), run_reference(layer, x))
    assert program.packed_bytes > 0


def test_python_threads_may_share_a_program(make_layer):
    program = NativeProgram(threads=2)
    pixels, features = program.add_value(16, 16, 64), program.add_value(16, 16, 64)
    layer = make_layer("w8a8", channels=64, columns=64, kernel=(3, 3), padding=(1, 1))
    image = program.add_image(layer, 16, 16)
    program.load(pixels, channels_first=False)
    program.elementwise(pixels, images=[image])
    program.layer(image, value=features)
    program.store(features, channels_first=False)
    program.prepare(1)
    inputs = [
        np.random.default_rng(seed).normal(size=(1, 16, 16, 64)).astype(np.float32) for seed in range(3)
    ]
    expected = [run_reference(layer, x) for x in inputs]

    def work(job: int) -> bool:
        out = np.empty_like(expected[job % 3])
        program.run(0, len(program), inputs[job % 3], out)
        return bool((out == expected[job % 3]).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(60)))
