"""Whatever is done to the files of a packed model, it runs or is a typed error, and takes little memory.

Checksums are made to fit again most of the time, as someone who means harm would.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import resource
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from mpsearch.errors import MpsearchError
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
from mpsearch.export.packed_model import model_from_packed
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.runtime.packed_model import build_packed_model

FILES = (WEIGHTS_FILE, CHECK_FILE, MANIFEST_FILE)
HARMLESS_BYTES = 512 << 20  # more than any of these files may make us reserve
INPUT = torch.linspace(-2, 2, 2 * 6 * 5 * 4).reshape(2, 6, 5, 4)


class Network(nn.Module):
    """A layer of every scheme and kind, and what stays 32-bit."""

    def __init__(self) -> None:
        super().__init__()
        self.w1a1 = nn.Conv2d(6, 8, 3, stride=(2, 1), padding=1)
        self.w1a8 = nn.Conv2d(8, 8, (3, 1), padding="same", groups=8)
        self.bn = nn.BatchNorm2d(8)
        self.ternary = nn.Conv2d(8, 6, (1, 2), dilation=(1, 2), groups=2, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.w4a8 = nn.Linear(6, 9)
        self.w8a8 = nn.Linear(9, 4)
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x = self.pool(self.ternary(self.bn(self.w1a8(self.w1a1(x)))).relu()).flatten(1)
        return self.last(self.w8a8(self.w4a8(x)))


SCHEME_OF = {"w1a1": "w1a1", "w1a8": "w1a8", "ternary": "w1.58a8", "w4a8": "w4a8", "w8a8": "w8a8"}


class TaskOfNetwork:
    """As much of a task as a packed model needs."""

    name = "network"
    example_inputs = (INPUT[:1],)

    def new_model(self) -> nn.Module:
        return Network()


def frozen(name: str, module: nn.Module, rng: np.random.Generator) -> QuantizedLayer:
    scheme = SCHEMES[SCHEME_OF[name]]
    low, high = WEIGHT_RANGES[scheme.name]
    sizes = tuple(module.weight.shape)
    shape = (*sizes, 1, 1)[:4]
    weight = rng.integers(low, high + 1, shape)
    if scheme.weight_bits == 1:
        weight = np.where(weight >= 0, 1, -1)
    one_bit = scheme.activation_bits == 1
    geometry = {"w1a1": {"stride": (2, 1), "padding": (1, 1)}, "w1a8": {"padding": (1, 0), "groups": 8}}
    geometry["ternary"] = {"dilation": (1, 2), "groups": 2}
    fields = geometry.get(name, {})
    return QuantizedLayer(
        operator={2: "linear", 4: "conv2d"}[len(sizes)],
        scheme=scheme,
        weight=weight.astype(np.int8),
        weight_scale=rng.random(shape[0], dtype=np.float32) + np.float32(0.1),
        bias=rng.normal(size=shape[0]).astype(np.float32) if module.bias is not None else None,
        activation=ActivationFormat(
            bits=1 if one_bit else 8,
            scale=np.float32(0.03),
            zero_point=0,
            threshold=rng.normal(size=shape[1] * fields.get("groups", 1)).astype(np.float32)
            if one_bit
            else None,
        ),
        **fields,
    )


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> dict[str, bytes]:
    """File name -> content of a packed model."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    modules = dict(Network().named_children())
    layers = {name: frozen(name, modules[name], rng) for name in SCHEME_OF}
    floats = {name: t for name, t in Network().state_dict().items() if name.startswith(("bn.", "last."))}
    manifest = Manifest(
        task="digits",
        task_args={},
        model_fingerprint="0123456789abcdef",
        policy=PrecisionPolicy({**SCHEME_OF, "last": "w32a32"}),
        layers={name: geometry_of(layer) for name, layer in layers.items()},
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
        check=Check(samples=2, inputs_sha256="0" * 64, max_abs_error=0.0, agreement=1.0),
    )
    folder = tmp_path_factory.mktemp("pristine") / "m"
    packed = PackedFile(manifest=manifest, layers=layers, floats=floats, check_outputs=torch.ones(2, 3))
    write_packed(folder, packed)
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module", autouse=True)
def _traced_once():
    """The model is the same each time, and takes longer to trace than all the rest."""
    once = functools.cache(lambda: trace_model(Network().eval(), TaskOfNetwork.example_inputs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpsearch.export.packed_model.trace_model", lambda model, example: once())
        yield once()


@pytest.fixture
def little_memory():
    """Reserving much more than there is now fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + HARMLESS_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(folder: Path, files: dict[str, bytes]) -> str:
    """`runs`, or the class of the typed error. Anything else fails the test."""
    for name in FILES:
        (folder / name).write_bytes(files[name])
    try:
        packed = read_packed(folder)
        compiled = model_from_packed(packed, TaskOfNetwork(), threads=packed.manifest.predicted.threads)
        eager = build_packed_model(Network(), packed.layers)
        shapes = {tuple(model(INPUT).shape) for model in (compiled.model, eager)}
    except MpsearchError as error:
        str(error).encode()  # it can be shown
        return type(error).__name__
    assert compiled.eager_reasons == ()
    assert shapes == {(2, 3)}
    return "runs"


def with_checksums(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same with a manifest that says what the other files hash to, if there is still one to say it."""
    try:
        document = json.loads(files[MANIFEST_FILE])
        document["weights"]["bytes"] = len(files[WEIGHTS_FILE])
        document["weights"]["sha256"] = hashlib.sha256(files[WEIGHTS_FILE]).hexdigest()
        document["check"]["outputs_sha256"] = hashlib.sha256(files[CHECK_FILE]).hexdigest()
        return {**files, MANIFEST_FILE: json.dumps(document).encode()}
    except (ValueError, TypeError, KeyError, RecursionError):
        return files


BIG = [2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**400]
NUMBERS = [0, 1, -1, 2, 3, 7, 255, 65537, *BIG, *(-number for number in BIG), 0.5, -0.0, 1e308, 1e-320, 1e39]
SIZES = [
    [], [0], [1], [2**62, 4], [2**32, 2**32], [2**63, 2], [2**31] * 4, [7, 0], [-1, 6], [-1, -1, 4], [1] * 99,
]  # fmt: skip
NAMES = ["", ".", "..", "../../etc/passwd", "/etc/passwd", "a/../b", "w1a1", "layer\0", "\x1b[2J", "ß" * 300]
VALUES = [
    None, True, False, "", "w1a1", "w32a32", "w3a3", [], {}, [[]], {"a": 1}, float("nan"), float("inf"),
    "[bold]x", "conv1d", "linear", "\ud800", *NUMBERS, *SIZES, *NAMES,
]  # fmt: skip
DTYPES = [
    "F32",
    "F64",
    "F16",
    "BF16",
    "I8",
    "U8",
    "I64",
    "BOOL",
    "F8_E4M3",
    "F8_E8M0",
    "F4",
    "C64",
    "U16",
    "X",
    "",
]


def truncated(files, rng):
    name = rng.choice(FILES)
    files[name] = files[name][: rng.randrange(len(files[name]))]


def lengthened(files, rng):
    name = rng.choice(FILES)
    files[name] += rng.randbytes(rng.choice([1, 8, 64, 4096]))


def bits_flipped(files, rng):
    name = rng.choice(FILES)
    content = bytearray(files[name])
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        place = rng.randrange(8 * len(content))
        content[place // 8] ^= 1 << place % 8
    files[name] = bytes(content)


def bytes_replaced(files, rng):
    name = rng.choice(FILES)
    content = files[name]
    start, length = rng.randrange(len(content)), rng.choice([1, 4, 8, 100])
    piece = rng.choice([b"\0" * length, b"\xff" * length, rng.randbytes(length), content[:length], b""])
    files[name] = content[:start] + piece + content[start + length :]


def header_length_changed(files, rng):
    name = CHECK_FILE
    size = len(files[name])
    length = rng.choice([0, 1, 2, size - 9, size - 8, size - 7, size, 2**31, 2**32, 10**8, 2**63, 2**64 - 1])
    files[name] = struct.pack("<Q", length) + files[name][8:]


def header_changed(files, rng):
    """dtypes, shapes and offsets that claim something else than what is there."""
    name = CHECK_FILE
    content = files[name]
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    entry = header[rng.choice(sorted(header))]
    begin, end = entry["data_offsets"]
    shape = list(entry["shape"])
    for _ in range(rng.choice([1, 1, 2, 3])):
        match rng.randrange(7):
            case 0:
                entry["dtype"] = rng.choice(DTYPES)
            case 1:
                entry["shape"] = rng.choice([*SIZES, shape[::-1], [*shape, 1]])
            case 2:
                entry["shape"] = [rng.choice([*shape, *NUMBERS]) for _ in range(rng.randrange(5))]
            case 3:
                entry["data_offsets"] = rng.choice(
                    [[begin, end + 4], [begin + 4, end], [end, begin], [0, 2**62], [begin, 2**64 - 1], [0, 0]]
                )
            case 4:
                entry[rng.choice(["dtype", "shape", "data_offsets", "more"])] = rng.choice(VALUES)
            case 5:
                header[rng.choice(["__metadata__", *NAMES, *sorted(header)])] = rng.choice([entry, *VALUES])
            case _ if header:
                header.pop(rng.choice(sorted(header)))
    text = json.dumps(header)
    if rng.random() < 0.2:  # a name that is there twice
        text = text[:-1] + ", " + text[1:]
    text += " " * rng.choice([0, 0, 1, 8])
    files[name] = struct.pack("<Q", len(text.encode())) + text.encode() + content[8 + length :]


def outputs_changed(files, rng):
    outputs = load(files[CHECK_FILE])["outputs"]
    match rng.randrange(4):
        case 0:
            outputs = outputs.to(rng.choice([torch.float64, torch.float16, torch.int64, torch.bool]))
        case 1:
            outputs = outputs.reshape(rng.choice([(6,), (3, 2), (1, 2, 3), (2, 3, 1)]))
        case 2:
            outputs[rng.randrange(2), rng.randrange(3)] = rng.choice([float("nan"), float("inf"), 3e38])
        case _:
            outputs = outputs[: rng.randrange(2)]
    files[CHECK_FILE] = save({rng.choice(["outputs", "outputs", *NAMES]): outputs.contiguous()})


def numbers_changed(files, rng):
    """Scales, thresholds and biases that are no numbers, or have products that are none."""
    data = bytearray(files[WEIGHTS_FILE])
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(data) - 4)
        value = rng.choice([float("nan"), float("inf"), 0.0, -0.0, -1.0, 1e-45, 1e-39, 3e38, -3e38, 1e20])
        data[place : place + 4] = struct.pack("<f", value)
    files[WEIGHTS_FILE] = bytes(data)


def forms_changed(files, rng):
    """Tensors that claim to be larger, smaller, or of another type."""
    document = json.loads(files[MANIFEST_FILE])
    forms = document["tensors"]
    for _ in range(rng.choice([1, 1, 2, 3])):
        name = rng.choice(sorted(forms))
        shape = forms[name]["shape"]
        match rng.randrange(5):
            case 0:
                forms[name]["dtype"] = rng.choice([*DTYPE_BYTES, "float8_e4m3fn", "complex64", "load", ""])
            case 1:
                forms[name]["shape"] = rng.choice([*SIZES, shape[::-1], [*shape, 1], [0] + [2**31 - 1] * 7])
            case 2:
                forms[name]["shape"] = [rng.choice([*shape, *NUMBERS]) for _ in range(rng.randrange(5))]
            case 3:
                forms[rng.choice(NAMES)] = forms.pop(name)
            case _:
                forms[rng.choice(NAMES)] = rng.choice([{"dtype": "int8", "shape": [0]}, forms[name], *VALUES])
        if any(not isinstance(form, dict) or "shape" not in form for form in forms.values()):
            break
    files[MANIFEST_FILE] = json.dumps(document).encode()


def manifest_changed(files, rng):
    """Any value in any place; keys lost, added and renamed."""
    document = json.loads(files[MANIFEST_FILE])
    for _ in range(rng.choice([1, 1, 2, 5])):
        node = document
        while True:
            keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
            key = rng.choice(keys) if keys else None
            if key is None or not isinstance(node[key], dict | list) or rng.random() < 0.15:
                break
            node = node[key]
        if key is None:
            continue
        match rng.randrange(6):
            case 0:
                del node[key]
            case 1 if isinstance(node, dict):
                node[rng.choice([*NAMES, key + "x"])] = node.pop(key)
            case 2 if isinstance(node, dict):
                node[rng.choice([*NAMES, "conv2d"])] = rng.choice([node[key], *VALUES])
            case _:
                node[key] = rng.choice(VALUES if rng.random() < 0.7 else NUMBERS)
    files[MANIFEST_FILE] = json.dumps(document).encode()


def geometry_changed(files, rng):
    """Layers that are well formed, and not those of the model."""
    document = json.loads(files[MANIFEST_FILE])
    for _ in range(rng.choice([1, 1, 2, 4])):
        geometry = document["layers"][rng.choice(sorted(document["layers"]))]
        field = rng.choice(sorted(geometry))
        size = rng.choice([0, 1, 2, 3, 4, 6, 8, 9, 4096, 2**15, 2**15 + 1, 2**31 - 1])
        match geometry[field]:
            case list() as sizes:
                sizes[rng.randrange(len(sizes))] = size
                rng.shuffle(sizes)
            case bool() as is_there:
                geometry[field] = not is_there
            case str():
                geometry[field] = rng.choice(["linear", "conv1d", "conv2d"])
            case _:
                geometry[field] = rng.choice([size, -128, -size])
    if rng.random() < 0.3:
        document["policy"][rng.choice(sorted(document["policy"]))] = rng.choice(sorted(SCHEMES))
    files[MANIFEST_FILE] = json.dumps(document).encode()


def manifest_text_changed(files, rng):
    text = files[MANIFEST_FILE].decode()
    place = rng.randrange(len(text))
    piece = rng.choice(
        [
            "NaN",
            "-Infinity",
            "1e999",
            "9" * 5000,
            "[" * 20000,
            '{"a":' * 20000,
            "\\ud800",
            "\ufeff",
            "//",
            ",",
            '"',
        ]
    )
    if rng.random() < 0.5:  # in the place of a number, where it may be valid
        digits = [at for at, letter in enumerate(text) if letter.isdigit()]
        place = rng.choice(digits)
    files[MANIFEST_FILE] = (text[:place] + piece + text[place + rng.randrange(3) :]).encode()


def files_swapped(files, rng):
    one, other = rng.sample(FILES, 2)
    files[one] = rng.choice([files[other], b"", b"\x89PNG\r\n\x1a\n", b"\0" * 100, rng.randbytes(300)])


MUTATIONS = [
    truncated, lengthened, bits_flipped, bytes_replaced, header_length_changed, header_changed,
    outputs_changed, numbers_changed, forms_changed, manifest_changed, geometry_changed,
    manifest_text_changed, files_swapped,
]  # fmt: skip


def mutated(pristine, mutation, rng) -> dict[str, bytes]:
    files = dict(pristine)
    mutation(files, rng)
    if rng.random() < 0.1:
        with_two = dict(files)
        try:
            rng.choice(MUTATIONS)(with_two, rng)
            files = with_two
        except (ValueError, KeyError, TypeError, IndexError, RecursionError, SafetensorError, struct.error):
            pass  # the first one left nothing for the second to work on
    return with_checksums(files) if rng.random() < 0.8 else files


def test_what_was_not_touched_runs(pristine, tmp_path, little_memory):
    assert outcome(tmp_path, pristine) == "runs"
    assert outcome(tmp_path, with_checksums(pristine)) == "runs"


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_mutated_model_runs_or_is_a_typed_error(pristine, tmp_path, little_memory, mutation, seed):
    outcome(tmp_path, mutated(pristine, mutation, random.Random(f"{mutation.__name__} {seed}")))


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_at_any_64th_byte_is_a_format_error(
    pristine, tmp_path, little_memory, name, checksums
):
    for length in range(0, len(pristine[name]), 64):
        files = {**pristine, name: pristine[name][:length]}
        assert outcome(tmp_path, with_checksums(files) if checksums else files) == "FormatError", length


@pytest.mark.slow
def test_one_hundred_thousand_mutated_models_run_or_are_typed_errors(pristine, tmp_path, little_memory):
    counts = Counter()
    for number in range(100_000):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        try:
            counts[
                mutation.__name__, outcome(tmp_path, mutated(pristine, mutation, random.Random(number)))
            ] += 1
        except BaseException as error:
            error.add_note(f"input {number}, {mutation.__name__}")
            raise
    (tmp_path / "counts.txt").write_text(
        "\n".join(f"{kind}: {end}: {count}" for (kind, end), count in sorted(counts.items()))
    )
    assert counts.total() == 100_000
