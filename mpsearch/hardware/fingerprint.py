"""What machine a profile was taken on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from mpsearch.errors import FormatError
from mpsearch.hardware.json_fields import array, object_of, text, whole

# What may differ while timings stay comparable.
IMMATERIAL = frozenset({"operating_system", "python"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFingerprint:
    """What decides how fast the kernels run here.

    `usable_cores`: those that this process may run on. `caches_bytes`: level -> bytes of one
    instance, as (("L1d", 49152), ...). `kernels`: instruction sets that the kernels choose from, best first;
    the forced one alone where MPSEARCH_FORCE_ISA names one that is not the best.
    """

    cpu_model: str
    architecture: str
    isa_features: tuple[str, ...]
    physical_cores: int
    logical_cores: int
    usable_cores: int
    caches_bytes: tuple[tuple[str, int], ...]
    kernels: tuple[str, ...]
    kernel_version: str
    compiler: str
    torch_version: str
    operating_system: str
    python: str

    def differences(self, other: MachineFingerprint) -> tuple[str, ...]:
        """What differs and matters to timings, one sentence each: this value, then the other's."""
        return tuple(
            f"{field.name}: {_readable(mine)} in the profile, {_readable(theirs)} here"
            for field in fields(self)
            if field.name not in IMMATERIAL
            and (mine := getattr(self, field.name)) != (theirs := getattr(other, field.name))
        )

    def cache_level(self, size_bytes: int) -> int:
        """Number of caches that are too small for so many bytes: 0, the first holds them; all, none does."""
        sizes = sorted(size for _, size in self.caches_bytes)
        return sum(size < size_bytes for size in sizes)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "isa_features": list(self.isa_features),
            "kernels": list(self.kernels),
            "caches_bytes": dict(self.caches_bytes),
        }

    @classmethod
    def from_dict(cls, value: Any) -> MachineFingerprint:
        """Raises: FormatError if it is not what `to_dict` writes."""
        keys = {field.name for field in fields(cls)}
        given = object_of(value, keys, "A fingerprint")
        return cls(**{field.name: _READERS[str(field.type)](given[field.name]) for field in fields(cls)})


def _caches(value: Any) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict):
        raise FormatError(f"`caches_bytes` must be an object; got {value!r:.80}.")
    return tuple(sorted((level, whole(size, "A cache size")) for level, size in value.items()))


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": lambda value: text(value, "A fingerprint's text"),
    "int": lambda value: whole(value, "A fingerprint's count"),
    "tuple[str, ...]": lambda value: tuple(
        text(item, "A fingerprint's entry") for item in array(value, "A fingerprint's list")
    ),
    "tuple[tuple[str, int], ...]": _caches,
}


def probe_machine() -> MachineFingerprint:
    """The fingerprint of this machine, for this process.

    Raises: KernelError if the kernels are not built, or the forced instruction set is not available.
    """
    from mpsearch.kernels import native  # noqa: PLC0415 - profiles open where no kernels are built

    build = native.build_info()
    available = native.available_isas()
    selected = native.selected_isa("w8a8")
    return MachineFingerprint(
        cpu_model=_cpu_model(),
        architecture=platform.machine(),
        isa_features=tuple(native.cpu_features()),
        physical_cores=_physical_cores(),
        logical_cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        caches_bytes=cache_sizes(),
        kernels=available if selected == available[0] else (selected,),
        kernel_version=str(build["kernel_version"]),
        compiler=str(build["compiler"]),
        torch_version=_installed_version("torch"),
        operating_system=platform.platform(),
        python=platform.python_version(),
    )


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_sizes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> tuple[tuple[str, int], ...]:
    """Bytes of one instance of each data cache, sorted by level; empty where the system does not say."""
    sizes: dict[str, int] = {}
    for index in sorted(root.glob("index*")):
        kind, level, size = (_read(index / name) for name in ("type", "level", "size"))
        if kind in {"Data", "Unified"} and size[:-1].isdigit() and size[-1] in "KMG":
            unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[size[-1]]
            sizes[f"L{level}" + ("d" if kind == "Data" else "")] = int(size[:-1]) * unit
    return tuple(sorted(sizes.items()))


def _cpu_model() -> str:
    info = _read(Path("/proc/cpuinfo"))
    for key in ("model name", "Model", "Hardware"):
        for line in info.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def _physical_cores(root: Path = Path("/sys/devices/system/cpu")) -> int:
    cores = {
        (_read(cpu / "topology/physical_package_id"), _read(cpu / "topology/core_id"))
        for cpu in root.glob("cpu[0-9]*")
    }
    return len({core for core in cores if all(core)}) or (os.cpu_count() or 1)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _installed_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _readable(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{v[0]} {v[1]}" if isinstance(v, tuple) else str(v) for v in value) or "none"
    return str(value)
