"""What is written is what is read, for every scheme; whatever is damaged is refused with a typed error."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from mpsearch.errors import ExportError, FormatError, MpsearchError, StorageError
from mpsearch.export.manifest import DTYPE_BYTES, Check, Manifest, Prediction
from mpsearch.export.packed_file import (
    CHECK_FILE,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    PackedFile,
    geometry_of,
    read_packed,
    write_packed,
)
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES

QUANTIZED = list(WEIGHT_RANGES)
FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def layer(
    scheme: str, *, shape=(7, 5, 3, 2), groups: int = 1, seed: int = 0, bias: bool = True
) -> QuantizedLayer:
    rng = np.random.default_rng(seed)
    low, high = WEIGHT_RANGES[scheme]
    weight = rng.integers(low, high + 1, shape)
    if SCHEMES[scheme].weight_bits == 1:
        weight = np.where(weight >= 0, 1, -1)
    one_bit = SCHEMES[scheme].activation_bits == 1
    activation = ActivationFormat(
        bits=1 if one_bit else 8,
        scale=np.float32(0.031),
        zero_point=0 if one_bit else -128,
        threshold=rng.standard_normal(shape[1] * groups).astype(np.float32) if one_bit else None,
    )
    return QuantizedLayer(
        operator="conv2d",
        scheme=SCHEMES[scheme],
        weight=weight.astype(np.int8),
        weight_scale=rng.random(shape[0]).astype(np.float32) + np.float32(0.1),
        bias=rng.standard_normal(shape[0]).astype(np.float32) if bias else None,
        activation=activation,
        stride=(2, 1),
        padding=(1, 0),
        groups=groups,
    )


def packed_file(layers: dict[str, QuantizedLayer]) -> PackedFile:
    policy = {name: quantized.scheme.name for name, quantized in layers.items()}
    manifest = Manifest(
        task="digits",
        task_args={"model": "cnn"},
        model_fingerprint="0123456789abcdef",
        policy=PrecisionPolicy({**policy, "last": "w32a32"}),
        layers={name: geometry_of(quantized) for name, quantized in layers.items()},
        tied=(),
        predicted=Prediction(
            latency_s=1e-4,
            latency_p95_s=2e-4,
            latency_p99_s=3e-4,
            memory_bytes=1000,
            energy_j=1e-6,
            profile="here",
            threads=1,
        ),
        metric="accuracy",
        validation_score=0.9,
        run="digits",
        trial=3,
        check=Check(samples=4, inputs_sha256="0" * 64, max_abs_error=0.0, agreement=1.0),
    )
    floats = {
        "last.weight": torch.randn(3, 7, generator=torch.Generator().manual_seed(0)),
        "bn.num_batches_tracked": torch.tensor(5),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    return PackedFile(manifest=manifest, layers=layers, floats=floats, check_outputs=torch.ones(4, 3))


def write(folder: Path, *schemes: str) -> Path:
    write_packed(folder, packed_file({f"layer.{s}": layer(s, seed=i) for i, s in enumerate(schemes)}))
    return folder


def rewrite_weights(folder: Path, change) -> None:
    """Change bytes and make the manifest's checksum fit, as someone who means harm would."""
    data = bytes(change(bytearray((folder / WEIGHTS_FILE).read_bytes())))
    (folder / WEIGHTS_FILE).write_bytes(data)
    rewrite_manifest(
        folder, lambda m: m["weights"].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    )


def rewrite_manifest(folder: Path, change) -> None:
    path = folder / MANIFEST_FILE
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 7])
@pytest.mark.parametrize("scheme", QUANTIZED)
def test_every_scheme_comes_back_to_the_bit(tmp_path, scheme, groups, bias):
    written = layer(scheme, groups=groups, bias=bias)
    write_packed(tmp_path / "m", packed_file({"a.b": written}))
    read = read_packed(tmp_path / "m").layers["a.b"]
    assert (read.operator, read.scheme, read.groups) == (written.operator, written.scheme, groups)
    assert (read.stride, read.padding, read.dilation) == (written.stride, written.padding, written.dilation)
    assert np.array_equal(read.weight, written.weight)
    assert np.array_equal(read.weight_scale, written.weight_scale)
    assert (read.bias is None) == (not bias)
    assert bias is False or np.array_equal(read.bias, written.bias)
    assert read.activation.scale == written.activation.scale
    assert read.activation.zero_point == written.activation.zero_point
    assert np.array_equal(read.activation.threshold, written.activation.threshold)


def test_everything_else_comes_back_too(tmp_path):
    read = read_packed(write(tmp_path / "m", *QUANTIZED))
    expected = packed_file({})
    assert set(read.floats) == set(expected.floats)
    for name, tensor in expected.floats.items():
        assert read.floats[name].dtype == tensor.dtype
        assert torch.equal(read.floats[name], tensor)
    assert read.manifest.task_args == {"model": "cnn"}
    assert read.manifest.weights_bytes == (tmp_path / "m" / WEIGHTS_FILE).stat().st_size


@pytest.mark.parametrize("scheme", QUANTIZED)
def test_a_file_takes_the_bits_that_the_scheme_claims_and_nothing_else(tmp_path, scheme):
    big = layer(scheme, shape=(40, 25, 3, 3))
    packed = replace(packed_file({"a": big}), floats={})
    write_packed(tmp_path / "m", packed)
    bits = -(-big.weight.size * SCHEMES[scheme].storage_bits // 8)
    thresholds = 25 if SCHEMES[scheme].activation_bits == 1 else 0
    assert (tmp_path / "m" / WEIGHTS_FILE).stat().st_size == bits + 4 * (40 + 1 + thresholds + 40)


def test_a_tensor_of_a_type_without_a_name_in_the_format_is_not_exported(tmp_path):
    packed = replace(packed_file({}), floats={"spectrum": torch.zeros(2, dtype=torch.complex64)})
    with pytest.raises(ExportError, match="'spectrum' is complex64"):
        write_packed(tmp_path / "m", packed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in DTYPE_BYTES])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_tensors_of_every_type_and_shape_come_back(tmp_path, dtype, shape):
    written = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    write_packed(tmp_path / "m", replace(packed_file({}), floats={"x": written}))
    read = read_packed(tmp_path / "m").floats["x"]
    assert read.dtype == dtype
    assert torch.equal(read, written)


def test_a_packed_model_is_written_over_an_earlier_one_but_over_nothing_else(tmp_path):
    write(tmp_path / "m", "w4a8")
    write(tmp_path / "m", "w1a1")
    assert list(read_packed(tmp_path / "m").layers) == ["layer.w1a1"]
    (tmp_path / "m" / "thesis.txt").write_text("keep me")
    with pytest.raises(ExportError, match="must be new, empty or an earlier packed model"):
        write(tmp_path / "m", "w1a1")
    assert (tmp_path / "m" / "thesis.txt").read_text() == "keep me"


def test_a_place_that_cannot_be_written_is_a_storage_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write(tmp_path / "file" / "m", "w1a1")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("file", [WEIGHTS_FILE, CHECK_FILE, MANIFEST_FILE])
def test_a_truncated_or_missing_file_is_a_format_error(tmp_path, file):
    folder = write(tmp_path / "m", "w1.58a8")
    whole = (folder / file).read_bytes()
    for kept in (0, 1, 9, len(whole) // 2, len(whole) - 3):
        (folder / file).write_bytes(whole[:kept])
        with pytest.raises(FormatError):
            read_packed(folder)
    (folder / file).unlink()
    with pytest.raises(FormatError):
        read_packed(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.update(schema=2), "schema 2"),
        (lambda m: m.update(schema=True), "schema"),
        (lambda m: m.update(layout=3), "layout 3"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(weight_shape=[7, 5, 3, 3]), "weight"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(weight_shape=[2**30, 2**30, 1, 1]), "weight"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(weight_shape=[7, 5, 0, 2]), "weight_shape"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(groups=0), "groups"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(groups=3), "groups"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(operator="conv9d"), "operator"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(zero_point=128), "zero point"),
        (lambda m: m["layers"].clear(), "layers"),
        (lambda m: m["policy"].update({"layer.w1.58a8": "w2a2"}), "policy"),
        (lambda m: m["policy"].update({"layer.w1.58a8": "w4a8"}), "weight"),
        (lambda m: m["policy"].clear(), "policy"),
        (lambda m: m["weights"].update(bytes=7), "must have 7 bytes by its manifest"),
        (lambda m: m["check"].update(samples=5), "samples"),
        (lambda m: m.pop("predicted"), "predicted"),
        (lambda m: m["predicted"].update(latency_s=0), "latency_s"),
        (lambda m: m["predicted"].update(latency_s=float("nan")), "latency_s"),
        (lambda m: m["predicted"].update(threads=0), "threads"),
        (lambda m: m["predicted"].update(threads=257), "threads"),
        (lambda m: m["predicted"].update(latency_s=10**400), "latency_s"),
        (lambda m: m["predicted"].update(memory_bytes=2**63), "memory_bytes"),
        (lambda m: m["check"].update(samples=0), "`samples` in .* must be 1 or more"),
        (lambda m: m["layers"]["layer.w1.58a8"].update(padding=[2**31 - 1, 0]), "padding"),
        (lambda m: m.update(model_fingerprint="\ud800"), "surrogates not allowed"),
    ],
)
def test_a_manifest_that_does_not_fit_is_a_format_error_that_names_the_key(tmp_path, change, named):
    folder = write(tmp_path / "m", "w1.58a8")
    rewrite_manifest(folder, change)
    with pytest.raises(FormatError, match=named):
        read_packed(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_recorded_outputs_that_are_no_numbers_are_a_format_error(tmp_path, value):
    folder = write(tmp_path / "m", "w1.58a8")
    data = save({"outputs": torch.full((4, 3), value)})
    (folder / CHECK_FILE).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    rewrite_manifest(folder, lambda m: m["check"].update(outputs_sha256=digest))
    with pytest.raises(FormatError, match="finite, 4 samples"):
        read_packed(folder)


# In weights.bin of a ternary layer of 210 weights and 7 columns; then come 8 + 4 + 84 bytes of tensors.
WEIGHT, WEIGHT_SCALE, SCALE, BIAS, END = 0, 42, 70, 74, 74 + 28 + 96


def put(place: int, piece: bytes):
    return lambda data: data[:place] + piece + data[place + len(piece) :]


def number(value: float) -> bytes:
    return np.float32(value).tobytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data[:-1], "must take 84 bytes by the manifest; 83 are left"),
        (lambda data: data[: WEIGHT_SCALE - 1], "must take 42 bytes by the manifest; 41 are left"),
        (lambda data: data + b"\0", f"must hold the {END} bytes that its manifest describes; got {END + 1}"),
        (put(WEIGHT, b"\xff"), "below 243; got 255"),
        (put(WEIGHT_SCALE, number(float("nan"))), "must be finite"),
        (put(SCALE, number(0)), "must be > 0"),
        (put(SCALE, number(1e-45)), "finite like its inverse"),
        (lambda data: put(SCALE, number(1e30))(put(WEIGHT_SCALE, number(3e38))(data)), "times weight scale"),
        (put(BIAS, number(float("inf"))), "must be finite"),
    ],
)
def test_numbers_that_do_not_fit_are_a_format_error_even_with_a_valid_checksum(tmp_path, change, named):
    folder = write(tmp_path / "m", "w1.58a8")
    rewrite_weights(folder, change)
    with pytest.raises(FormatError, match=named):
        read_packed(folder)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({"dtype": "float32", "shape": [2**31 - 1] * 4}, "fewer than 2.48 elements"),
        ({"dtype": "float32", "shape": [0] + [2**31 - 1] * 7}, "fewer than 2.48 elements"),
        ({"dtype": "float32", "shape": [2**20, 2**20]}, "must take 4398046511104 bytes"),
        ({"dtype": "float32", "shape": [1] * 99}, "8 whole numbers"),
        ({"dtype": "float32", "shape": [-1]}, "1 whole numbers from 0"),
        ({"dtype": "float31", "shape": []}, "must be one of .* got 'float31'"),
        ({"dtype": "bool", "shape": [8]}, "must hold bools"),
        ({"shape": []}, "`dtype`"),
        ([], "must be an object"),
    ],
)
def test_a_tensor_that_is_none_is_a_format_error(tmp_path, form, named):
    folder = write(tmp_path / "m", "w1.58a8")
    rewrite_manifest(folder, lambda m: m["tensors"].update({"bn.num_batches_tracked": form}))
    with pytest.raises(FormatError, match=named):
        read_packed(folder)


@given(data=st.data())
@FUZZ
def test_mutated_bytes_raise_only_typed_errors(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("fuzz") / "m", *QUANTIZED)
    path = folder / data.draw(st.sampled_from([WEIGHTS_FILE, CHECK_FILE, MANIFEST_FILE]))
    content = bytearray(path.read_bytes())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=6)
    ):
        content[place] = value
    path.write_bytes(content)
    if path.name == WEIGHTS_FILE and data.draw(st.booleans()):
        digest = hashlib.sha256(content).hexdigest()
        rewrite_manifest(folder, lambda m: m["weights"].update(sha256=digest))
    with contextlib.suppress(MpsearchError):
        read_packed(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@FUZZ
def test_a_manifest_with_any_value_in_any_place_raises_only_typed_errors(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("fuzz") / "m", *QUANTIZED)

    def change(document):
        node = document
        while True:
            key = data.draw(st.sampled_from(sorted(node)))
            if isinstance(node[key], dict) and node[key] and data.draw(st.booleans()):
                node = node[key]
                continue
            node[key] = data.draw(JSON)
            return

    rewrite_manifest(folder, change)
    with contextlib.suppress(MpsearchError):
        read_packed(folder)
