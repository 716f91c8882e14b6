"""The Arm kernels, cross-compiled and run under user-mode emulation: equal to the reference, to the bit."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mpsearch.kernels.epilogue import Epilogue, apply_epilogue
from mpsearch.kernels.program import NativeProgram
from mpsearch.kernels.quantized_layer import SCALES, WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.kernels.reference import integer_output, quantize_activations, run_reference

COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64"
TOOLS = (COMPILER, EMULATOR, "cmake", "ninja")
SOURCE = Path(__file__).parent / "arm"
BUILD = Path(__file__).parents[2] / "build" / "arm"

SCHEMES = tuple(WEIGHT_RANGES)
# What each processor offers, best first. The first of these has dot products, the second has none.
PROCESSORS = {"max": ["neon_dotprod", "neon", "scalar"], "cortex-a53": ["neon", "scalar"]}


@pytest.fixture(scope="session")
def check_cases() -> Path:
    """The program arm/check_cases.cpp for a 64-bit Arm processor."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not found: the Arm kernels cannot be tested here. "
            "Run `apt-get install g++-aarch64-linux-gnu qemu-user cmake ninja-build`."
        )
    target = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64")
    configure = [
        "cmake",
        "-S",
        SOURCE,
        "-B",
        BUILD,
        "-G",
        "Ninja",
        *target,
        f"-DCMAKE_CXX_COMPILER={COMPILER}",
    ]
    for command in (configure, ["cmake", "--build", BUILD]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return BUILD / "check_cases"


def emulate(processor: str, *command: object) -> subprocess.CompletedProcess[str]:
    words = [EMULATOR, "-cpu", processor, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def array_bytes(array: NDArray[np.generic] | None, dtype: type) -> bytes:
    """A count of 8 bytes, then the elements."""
    values = np.ascontiguousarray(np.zeros(0) if array is None else array, dtype)
    return np.int64(values.size).tobytes() + values.tobytes()


def text_bytes(text: str) -> bytes:
    return array_bytes(np.frombuffer(text.encode(), np.uint8), np.uint8)


def layer_bytes(layer: QuantizedLayer) -> bytes:
    vertical, horizontal = zip(
        layer.weight.shape[2:], layer.stride, layer.padding, layer.dilation, strict=True
    )
    sizes = (layer.out_channels, layer.in_channels, layer.groups, *vertical, *horizontal)
    activation = layer.activation
    kinds = (activation.zero_point, SCALES.index(activation.scale_of), activation.ternary)
    return b"".join(
        (
            text_bytes(layer.scheme.name),
            array_bytes(np.array((*sizes, *kinds)), np.int64),
            array_bytes(layer.weight, np.int8),
            array_bytes(layer.scale, np.float32),
            array_bytes(layer.negative_factor, np.float32),
            array_bytes(layer.bias, np.float32),
            array_bytes(activation.threshold, np.float32),
            array_bytes(np.array(activation.inverse_scale), np.float32),
        )
    )


def case_bytes(name: str, layer: QuantizedLayer, x: NDArray[np.float32], *epilogues: bytes) -> bytes:
    """One layer, one input, and what the reference makes of it, in the order that check_layer.cpp reads."""
    a = quantize_activations(x, layer.activation)
    return b"".join(
        (
            text_bytes(name),
            text_bytes("layer"),
            layer_bytes(layer),
            array_bytes(np.array((*x.shape[:3], len(epilogues))), np.int64),
            array_bytes(x, np.float32),
            array_bytes(a, np.int8),
            array_bytes(integer_output(layer, a), np.int32),
            array_bytes(run_reference(layer, x), np.float32),
            *epilogues,
        )
    )


def zero_points(scheme: str) -> tuple[int, ...]:
    return (0,) if scheme == "w1a1" else (0, -128)


def listed_cases(make_layer, layer_cases) -> Iterator[bytes]:
    """Those that the kernels of this machine are held to (conftest.py)."""
    rng = np.random.default_rng(7)
    for name, (size, fields) in layer_cases.items():
        for scheme in SCHEMES:
            for zero_point in zero_points(scheme):
                layer = make_layer(scheme, zero_point=zero_point, seed=len(name) - zero_point, **fields)
                x = rng.normal(size=(*size, layer.in_channels)).astype(np.float32)
                yield case_bytes(f"{name}, {scheme}, zero point {zero_point}", layer, x)


def random_cases(make_layer) -> Iterator[bytes]:
    rng = np.random.default_rng(11)
    for seed in range(300):
        kernel, dilation, padding = rng.integers(1, 5, 2), rng.integers(1, 3, 2), rng.integers(0, 4, 2)
        size = np.maximum(1, dilation * (kernel - 1) + 1 - 2 * padding) + rng.integers(0, 5, 2)
        groups = int(rng.choice([1, 1, 1, 2, 5]))
        scheme = SCHEMES[seed % len(SCHEMES)]
        layer = make_layer(
            scheme,
            columns=groups * int(rng.integers(1, 81)),
            channels=groups * int(rng.integers(1, 71)),
            groups=groups,
            kernel=tuple(kernel.tolist()),
            dilation=tuple(dilation.tolist()),
            padding=tuple(padding.tolist()),
            stride=tuple(rng.integers(1, 4, 2).tolist()),
            zero_point=0 if scheme == "w1a1" else int(rng.choice([0, -128, -37, 127])),
            seed=seed,
        )
        x = rng.normal(size=(rng.integers(1, 4), *size, layer.in_channels)).astype(np.float32)
        yield case_bytes(f"random case {seed}", layer, x)


def extreme_cases(make_layer) -> Iterator[bytes]:
    """All activations at one end of their range and all weights at one of theirs, up to the longest sum."""
    for scheme, reduction in ((s, k) for s in SCHEMES for k in (1, 31, 4096, 65536)):
        for weight in WEIGHT_RANGES[scheme]:
            for zero_point in zero_points(scheme):
                layer = make_layer(
                    scheme,
                    columns=3,
                    channels=reduction,
                    weight=weight,
                    zero_point=zero_point,
                    has_bias=False,
                )
                for rows in (1, 3):
                    for end in (-1e9, 1e9):
                        x = np.full((rows, 1, 1, reduction), end, np.float32)
                        yield case_bytes(f"{rows} x {reduction} of {end}, {scheme} of {weight}", layer, x)


def special_cases(make_layer) -> Iterator[bytes]:
    """NaN, infinities, halves, values at the threshold; lines of several lengths."""
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38, -3e38]
    for scheme in SCHEMES:
        for zero_point in zero_points(scheme):
            for channels in (1, 7, 16, 40):
                layer = make_layer(
                    scheme, columns=2, channels=channels, zero_point=zero_point, has_bias=False
                )
                halves = (np.arange(-150, 290) + 0.5) / layer.activation.inverse_scale
                x = np.resize(np.concatenate((special, halves)), (448 // channels, 1, 1, channels))
                x = x.astype(np.float32)
                if layer.activation.threshold is not None:
                    x[5, 0, 0] = layer.activation.threshold
                yield case_bytes(f"special floats, {channels} channels, {scheme}", layer, x)


def threaded_cases(make_layer) -> Iterator[bytes]:
    """Layers that are work enough for two threads."""
    for scheme in SCHEMES:
        for name, size, fields in (
            ("wide", (1, 14, 14), {"columns": 200, "channels": 128, "kernel": (3, 3), "padding": (1, 1)}),
            ("one long row", (1, 1, 1), {"columns": 3000, "channels": 2000}),
        ):
            layer = make_layer(scheme, **fields)
            x = np.random.default_rng(1).normal(size=(*size, layer.in_channels)).astype(np.float32)
            yield case_bytes(f"two threads, {name}, {scheme}", layer, x)


def extra_cases(make_layer) -> Iterator[bytes]:
    """Two weight scales, a scale of each token or pixel, and ternary inputs, alone and together."""
    image, padded = (2, 6, 5), {"kernel": (3, 3), "padding": (1, 1)}
    rng = np.random.default_rng(13)
    for name, size, fields in (
        ("one row", (1, 1, 1), {"channels": 257, "columns": 100}),
        ("linear", (19, 1, 1), {"channels": 70, "columns": 130}),
        ("3x3", image, {"channels": 20, "columns": 40, **padded}),
        ("grouped", image, {"channels": 24, "columns": 72, "groups": 4, "stride": (2, 2), **padded}),
        ("depthwise", image, {"channels": 69, "columns": 138, "groups": 69, **padded}),
    ):
        for scheme in SCHEMES:
            layer = make_layer(scheme, **fields)
            own_scale = replace(layer.activation, scale=np.float32(1))
            layers = {}
            if scheme == "w1a1":
                layers["pixels"] = replace(layer, activation=replace(own_scale, scale_of="pixel"))
            else:
                ternary = replace(layer.activation, ternary_step=np.float32(0.8))
                layers["ternary inputs"] = replace(layer, activation=ternary)
            if scheme != "w1a1" and "kernel" not in fields:
                tokens = replace(own_scale, scale_of="token")
                layers["tokens"] = replace(layer, operator="linear", activation=tokens)
            if scheme == "w1.58a8":
                layers["nothing else"] = make_layer(scheme, zero_point=-37, **fields)
                negative = rng.random(layer.out_channels, dtype=np.float32)
                layers = {f"two scales, {k}": replace(v, negative_scale=negative) for k, v in layers.items()}
            for kind, given in layers.items():
                x = rng.normal(size=(*size, layer.in_channels)).astype(np.float32)
                yield case_bytes(f"{name}, {scheme}, {kind}", given, x)


BYTES, BITS, BINARY_BYTES = range(3)  # ImageKind of contract.hpp
UNTOUCHED = 0xEE  # what check_cases.cpp finds behind every pixel of an image, or complains


def image_bytes(kind: int, y: NDArray[np.float32], zero_point: int, rng: np.random.Generator) -> bytes:
    """What a consumer of y gets to read, in its own format."""
    channels = y.shape[-1]
    if kind == BYTES:
        fmt = ActivationFormat(bits=8, scale=np.float32(0.037), zero_point=zero_point)
        threshold, inverse_scale = None, fmt.inverse_scale
        content = (quantize_activations(y, fmt).astype(np.int16) + 128).astype(np.uint8)
    else:
        threshold, inverse_scale = rng.normal(size=channels).astype(np.float32), np.float32(0)
        reached = y >= threshold
        content = 2 * reached.astype(np.uint8)
        if kind == BITS:
            to_words = np.pad(reached, [(0, 0)] * (y.ndim - 1) + [(0, -channels % 32)])
            content = np.packbits(to_words, axis=-1, bitorder="little")
    guard = np.full((*y.shape[:-1], 1), UNTOUCHED, np.uint8)
    return (
        array_bytes(np.array((kind, zero_point + 128)), np.int64)
        + array_bytes(np.array(inverse_scale), np.float32)
        + array_bytes(threshold, np.float32)
        + array_bytes(np.concatenate((content, guard), axis=-1), np.uint8)
    )


def epilogue_bytes(
    layer: QuantizedLayer,
    x: NDArray[np.float32],
    *,
    has_affine: bool,
    has_residual: bool,
    bounds: tuple[float, float],
    image_kinds: Iterable[int],
) -> bytes:
    """y = min(high, max(low, fma(z, multiplier, offset) + residual)), and images of it."""
    rng = np.random.default_rng(5)
    z = run_reference(layer, x)
    multiplier = offset = residual = None
    if has_affine:
        multiplier, offset = rng.normal(size=(2, layer.out_channels)).astype(np.float32)
        multiplier[-1] = np.nan
    if has_residual:
        residual = rng.normal(size=z.shape).astype(np.float32)
    low, high = bounds
    named = 0 if has_residual else None
    epilogue = Epilogue(multiplier=multiplier, offset=offset, residual=named, low=low, high=high)
    y = apply_epilogue(z, epilogue, residual)
    kinds = tuple(image_kinds)
    return b"".join(
        (
            array_bytes(np.array(len(kinds)), np.int64),
            *(array_bytes(part, np.float32) for part in (multiplier, offset, residual, np.array(bounds), y)),
            *(image_bytes(kind, y, zero_point=-128 * (i % 2), rng=rng) for i, kind in enumerate(kinds)),
        )
    )


def finished_cases(make_layer) -> Iterator[bytes]:
    """Epilogues of every kind behind layers of every kind; groups have no images."""
    image, padded = (1, 6, 5), {"kernel": (3, 3), "padding": (1, 1)}
    layers = (
        ("linear", (5, 1, 1), {"channels": 48, "columns": 97}, True),
        ("3x3", image, {"channels": 20, "columns": 40, **padded}, True),
        ("depthwise", image, {"channels": 69, "columns": 69, "groups": 69, **padded}, True),
        ("grouped", image, {"channels": 12, "columns": 34, "groups": 2, **padded}, False),
    )
    all_bounds = ((-np.inf, np.inf), (0.0, np.inf), (-1.0, 1.0))
    options = tuple(itertools.product((False, True), (False, True), all_bounds))
    for (name, size, fields, has_images), scheme in itertools.product(layers, SCHEMES):
        layer = make_layer(scheme, **fields)
        x = np.random.default_rng(2).normal(size=(*size, layer.in_channels)).astype(np.float32)
        epilogues = (
            epilogue_bytes(
                layer,
                x,
                has_affine=has_affine,
                has_residual=has_residual,
                bounds=bounds,
                image_kinds=(BYTES, BYTES, BITS, BINARY_BYTES) if has_images else (),
            )
            for has_affine, has_residual, bounds in options
        )
        yield case_bytes(f"{name}, {scheme}", layer, x, *epilogues)


# Reduction of contract.hpp, then kernel, stride, padding and output of the pool over 4x3 pixels.
POOLS = {"max": (0, 3, 2, 1, (2, 2)), "window": (1, 2, 1, 0, (3, 2)), "mean": (2, 1, 1, 0, (1, 1))}


def program_cases(make_layer) -> Iterator[bytes]:
    """Residual blocks as check_program.cpp builds them; this machine's portable kernels say what is right."""
    rng = np.random.default_rng(3)
    batch, height, width, before = 2, 7, 5, 3
    for channels, scheme, pool in itertools.product((16, 37), SCHEMES, POOLS):
        wide = channels + before + 1
        same = {"columns": channels, "channels": channels, "kernel": (3, 3), "padding": (1, 1)}
        layers = make_layer("w1a1", seed=1, groups=channels, **same), make_layer(scheme, seed=2, **same)
        x = rng.normal(size=(batch, channels, height, width)).astype(np.float32)
        multiplier, offset = rng.normal(size=(2, channels), scale=((0.05,), (1,))).astype(np.float32)
        reduction, kernel, stride, padding, (out_height, out_width) = POOLS[pool]

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MPSEARCH_FORCE_ISA", "scalar")
            program = NativeProgram()
        source, total = (program.add_value(height, width, channels) for _ in range(2))
        half, pooled = program.add_value(4, 3, wide), program.add_value(out_height, out_width, wide)
        images = [program.add_image(layer, height, width) for layer in layers]
        affine = {"multiplier": multiplier, "offset": offset, "low": -1.0, "high": 2.0}
        program.load(source, channels_first=True)
        program.elementwise(source, images=images[:1])
        program.layer(images[0], epilogue=Epilogue(**affine), images=images[1:])
        program.layer(images[1], epilogue=Epilogue(**affine, residual=source), value=total)
        program.subsample(total, stride=(2, 2), channels_before=before, value=half)
        window = {"kernel": (kernel, kernel), "stride": (stride, stride)}
        if pool == "max":
            program.max_pool(half, **window, padding=(padding, padding), value=pooled)
        elif pool == "window":
            program.avg_pool(half, **window, value=pooled)
        else:
            program.global_avg_pool(half, value=pooled)
        program.store(pooled, channels_first=True)
        program.prepare(batch)
        y = np.empty((batch, wide, out_height, out_width), np.float32)
        program.run(0, len(program), x, y)

        pool_sizes = (reduction, *(kernel, stride, padding) * 2, out_height, out_width)
        sizes = (batch, height, width, channels, 4, 3, wide, before, *pool_sizes)
        floats = (multiplier, offset, np.array((-1.0, 2.0)), x, y)
        yield b"".join(
            (
                *map(text_bytes, (f"{pool} of {channels} channels, {scheme}", "program")),
                *map(layer_bytes, layers),
                array_bytes(np.array(sizes), np.int64),
                *(array_bytes(array, np.float32) for array in floats),
            )
        )


KINDS = ("listed", "random", "extreme", "special", "threaded", "extra", "finished", "program")


@pytest.fixture(scope="session")
def case_files(tmp_path_factory, make_layer, layer_cases) -> dict[str, tuple[Path, int]]:
    """By kind: a file of cases, and how many are in it."""
    folder = tmp_path_factory.mktemp("arm")
    files = {}
    for kind, cases in (
        ("listed", listed_cases(make_layer, layer_cases)),
        ("random", random_cases(make_layer)),
        ("extreme", extreme_cases(make_layer)),
        ("special", special_cases(make_layer)),
        ("threaded", threaded_cases(make_layer)),
        ("extra", extra_cases(make_layer)),
        ("finished", finished_cases(make_layer)),
        ("program", program_cases(make_layer)),
    ):
        path = folder / kind
        with path.open("wb") as file:
            files[kind] = path, sum(1 for case in cases if file.write(case))
    return files


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_processor_is_offered_what_it_can_run_best_first(check_cases, processor):
    done = emulate(processor, check_cases)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == PROCESSORS[processor]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("processor", "isa"), [(p, isa) for p, isas in PROCESSORS.items() for isa in isas])
def test_arm_kernels_equal_the_reference_to_the_bit(check_cases, case_files, processor, isa, kind):
    path, count = case_files[kind]
    done = emulate(processor, check_cases, path, isa)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{count} cases equal on {isa}\n", "")


@pytest.mark.parametrize("processor", PROCESSORS)
def test_without_a_name_the_best_implementation_runs(check_cases, case_files, processor):
    path, count = case_files["special"]
    done = emulate(processor, check_cases, path, "")
    assert done.stdout == f"{count} cases equal on {PROCESSORS[processor][0]}\n", done.stderr


def test_dot_products_are_refused_by_a_processor_without_them(check_cases, case_files):
    done = emulate("cortex-a53", check_cases, case_files["special"][0], "neon_dotprod")
    assert done.returncode == 1
    assert "that this machine has (neon, scalar); got 'neon_dotprod'" in done.stderr


def test_a_wrong_expectation_is_noticed(check_cases, tmp_path, make_layer):
    layer = make_layer("w8a8", columns=3, channels=5)
    case = bytearray(case_bytes("a case", layer, np.ones((1, 1, 1, 5), np.float32)))
    case[-1] ^= 0x40  # in the exponent of the last output
    (tmp_path / "case").write_bytes(case)
    done = emulate("max", check_cases, tmp_path / "case", "neon")
    assert done.returncode == 1
    assert done.stderr.startswith("a case: y[2] is ")
