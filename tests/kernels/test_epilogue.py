"""Fused multiply-add, BatchNorm and the finish kernels, against exact arithmetic, torch and numpy."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import pytest
import torch

from mpsearch.errors import ShapeError
from mpsearch.kernels.epilogue import Epilogue, apply_epilogue, batch_norm_affine
from mpsearch.kernels.fused_multiply_add import fused_multiply_add
from mpsearch.kernels.native import available_isas
from mpsearch.kernels.program import NativeProgram
from mpsearch.kernels.reference import run_reference

ISAS = available_isas()
CHANNELS = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 48, 63, 64, 65, 70, 96, 100]
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38, 0.5, 1.5, -2.5], np.float32
)


def nearest_float32(exact: Fraction) -> np.float32:
    """Round half to even, from the two neighbours of a guess."""
    guess = np.float32(float(exact))
    candidates = [np.nextafter(guess, np.float32(-inf)), guess, np.nextafter(guess, np.float32(inf))]
    return min(candidates, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.int32)) & 1))


def test_fused_multiply_add_rounds_the_exact_result_once():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500)).astype(np.float32)
    c = (-a.astype(np.float64) * b * (1 + rng.normal(scale=1e-7, size=500))).astype(np.float32)
    # Products that lie near the middle between two float32 once a tiny number is added.
    a = np.append(a, [np.float32(1 + 2**-12)] * 4)
    b = np.append(b, [np.float32(1 + 2**-12)] * 4)
    c = np.append(c, np.array([2**-60, -(2**-60), 0, 2**-30], np.float32))
    exact = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(fused_multiply_add(a, b, c), [nearest_float32(e) for e in exact])


def test_fused_multiply_add_with_one_and_minus_zero_is_the_identity():
    x = SPECIAL
    y = fused_multiply_add(x, np.ones_like(x), np.full_like(x, -0.0))
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(np.signbit(y)[1:], np.signbit(x)[1:])


def random_batch_norm(channels: int, *, affine: bool) -> torch.nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(channels)
    module = torch.nn.BatchNorm2d(channels, affine=affine).eval()
    with torch.no_grad():
        for tensor in (module.weight, module.bias, module.running_mean):
            if tensor is not None:
                tensor.copy_(torch.randn(channels, generator=generator))
        module.running_var.copy_(3 * torch.rand(channels, generator=generator))
    return module


def affine_of(module: torch.nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    return batch_norm_affine(
        weight=None if module.weight is None else module.weight.detach().numpy(),
        bias=None if module.bias is None else module.bias.detach().numpy(),
        mean=module.running_mean.numpy(),
        variance=module.running_var.numpy(),
        epsilon=module.eps,
    )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("affine", [True, False])
def test_multiplier_and_offset_give_torchs_batch_norm_to_the_bit(channels, memory_format, affine):
    module = random_batch_norm(channels, affine=affine)
    multiplier, offset = affine_of(module)
    for size in ((1, 1), (5, 7), (16, 16)):
        x = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))
        x = x.contiguous(memory_format=memory_format)
        with torch.inference_mode():
            expected = torch.relu(module(x)).permute(0, 2, 3, 1).numpy()
        z = x.permute(0, 2, 3, 1).numpy()
        y = apply_epilogue(z, Epilogue(multiplier=multiplier, offset=offset, low=0))
        np.testing.assert_array_equal(y, expected)


def test_bounds_treat_nan_and_infinity_as_torch_does():
    for low, high in ((0.0, inf), (-1.0, 1.0), (0.0, 6.0), (-inf, inf)):
        y = apply_epilogue(SPECIAL, Epilogue(low=low, high=high))
        np.testing.assert_array_equal(y, torch.from_numpy(SPECIAL).clamp(low, high).numpy())
    np.testing.assert_array_equal(
        apply_epilogue(SPECIAL, Epilogue(low=0)), torch.relu(torch.from_numpy(SPECIAL))
    )


def random_epilogue(rng: np.random.Generator, channels: int, fields: str) -> dict[str, Any]:
    epilogue: dict[str, Any] = {}
    if "a" in fields:
        epilogue["multiplier"] = rng.normal(size=channels).astype(np.float32)
        epilogue["offset"] = rng.normal(size=channels).astype(np.float32)
    if "b" in fields:
        epilogue |= {"low": -0.75, "high": 1.25}
    return epilogue


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("isa", ISAS)
def test_finish_kernels_equal_numpy_for_every_combination(make_layer, monkeypatch, isa, channels):
    """Each kind of image is read back by a layer, whose integers are exact; 3 and 9 pixels per image."""
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    rng = np.random.default_rng(channels)
    each = {"channels": channels, "columns": channels}
    kinds = {
        "bytes": [make_layer("w8a8", **each, weight=1)],
        "unsigned bytes": [make_layer("w4a8", **each, zero_point=-128)],
        "bits": [make_layer("w1a1", **each)],
        "binary bytes": [make_layer("w1a1", **each, groups=channels)],
        "several": [
            make_layer("w1a1", **each, seed=1),
            make_layer("w1.58a8", **each),
            make_layer("w1a1", **each),
        ],
        "none": [],
    }
    x = rng.normal(size=(3, 3, 3, channels)).astype(np.float32)
    x.reshape(-1)[: min(SPECIAL.size, x.size // 2)] = SPECIAL[: x.size // 2]
    addend = rng.normal(size=x.shape).astype(np.float32)
    for name, layers in kinds.items():
        for fields in ("", "a", "b", "ab", "r", "arb", "o", "ao", "arbo"):
            if not layers and "o" not in fields:
                continue
            program = NativeProgram()
            assert program.isa == isa
            size = (3, 3, channels)
            source, term, out = (program.add_value(*size) for _ in range(3))
            results = [program.add_value(*size) for _ in layers]
            images = [program.add_image(layer, 3, 3) for layer in layers]
            loaded = program.load(source, channels_first=False)
            program.load(term, channels_first=False)
            residual = term if "r" in fields else None
            epilogue = Epilogue(residual=residual, **random_epilogue(rng, channels, fields))
            step = program.elementwise(
                source, epilogue=epilogue, value=out if "o" in fields else None, images=images
            )
            for image, result in zip(images, results, strict=True):
                program.layer(image, value=result)
            program.prepare(3)
            program.run(loaded, loaded + 1, x)
            program.run(loaded + 1, step, addend)
            program.run(step, len(program))
            y = apply_epilogue(x, epilogue, addend if residual is not None else None)
            if "o" in fields:
                np.testing.assert_array_equal(program.value(out), y, err_msg=f"{name} {fields}")
            for layer, result in zip(layers, results, strict=True):
                np.testing.assert_array_equal(
                    program.value(result), run_reference(layer, y), err_msg=f"{name} {fields}"
                )


def test_a_missing_half_of_an_affine_is_filled_in_exactly():
    multiplier = np.array([2.0, -1.0], np.float32)
    z = np.array([[-0.0, -0.0], [3.0, 0.0]], np.float32)
    y = apply_epilogue(z, Epilogue(multiplier=multiplier))
    np.testing.assert_array_equal(y, z * multiplier)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(z * multiplier))
    np.testing.assert_array_equal(apply_epilogue(z, Epilogue(offset=multiplier)), z + multiplier)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"multiplier": np.ones(3)}, r"`multiplier` must be float32 \(C,\); got float64"),
        ({"offset": np.ones((1, 3), np.float32)}, r"`offset` must be float32 \(C,\); got float32 \(1, 3\)"),
        (
            {"multiplier": np.ones(3, np.float32), "offset": np.ones(2, np.float32)},
            r"as many entries; got \(3,\) and \(2,\)",
        ),
        ({"residual": -1}, "`residual` must be the id of a value; got -1"),
        ({"low": 1.0, "high": 0.0}, "`low` must be at most `high`"),
        ({"low": float("nan")}, "`low` must be at most `high`; got nan"),
    ],
)
def test_an_impossible_epilogue_is_refused(fields, message):
    with pytest.raises(ShapeError, match=message):
        Epilogue(**fields)


def test_an_epilogue_is_applied_to_what_it_was_made_for():
    z = np.zeros((2, 3), np.float32)
    with pytest.raises(ShapeError, match="for 2 channels cannot follow 3"):
        apply_epilogue(z, Epilogue(offset=np.ones(2, np.float32)))
    with pytest.raises(ShapeError, match="if and only if"):
        apply_epilogue(z, Epilogue(residual=0))
    with pytest.raises(ShapeError, match="if and only if"):
        apply_epilogue(z, Epilogue(), z)
