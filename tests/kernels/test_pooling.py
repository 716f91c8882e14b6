"""Pooling steps: torch's own, in torch's order of summation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpsearch.kernels.epilogue import Epilogue, apply_epilogue
from mpsearch.kernels.native import available_isas
from mpsearch.kernels.program import NativeProgram
from mpsearch.kernels.reference import run_reference

ISAS = available_isas()
CHANNELS = [1, 3, 16, 31, 32, 40, 64, 70, 100, 128]
WINDOWS = [
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((3, 2), (1, 2), (1, 0)),
    ((7, 5), (1, 1), (3, 2)),
]


def channels_last(channels: int, *size: int, batch: int = 2) -> Tensor:
    x = torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(channels))
    return x.contiguous(memory_format=torch.channels_last)


def pooled(x: Tensor, method: str, out: Tensor, **fields: Any) -> np.ndarray:
    """One pooling step over x, to a value like `out`."""
    batch, channels, height, width = x.shape
    program = NativeProgram()
    source, value = program.add_value(height, width, channels), program.add_value(*out.shape[2:], channels)
    program.load(source, channels_first=True)
    getattr(program, method)(source, value=value, **fields)
    program.prepare(batch)
    program.run(0, 2, x.contiguous().numpy())
    return program.value(value).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("isa", ISAS)
def test_windows_equal_torchs_pools_to_the_bit(monkeypatch, isa, channels):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    x = channels_last(channels, 9, 8)
    for kernel, stride, padding in WINDOWS:
        fields = {"kernel": kernel, "stride": stride, "padding": padding}
        expected = F.max_pool2d(x, kernel, stride, padding)
        np.testing.assert_array_equal(pooled(x, "max_pool", expected, **fields), expected.numpy())
        for count_include_pad in (True, False):
            expected = F.avg_pool2d(x, kernel, stride, padding, count_include_pad=count_include_pad)
            y = pooled(x, "avg_pool", expected, **fields, count_include_pad=count_include_pad)
            np.testing.assert_array_equal(y, expected.numpy())


@pytest.mark.parametrize("channels", [channels for channels in CHANNELS if channels > 1])
@pytest.mark.parametrize("isa", ISAS)
def test_the_mean_of_all_pixels_equals_torchs_to_the_bit(monkeypatch, isa, channels):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    for size in ((1, 1), (3, 3), (4, 4), (7, 7), (8, 8), (5, 13), (32, 32)):
        x = channels_last(channels, *size)
        expected = nn.AdaptiveAvgPool2d(1)(x)
        np.testing.assert_array_equal(pooled(x, "global_avg_pool", expected), expected.numpy())


@pytest.mark.parametrize("isa", ISAS)
def test_nan_passes_through_a_maximum(monkeypatch, isa):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    x = channels_last(20, 6, 6)
    x[:, ::3, 1, 2] = torch.nan
    x[:, 1::3, 2:4, 2:4] = -torch.inf
    expected = F.max_pool2d(x, 2)
    y = pooled(x, "max_pool", expected, kernel=(2, 2), stride=(2, 2))
    assert np.isnan(y).any()
    np.testing.assert_array_equal(y, expected.numpy())


@pytest.mark.parametrize("method", ["max_pool", "global_avg_pool"])
@pytest.mark.parametrize("isa", ISAS)
def test_a_pool_may_write_the_next_layers_image(make_layer, monkeypatch, isa, method):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    x = channels_last(70, 6, 6)
    fields = {} if method == "global_avg_pool" else {"kernel": (2, 2), "stride": (2, 2)}
    pool = nn.AdaptiveAvgPool2d(1) if method == "global_avg_pool" else nn.MaxPool2d(2)
    z = np.ascontiguousarray(pool(x).permute(0, 2, 3, 1).numpy())
    layers = [make_layer("w1a1", channels=70, columns=9), make_layer("w8a8", channels=70, columns=9)]
    program = NativeProgram()
    source = program.add_value(6, 6, 70)
    images = [program.add_image(layer, *z.shape[1:3]) for layer in layers]
    results = [program.add_value(*z.shape[1:3], 9) for _ in layers]
    epilogue = Epilogue(offset=np.linspace(-1, 1, 70, dtype=np.float32), low=0)
    program.load(source, channels_first=True)
    getattr(program, method)(source, **fields, epilogue=epilogue, images=images)
    for image, result in zip(images, results, strict=True):
        program.layer(image, value=result)
    program.prepare(2)
    program.run(0, len(program), x.contiguous().numpy())
    for layer, result in zip(layers, results, strict=True):
        np.testing.assert_array_equal(
            program.value(result), run_reference(layer, apply_epilogue(z, epilogue))
        )
