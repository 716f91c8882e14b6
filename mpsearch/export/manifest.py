"""manifest.json of a packed model: what rebuilds it, what was promised, where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mpsearch.errors import FormatError
from mpsearch.export.document import read_document, required, write_document
from mpsearch.kernels.quantized_layer import MAX_THREADS
from mpsearch.models.layer_shape import EXTRAS, OPERATORS, Extra, Operator
from mpsearch.precision.policy import PrecisionPolicy

MANIFEST_SCHEMA = 1
LAYOUT_VERSION = 2  # of weights.bin: packed_bytes.py, and the codecs of mpsearch.kernels.packing
_WHAT = "the manifest of a packed model"
_NUMBER = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGeometry:
    """What a packed layer needs beside its tensors.

    Shape: weight_shape (N, C / groups, KH, KW).
    """

    operator: Operator
    weight_shape: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    zero_point: int
    has_bias: bool
    extras: tuple[Extra, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A JSON object, without `extras` where there are none; `from_dict` is its inverse."""
        fields = asdict(self)
        return fields if self.extras else {key: value for key, value in fields.items() if key != "extras"}

    @classmethod
    def from_dict(cls, fields: Any, where: Path) -> LayerGeometry:
        """Raises: FormatError if a field is missing, of the wrong type, or out of range."""
        if not isinstance(fields, dict):
            raise FormatError(f"A layer in {where} must be an object; got {fields!r:.200}.")
        operator = required(fields, "operator", str, where)
        if operator not in OPERATORS:
            raise FormatError(
                f"`operator` in {where} must be one of {', '.join(OPERATORS)}; got {operator!r}."
            )
        groups = required(fields, "groups", int, where)
        if groups < 1:
            raise FormatError(f"`groups` in {where} must be 1 or more; got {groups}.")
        extras = required({"extras": [], **fields}, "extras", list, where)
        if any(extra not in EXTRAS for extra in extras):
            raise FormatError(
                f"`extras` in {where} must be some of {', '.join(EXTRAS)}; got {extras!r:.200}."
            )
        return cls(
            operator=operator,
            weight_shape=_sizes(fields, "weight_shape", 4, 1, where),  # type: ignore[arg-type]
            stride=_sizes(fields, "stride", 2, 1, where),  # type: ignore[arg-type]
            padding=_sizes(fields, "padding", 2, 0, where),  # type: ignore[arg-type]
            dilation=_sizes(fields, "dilation", 2, 1, where),  # type: ignore[arg-type]
            groups=groups,
            zero_point=required(fields, "zero_point", int, where),
            has_bias=required(fields, "has_bias", bool, where),
            extras=tuple(extras),
        )


# Types of tensors that stay as they were, with the bytes that one number takes.
DTYPE_BYTES = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "bool": 1,
}  # fmt: skip
_MOST_DIMENSIONS = 8
_MOST_ELEMENTS = 1 << 48


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorForm:
    """Type and shape of a tensor that stays as it was."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return DTYPE_BYTES[self.dtype] * math.prod(self.shape)

    @classmethod
    def from_dict(cls, fields: Any, where: Path) -> TensorForm:
        """Raises: FormatError if the type is unknown or the shape is none."""
        if not isinstance(fields, dict):
            raise FormatError(f"A tensor in {where} must be an object; got {fields!r:.200}.")
        dtype = required(fields, "dtype", str, where)
        if dtype not in DTYPE_BYTES:
            raise FormatError(
                f"`dtype` in {where} must be one of {', '.join(DTYPE_BYTES)}; got {dtype!r:.200}."
            )
        dimensions = min(len(required(fields, "shape", list, where)), _MOST_DIMENSIONS)
        shape = _sizes(fields, "shape", dimensions, 0, where)
        if math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:  # empty ones have strides too
            raise FormatError(f"`shape` in {where} must have fewer than 2^48 elements; got {shape}.")
        return cls(dtype=dtype, shape=shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the search promised, for the machine of `profile` on `threads` threads, one sample.

    `latency_s` is a median, the other latencies are percentiles.
    """

    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    memory_bytes: int
    energy_j: float
    profile: str
    threads: int

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], where: Path) -> Prediction:
        """Raises: FormatError if a field is missing, of the wrong type, or out of range."""
        latency_s = required(fields, "latency_s", _NUMBER, where)
        threads = required(fields, "threads", int, where)
        if latency_s <= 0 or not 1 <= threads <= MAX_THREADS:
            raise FormatError(
                f"`latency_s` in {where} must be above 0 and `threads` in 1..{MAX_THREADS}; got {latency_s} "
                f"and {threads}. Export it again."
            )
        return cls(
            latency_s=latency_s,
            latency_p95_s=required(fields, "latency_p95_s", _NUMBER, where),
            latency_p99_s=required(fields, "latency_p99_s", _NUMBER, where),
            memory_bytes=required(fields, "memory_bytes", int, where),
            energy_j=required(fields, "energy_j", _NUMBER, where),
            profile=required(fields, "profile", str, where),
            threads=threads,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How the packed model compared with the trial's fake-quant model on export, and how to repeat it.

    `samples` validation samples from the first on, whose bytes hash to `inputs_sha256`; `agreement` as
    `Agreement.share` defines it.
    """

    samples: int
    inputs_sha256: str
    max_abs_error: float
    agreement: float
    outputs_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about a packed model that is no tensor.

    `tensors`: what stays as it was, by its name in the state dict. `tied` lists further names there that
    share the tensor stored under another.
    """

    task: str
    task_args: Mapping[str, Any]
    model_fingerprint: str
    policy: PrecisionPolicy
    layers: Mapping[str, LayerGeometry]
    tied: tuple[str, ...]
    predicted: Prediction
    metric: str
    validation_score: float
    run: str
    trial: int
    check: Check
    tensors: Mapping[str, TensorForm] = field(default_factory=dict)
    weights_sha256: str = ""
    weights_bytes: int = 0

    def save(self, path: Path) -> None:
        """Raises: StorageError if it cannot be written."""
        write_document(
            path,
            {
                "schema": MANIFEST_SCHEMA,
                "layout": LAYOUT_VERSION,
                "task": {"name": self.task, "args": dict(self.task_args)},
                "model_fingerprint": self.model_fingerprint,
                "policy": self.policy.names(),
                "score": {"metric": self.metric, "split": "validation", "value": self.validation_score},
                "predicted": asdict(self.predicted),
                "origin": {"run": self.run, "trial": self.trial},
                "check": asdict(self.check),
                "weights": {"sha256": self.weights_sha256, "bytes": self.weights_bytes},
                "layers": {name: geometry.to_dict() for name, geometry in self.layers.items()},
                "tensors": {name: asdict(form) for name, form in self.tensors.items()},
                "tied": list(self.tied),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Raises: FormatError if the file is truncated, of a newer schema or layout, or breaks the format."""
        document = read_document(path, schema=MANIFEST_SCHEMA, what=_WHAT)
        layout = required(document, "layout", int, path)
        if layout != LAYOUT_VERSION:
            raise FormatError(
                f"{path} has weights in layout {layout}; this mpsearch reads layout {LAYOUT_VERSION}. "
                "Install the mpsearch that wrote it, or export the trial again."
            )
        sections = {name: required(document, name, dict, path) for name in _SECTIONS}
        tied = required(document, "tied", list, path)
        if not all(isinstance(name, str) for name in tied):
            raise FormatError(f"`tied` in {path} must be a list of names; got {tied!r:.200}.")
        try:
            policy = PrecisionPolicy.from_names(document.get("policy"))
        except FormatError as error:
            raise FormatError(f"`policy` in {path}: {error}") from error
        layers = {name: LayerGeometry.from_dict(value, path) for name, value in sections["layers"].items()}
        packed = [name for name, scheme in policy.items() if not scheme.is_full_precision]
        if set(packed) != set(layers):
            raise FormatError(
                f"`layers` in {path} must be those of the policy below 32 bits, {packed!s:.200}; got "
                f"{list(layers)!s:.200}."
            )
        samples = required(sections["check"], "samples", int, path)
        if samples < 1:
            raise FormatError(f"`samples` in {path} must be 1 or more; got {samples}. Export it again.")
        return cls(
            task=required(sections["task"], "name", str, path),
            task_args=required(sections["task"], "args", dict, path),
            model_fingerprint=required(document, "model_fingerprint", str, path),
            policy=policy,
            layers=layers,
            tensors={name: TensorForm.from_dict(form, path) for name, form in sections["tensors"].items()},
            tied=tuple(tied),
            predicted=Prediction.from_dict(sections["predicted"], path),
            metric=required(sections["score"], "metric", str, path),
            validation_score=required(sections["score"], "value", _NUMBER, path),
            run=required(sections["origin"], "run", str, path),
            trial=required(sections["origin"], "trial", int, path),
            check=Check(
                samples=samples,
                inputs_sha256=required(sections["check"], "inputs_sha256", str, path),
                max_abs_error=required(sections["check"], "max_abs_error", _NUMBER, path),
                agreement=required(sections["check"], "agreement", _NUMBER, path),
                outputs_sha256=required(sections["check"], "outputs_sha256", str, path),
            ),
            weights_sha256=required(sections["weights"], "sha256", str, path),
            weights_bytes=required(sections["weights"], "bytes", int, path),
        )


_SECTIONS = ("task", "score", "predicted", "origin", "check", "weights", "layers", "tensors")


def _sizes(fields: Mapping[str, Any], key: str, count: int, least: int, where: Path) -> tuple[int, ...]:
    value = fields.get(key)
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(type(size) is int and least <= size < 2**31 for size in value)
    ):
        raise FormatError(
            f"`{key}` in {where} must be {count} whole numbers from {least}; got {value!r:.200}."
        )
    return tuple(value)
