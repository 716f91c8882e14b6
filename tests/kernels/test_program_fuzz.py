"""Random programs, some of their steps senseless: typed errors, and the same numbers on every ISA."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest

from mpsearch.errors import KernelError, ShapeError
from mpsearch.kernels.epilogue import Epilogue
from mpsearch.kernels.native import available_isas
from mpsearch.kernels.program import NativeProgram
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES

GUARD = np.float32(12345.0)
ODD = [
    -1,
    0,
    1,
    2,
    3,
    7,
    99,
    2**15,
    2**31 - 1,
    2**31,
    2**40,
    2**62,
    2**63 - 1,
    2**63,
    -(2**63),
    1.5,
    None,
    "1",
]
REFUSED_SIZES = [-1, 0, 2**41, 2**62, 2**63 - 1, 2**63, -(2**63), 1.5, None, "1"]
KINDS = (
    "value", "alias", "image", "image", "image", "elementwise", "elementwise", "elementwise", "layer",
    "layer", "layer", "layer", "max_pool", "avg_pool", "global_avg_pool", "subsample", "external", "load",
    "store", "prepare", "run", "view",
)  # fmt: skip


class Tinkerer:
    """Adds steps to a program without care, and runs it now and then; `seen` says what came of each call.

    The ids that it uses mostly exist, the shapes mostly fit.
    """

    def __init__(self, program: NativeProgram, make_layer, rng: random.Random) -> None:
        self.program, self.make_layer, self.rng = program, make_layer, rng
        self.values: dict[int, tuple[int, int, int]] = {}
        self.written: list[int] = []
        self.images: dict[int, tuple[tuple[int, int, int], tuple[int, int, int]]] = {}  # id -> in, out
        self.filled: list[int] = []
        self.loads: list[tuple[int, int, int]] = []
        self.batch = 0
        self.seen: list[str] = []
        self.outputs: list[np.ndarray] = []

    def work(self, calls: int) -> None:
        self.call(self.value)
        self.call(self.load)
        for _ in range(calls):
            self.call(getattr(self, self.rng.choice(KINDS)))
        self.call(self.run)

    def call(self, action) -> None:
        try:
            action()
        except (ShapeError, KernelError) as error:
            self.seen.append(type(error).__name__)
        except TypeError:  # what is no whole number of 64 bits is refused as Python does
            self.seen.append("TypeError")
        else:
            self.seen.append(action.__name__)

    def odd(self, sound, share=0.04):
        return self.rng.choice(ODD) if self.rng.random() < share else sound

    def size(self, sound):
        return self.rng.choice(REFUSED_SIZES) if self.rng.random() < 0.02 else sound

    def some(self, ids, sound=0):
        return self.odd(self.rng.choice(list(ids)) if ids else sound)

    def shape(self):
        if self.written and self.rng.random() < 0.8:
            return self.values[self.rng.choice(self.written)]
        return self.rng.choice([1, 2, 5, 6]), self.rng.choice([1, 3, 6]), self.rng.choice([1, 3, 8, 16, 33])

    def new_value(self, shape):
        """A value of that shape to write, its id; now and then an old one."""
        if self.rng.random() < 0.08:
            return self.some(self.values)
        number = self.program.add_value(*shape)
        self.values[number] = shape
        return number

    def sink(self, shape):
        """Where a result of that shape goes: a value, images, or both; and its epilogue."""
        rng = self.rng
        fitting = [i for i, (size, _) in self.images.items() if size == shape and i not in self.filled]
        images = rng.sample(fitting, min(rng.randint(0, 2), len(fitting)))
        if rng.random() < 0.05:
            images = [*images, self.some(self.images)]
        value = self.new_value(shape) if not images or rng.random() < 0.7 else None
        residuals = [number for number in self.written if self.values[number] == shape]
        channels = self.rng.choice([1, 5, 64]) if rng.random() < 0.03 else shape[2]
        numbers = np.random.default_rng(rng.randrange(100)).normal(size=(2, channels)).astype(np.float32)
        low, high = rng.choice([(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0), (-1.0, 1.0), (np.inf, np.inf)])
        epilogue = Epilogue(
            multiplier=numbers[0] if rng.random() < 0.4 else None,
            offset=numbers[1][::1] if rng.random() < 0.4 else None,
            residual=self.residual(residuals),
            low=low,
            high=high,
        )
        return {"value": value, "images": images, "epilogue": epilogue}

    def residual(self, ids):
        return self.odd(self.rng.choice(ids), 0.1) if ids and self.rng.random() < 0.4 else None

    def done(self, sink) -> None:
        self.written += [sink["value"]] if sink["value"] in self.values else []
        self.filled += [image for image in sink["images"] if image in self.images]
        self.batch = 0

    def value(self):
        self.new_value(tuple(self.size(size) for size in self.shape()))

    def alias(self):
        number = self.some(self.values)
        height, width, channels = self.values.get(number, (1, 1, 1))
        shape = self.rng.choice([(1, 1, height * width * channels), (height * width, 1, channels), (1, 1, 7)])
        self.values[self.program.add_alias(number, *shape)] = shape
        self.batch = 0

    def image(self):
        rng = self.rng
        height, width, channels = self.shape()
        groups = rng.choice([1, 1, 1, channels, *(g for g in (2, 3) if channels % g == 0)])
        kernel = rng.choice([(1, 1), (1, 1), (3, 3), (2, 1)])
        layer = self.make_layer(
            rng.choice(sorted(WEIGHT_RANGES)),
            columns=groups * rng.choice([1, 1, 2, 5]),
            channels=channels,
            groups=groups,
            kernel=kernel,
            stride=(rng.randint(1, 2), 1),
            padding=(rng.randint(0, 2), kernel[1] // 2),
            dilation=(1, rng.randint(1, 2)),
            seed=rng.randrange(9),
        )
        number = self.program.add_image(layer, self.size(height), self.size(width))
        out = tuple(
            (size + 2 * layer.padding[i] - layer.dilation[i] * (kernel[i] - 1) - 1) // layer.stride[i] + 1
            for i, size in enumerate((height, width))
        )
        self.images[number] = ((height, width, channels), (*out, layer.out_channels))
        self.batch = 0

    def elementwise(self):
        source = self.some(self.written)
        sink = self.sink(self.values.get(source, (1, 1, 1)))
        self.program.elementwise(source, **sink)
        self.done(sink)

    def layer(self):
        image = self.some(self.filled)
        sink = self.sink(self.images.get(image, (None, (1, 1, 1)))[1])
        self.program.layer(image, **sink)
        self.filled.remove(image)
        self.done(sink)

    def pool(self, method, **fields):
        source = self.some(self.written)
        height, width, channels = self.values.get(source, (1, 1, 1))
        pair = lambda most: (self.odd(self.rng.randint(1, most), 0.02), self.rng.randint(1, most))  # noqa: E731
        window = {
            "kernel": pair(3),
            "stride": pair(2),
            "padding": (0, self.odd(self.rng.randint(0, 1), 0.02)),
        }
        sizes = zip((height, width), *window.values(), strict=True)
        try:
            out = tuple(max((size + 2 * p - k) // s + 1, 1) for size, k, s, p in sizes)
        except (TypeError, ZeroDivisionError):
            out = (1, 1)
        sink = self.sink((*(min(size, 99) for size in out), channels))
        method(source, **window, **fields, **sink)
        self.done(sink)

    def max_pool(self):
        self.pool(self.program.max_pool)

    def avg_pool(self):
        self.pool(self.program.avg_pool, count_include_pad=self.rng.random() < 0.5)

    def global_avg_pool(self):
        source = self.some(self.written)
        sink = self.sink((1, 1, self.values.get(source, (1, 1, 1))[2]))
        self.program.global_avg_pool(source, **sink)
        self.done(sink)

    def subsample(self):
        source = self.some(self.written)
        height, width, channels = self.values.get(source, (1, 1, 1))
        stride = (self.rng.randint(1, 2), self.rng.randint(1, 3))
        before, more = self.rng.randint(0, 3), self.rng.randint(0, 9)
        shape = ((height - 1) // stride[0] + 1, (width - 1) // stride[1] + 1, channels + more)
        value = self.new_value(shape)
        before = self.odd(before, 0.05)
        self.program.subsample(source, stride=stride, channels_before=before, value=value)
        self.done({"value": value, "images": []})

    def external(self):
        value = self.new_value(self.shape())
        self.program.external([self.some(self.written) for _ in range(self.rng.randrange(3))], value)
        self.done({"value": value, "images": []})

    def load(self):
        value = self.new_value(self.loads[0] if self.loads else self.shape())
        self.program.load(value, channels_first=False)
        self.loads.append(self.values[value])
        self.done({"value": value, "images": []})

    def store(self):
        self.program.store(self.some(self.written), channels_first=self.rng.random() < 0.5)
        self.batch = 0

    def prepare(self):
        batch = self.odd(self.rng.randint(1, 3))
        if batch in {2**15, 2**31 - 1, 2**31}:
            batch = 3  # might be granted
        self.program.prepare(batch)
        self.batch = batch

    def view(self):
        if self.batch == 0:
            self.prepare()
        number = self.some(self.written)
        view = self.program.value(number)
        assert view.shape == (self.batch, *self.values[number])
        view += 0

    def run(self):
        """All steps one by one, so that those that refuse their arrays keep no other from running."""
        count = len(self.program)
        self.odd_run(count)
        if self.batch == 0:
            self.prepare()
        for step in range(count):
            out, memory = guarded((1, *self.shape()))
            try:
                self.program.run(step, step + 1, out.copy(), out)
            except ShapeError as error:  # a load, or a store of another shape: the message has the right one
                shape = str(error).partition("float32 (")[2].partition(")")[0]
                sizes = tuple(int(size) for size in shape.split(", "))
                out, memory = guarded(sizes)
                self.program.run(step, step + 1, signal(sizes), out)
                self.outputs.append(out.copy())
            except KernelError:
                self.seen.append("a step that cannot run")
            assert (memory[:32] == GUARD).all()
            assert (memory[-32:] == GUARD).all()

    def odd_run(self, count):
        """Any range with any arrays."""
        x, out, memory = self.arrays()
        seconds = np.zeros(self.rng.choice([1, max(count, 1)]))
        first, last = self.odd(0, 0.3), self.odd(count, 0.3)
        with suppress(ShapeError, KernelError, TypeError):
            self.program.run_timed(first, last, seconds, x, out)
        assert (memory[:32] == GUARD).all()
        assert (memory[-32:] == GUARD).all()

    def arrays(self):
        shape = (max(self.batch, 1), *self.shape())
        out, memory = guarded(shape)
        return self.rng.choice([None, signal(shape), signal(shape).astype(np.float64)]), out, memory


def guarded(shape):
    memory = np.full(int(np.prod(shape)) + 64, GUARD, np.float32)
    return memory[32:-32].reshape(shape), memory


def signal(shape):
    return np.random.default_rng(len(shape)).normal(size=shape, scale=2).astype(np.float32)


def tinkered(make_layer, monkeypatch, isa, seed, calls) -> Tinkerer:
    rng = random.Random(seed)
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    tinkerer = Tinkerer(NativeProgram(threads=rng.choice([1, 1, 2])), make_layer, rng)
    tinkerer.work(calls)
    return tinkerer


@pytest.mark.parametrize("seed", range(30))
def test_any_program_is_refused_or_runs_alike_on_every_instruction_set(make_layer, monkeypatch, seed):
    isas = available_isas()
    first, *others = (tinkered(make_layer, monkeypatch, isa, seed, calls=60) for isa in isas)
    for other in others:
        assert other.seen == first.seen
        assert len(other.outputs) == len(first.outputs)
        for one, two in zip(first.outputs, other.outputs, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_many_programs_are_refused_or_run(make_layer, monkeypatch, tmp_path):
    seen = Counter()
    for seed in range(1000, 11_000):
        seen.update(tinkered(make_layer, monkeypatch, available_isas()[0], seed, calls=60).seen)
    (tmp_path / "counts.txt").write_text(
        "\n".join(f"{kind}: {count}" for kind, count in sorted(seen.items()))
    )
    assert seen.total() > 600_000
