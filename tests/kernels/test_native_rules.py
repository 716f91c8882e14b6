"""What the native front refuses, which instruction set it takes, and how threads behave."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mpsearch.errors import ConfigError, KernelError, ShapeError
from mpsearch.kernels import extension, native
from mpsearch.kernels.native import NativeLayer, available_isas
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.kernels.reference import run_reference


def test_the_best_implementation_comes_first_and_scalar_always_runs(monkeypatch, make_layer):
    monkeypatch.delenv("MPSEARCH_FORCE_ISA", raising=False)
    isas = available_isas()
    assert isas[-1] == "scalar"
    best_first = ("avx512", "avx2", "neon_dotprod", "neon", "scalar")
    assert list(isas) == [isa for isa in best_first if isa in isas]
    assert NativeLayer(make_layer("w8a8", columns=1, channels=1)).isa == isas[0]
    assert {native.selected_isa(scheme) for scheme in WEIGHT_RANGES} == {isas[0]}
    if "avx512" in isas:
        assert {"avx2", "avx512f", "avx512_vnni"} <= set(native.cpu_features())
    if "neon_dotprod" in isas:
        assert {"neon", "neon_dotprod"} <= set(native.cpu_features())


@pytest.mark.parametrize("isa", available_isas())
def test_the_forced_implementation_is_the_one_that_runs(monkeypatch, make_layer, isa):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    assert native.selected_isa("w1a1") == isa
    assert NativeLayer(make_layer("w1a1", columns=1, channels=1)).isa == isa


def test_an_implementation_that_is_not_there_is_refused_and_the_message_lists_those_that_are(
    monkeypatch, make_layer
):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", "neon9000")
    with pytest.raises(KernelError, match=r"MPSEARCH_FORCE_ISA.*scalar.*got 'neon9000'"):
        NativeLayer(make_layer("w8a8", columns=1, channels=1))
    with pytest.raises(KernelError, match="neon9000"):
        native.selected_isa("w8a8")


def test_full_precision_and_unknown_schemes_have_no_kernel():
    with pytest.raises(KernelError, match="runs on torch"):
        native.selected_isa("w32a32")
    with pytest.raises(ConfigError, match="w3a3"):
        native.selected_isa("w3a3")


def test_build_info_names_compiler_and_version():
    info = native.build_info()
    assert set(info) == {"compiler", "kernel_version"}
    assert info["compiler"].split()[0] in {"gcc", "clang"}


def test_a_missing_extension_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpsearch.kernels._native", None)
    extension.load_extension.cache_clear()
    with pytest.raises(KernelError, match=r"pip install \."):
        available_isas()
    monkeypatch.undo()
    assert available_isas()


def test_more_products_than_the_contract_allows_are_refused(make_layer):
    with pytest.raises(KernelError, match=r"at most 65536 products.*sums 65537.*32 bits"):
        NativeLayer(make_layer("w1a8", columns=1, channels=65537))


@pytest.mark.parametrize("threads", [0, -1, 257, 2**40, 1.5, "two"])
def test_a_senseless_number_of_threads_is_refused(make_layer, threads):
    with pytest.raises(KernelError, match=f"`threads`.*got {threads!r}"):
        NativeLayer(make_layer("w8a8", columns=1, channels=1), threads=threads)


@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        (np.zeros((1, 4, 4, 3), np.float64), None, "`x` must be float32.*8-byte"),
        (np.zeros((1, 4, 4, 3), np.int32), None, "`x` must be float32"),
        (np.zeros((4, 4, 3), np.float32), None, r"4 dimensions; got shape \(4, 4, 3\)"),
        (np.zeros((1, 4, 3, 4), np.float32).transpose(0, 1, 3, 2), None, "not contiguous"),
        (np.zeros((1, 4, 4, 2), np.float32), None, r"\(batch, height, width, 3\).*got \(1, 4, 4, 2\)"),
        (np.zeros((0, 4, 4, 3), np.float32), None, "not empty"),
        (np.zeros((1, 0, 4, 3), np.float32), None, "must fit the padded input; got an input of 0x4"),
        (np.zeros((1, 2, 4, 3), np.float32), None, "must fit.*2x4 and a kernel of 3x3"),
        ([[[[0.0, 0.0, 0.0]]]], None, "numpy array or CPU tensor.*list"),
        (None, None, "NoneType"),
        (torch.zeros(1, 4, 4, 3, dtype=torch.bfloat16), None, "`x` must be float32"),
        (
            np.zeros((1, 4, 4, 3), np.float32),
            np.zeros((1, 2, 2, 4), np.float32),
            r"`out` must be \(1, 2, 2, 5\)",
        ),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 2, 2, 5), np.float64), "`out` must be float32"),
    ],
)
def test_wrong_arrays_are_shape_errors_that_name_the_rule(make_layer, x, out, message):
    layer = NativeLayer(make_layer("w8a8", columns=5, channels=3, kernel=(3, 3)))
    with pytest.raises(ShapeError, match=message):
        layer.run(x, np.zeros((1, 2, 2, 5), np.float32) if out is None else out)


def test_an_output_that_cannot_be_written_is_refused(make_layer):
    layer = NativeLayer(make_layer("w8a8", columns=5, channels=3))
    out = np.zeros((1, 1, 1, 5), np.float32)
    out.flags.writeable = False
    with pytest.raises(ShapeError, match="writable"):
        layer.run(np.zeros((1, 1, 1, 3), np.float32), out)
    readable = np.zeros((1, 1, 1, 3), np.float32)
    readable.flags.writeable = False
    layer.run(readable, np.zeros((1, 1, 1, 5), np.float32))


def test_wrong_integers_are_shape_errors(make_layer):
    layer = NativeLayer(make_layer("w1a1", columns=5, channels=3))
    with pytest.raises(ShapeError, match=r"-1 or \+1; got 0"):
        layer.run_integer(np.zeros((1, 1, 1, 3), np.int8))
    one = np.ones((1, 1, 1, 3), np.int8)
    for wrong in (one.astype(np.int16), one[0, 0], one[:0], one.tolist()):
        with pytest.raises(ShapeError, match="`a` must be"):
            layer.run_integer(wrong)


def test_a_kernel_larger_than_its_padded_input_does_not_fit(make_layer):
    layer = NativeLayer(make_layer("w8a8", columns=5, channels=3, kernel=(3, 3), stride=(2, 2)))
    assert layer.out_spatial(3, 5) == (1, 2)
    with pytest.raises(ShapeError, match="must fit"):
        layer.out_spatial(2, 5)


def test_torch_tensors_and_numpy_arrays_give_the_same(make_layer):
    layer = make_layer("w4a8", columns=6, channels=8, kernel=(3, 3), padding=(1, 1))
    packed = NativeLayer(layer)
    x = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    out = torch.empty(2, 6, 5, 5).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        packed.run(x.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(
        out.permute(0, 2, 3, 1).numpy(), run_reference(layer, x.permute(0, 2, 3, 1).contiguous().numpy())
    )


def test_packed_weights_take_about_the_bits_of_their_scheme(make_layer):
    sizes = {
        scheme: NativeLayer(make_layer(scheme, columns=64, channels=256)).packed_bytes
        for scheme in WEIGHT_RANGES
    }
    assert sizes == {"w1a1": 2048, "w1a8": 2048, "w1.58a8": 4096, "w4a8": 8192, "w8a8": 16384}


WIDE = {"columns": 200, "channels": 128, "kernel": (3, 3), "padding": (1, 1)}
GEMV = {"columns": 3000, "channels": 2000}
GROUPED = {"columns": 512, "channels": 512, "kernel": (3, 3), "padding": (1, 1), "groups": 4}
DEPTHWISE = {"columns": 512, "channels": 256, "kernel": (3, 3), "padding": (1, 1), "groups": 256}


@pytest.mark.parametrize(
    ("fields", "size"),
    [(WIDE, (2, 24, 24)), (GEMV, (1, 1, 1)), (GROUPED, (1, 20, 20)), (DEPTHWISE, (2, 32, 32))],
)
@pytest.mark.parametrize("scheme", ["w1a1", "w8a8"])
def test_two_threads_compute_what_one_does(make_layer, native_on, scheme, fields, size):
    layer = make_layer(scheme, **fields)
    x = np.random.default_rng(1).normal(size=(*size, layer.in_channels)).astype(np.float32)
    results = []
    for isa in dict.fromkeys((available_isas()[0], "scalar")):
        for threads in (1, 2, 3):
            packed = native_on(isa, layer, threads=threads)
            for _ in range(3):
                out = np.empty((*size[:1], *packed.out_spatial(*size[1:]), layer.out_channels), np.float32)
                packed.run(x, out)
                results.append(out)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_python_threads_may_share_layers_and_the_pool(make_layer, native_on):
    layers = [make_layer("w8a8", seed=seed, **WIDE) for seed in range(2)]
    packed = [native_on(available_isas()[0], layer, threads=2) for layer in layers]
    inputs = [
        np.random.default_rng(seed).normal(size=(1, 16 + seed, 16, 128)).astype(np.float32)
        for seed in range(3)
    ]
    expected = {(i, j): run_reference(layers[i], inputs[j]) for i in range(2) for j in range(3)}

    def work(job: int) -> bool:
        i, j = job % 2, job % 3
        out = np.empty_like(expected[i, j])
        packed[i].run(inputs[j], out)
        return bool((out == expected[i, j]).all())

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(120)))


FORK = """
import os, sys
import numpy as np
from mpsearch.kernels.native import NativeLayer
from mpsearch.kernels.quantized_layer import ActivationFormat, QuantizedLayer
from mpsearch.precision.scheme import SCHEMES
layer = QuantizedLayer(operator="conv2d", scheme=SCHEMES["w8a8"], weight=np.ones((256, 256, 3, 3), np.int8),
    weight_scale=np.ones(256, np.float32), bias=None,
    activation=ActivationFormat(bits=8, scale=np.float32(1)),
    padding=(1, 1))
native = NativeLayer(layer, threads=2)
x, out = np.ones((1, 40, 40, 256), np.float32), np.empty((1, 40, 40, 256), np.float32)
native.run(x, out)
child = os.fork()
for _ in range(5):
    out[:] = 0
    native.run(x, out)
    assert out[0, 1, 1, 0] == 2304
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_computes_with_threads_of_its_own():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
