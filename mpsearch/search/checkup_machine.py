"""A check-up of the machine: processor, what makes timings noisy, and the kernels against their reference."""

from __future__ import annotations

import os
import platform
import shutil
import time
from pathlib import Path

import numpy as np

from mpsearch.errors import KernelError
from mpsearch.hardware.fingerprint import MachineFingerprint, probe_machine, usable_cores
from mpsearch.kernels.extension import forced_isa
from mpsearch.kernels.native import NativeLayer, available_isas, build_info, selected_isa
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.kernels.reference import run_reference
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import scheme_named
from mpsearch.profiling.random_layer import random_quantized_layer
from mpsearch.search.checkup import BUSY, Finding, Section
from mpsearch.search.quantities import format_duration, format_size

_CHECKED = LayerShape(
    operator="conv2d", batch=1, in_channels=24, out_channels=20, spatial=(9, 7), kernel=(3, 3), padding=(1, 1)
)
_REINSTALL = "Install mpsearch again, from source with a C++17 compiler: pip install --force-reinstall ."


def machine_section() -> Section:
    """Processor, cores, caches, and what makes timings noisy. That kernels are missing is told elsewhere."""
    try:
        known = _facts(probe_machine())
    except KernelError:
        known = (Finding(name="processor", value=platform.machine()),)
    return Section(title="Machine", findings=(*known, *noise_findings()))


def kernel_section() -> Section:
    """For each scheme the kernel that runs, and whether it computes what the numpy reference does."""
    advice = _REINSTALL
    try:
        available = available_isas()
        advice = f"Unset MPSEARCH_FORCE_ISA, or name one of {', '.join(available)}."
        chosen = selected_isa("w8a8")
        built = build_info()["compiler"]
    except KernelError as error:
        broken = Finding(name="kernels", value=str(error), state="broken", advice=advice)
        return Section(title="Kernels", findings=(broken,))
    return Section(
        title="Kernels",
        findings=(
            _forced(chosen, available),
            *(_checked(scheme) for scheme in WEIGHT_RANGES),
            _compiler(built),
        ),
    )


def _forced(chosen: str, available: tuple[str, ...]) -> Finding:
    others = " or ".join(isa for isa in available if isa != chosen)
    if forced_isa():
        is_best = chosen == available[0]
        return Finding(
            name="chosen",
            value=f"{chosen}, forced by MPSEARCH_FORCE_ISA"
            + ("" if is_best else f"; {available[0]} would be faster"),
            state="fact" if is_best else "note",
            advice=None if is_best else "Unset MPSEARCH_FORCE_ISA, unless the slower kernels are wanted.",
        )
    more = f"; MPSEARCH_FORCE_ISA={others} would force that one" if others else ""
    return Finding(name="chosen", value=f"{chosen}, the best here{more}")


def _checked(name: str) -> Finding:
    """Run one small layer in the kernel and in numpy; they must agree to the bit."""
    layer = random_quantized_layer(_CHECKED, scheme_named(name), seed=1)
    x = np.random.default_rng(2).standard_normal((1, 9, 7, 24)).astype(np.float32)
    try:
        native = NativeLayer(layer)
        out = np.empty((1, 9, 7, 20), np.float32)
        native.run(x, out)
    except KernelError as error:
        return Finding(name=name, value=str(error), state="broken", advice=_REINSTALL)
    started = time.perf_counter()
    native.run(x, out)
    seconds = time.perf_counter() - started
    wrong = int((out != run_reference(layer, x)).sum())
    if wrong:
        return Finding(
            name=name,
            value=f"{native.isa}: {wrong} of {out.size} outputs differ from the reference",
            state="broken",
            advice="The kernels compute wrong results here. Set MPSEARCH_FORCE_ISA=scalar, and report this.",
        )
    spent = format_duration(seconds).replace(" us", " µs")
    return Finding(name=name, value=f"{native.isa}, exact against numpy; {spent} a call", state="ok")


def _facts(machine: MachineFingerprint) -> tuple[Finding, ...]:
    caches = ", ".join(f"{level} {format_size(size)}" for level, size in machine.caches_bytes)
    return (
        Finding(name="processor", value=f"{machine.cpu_model} ({machine.architecture})"),
        Finding(
            name="cores",
            value=f"{machine.physical_cores} physical, {machine.logical_cores} logical, "
            f"{machine.usable_cores} usable here",
        ),
        Finding(name="caches", value=caches or "not told by the system"),
        Finding(name="instructions", value=", ".join(machine.isa_features) or "none beyond the base"),
        Finding(name="system", value=f"{machine.operating_system}, Python {machine.python}"),
    )


def _compiler(built: str) -> Finding:
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    here = f"{found} is here to build them again" if found else "no C++ compiler here, and none is needed"
    return Finding(name="compiler", value=f"built by {built}; {here}")


def noise_findings(root: Path = Path("/")) -> tuple[Finding, ...]:
    """What makes timings vary, as far as the system tells."""
    found = []
    cores = usable_cores()
    load = load_average(root)
    if load is not None:
        is_busy = load > BUSY * cores
        found.append(
            Finding(
                name="load",
                value=f"{load:.1f} on {cores} core{'' if cores == 1 else 's'}"
                + (": others compute" if is_busy else ""),
                state="note" if is_busy else "ok",
                advice="Measure profiles and run `mpsearch bench` when the machine is idle."
                if is_busy
                else None,
            )
        )
    governor = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor:
        is_steady = governor == "performance"
        found.append(
            Finding(
                name="clock",
                value=f"governor {governor}" + ("" if is_steady else ": the clock follows the load"),
                state="ok" if is_steady else "note",
                advice=None
                if is_steady
                else "For steadier timings: sudo cpupower frequency-set -g performance",
            )
        )
    if _has_turbo(root):
        found.append(Finding(name="turbo", value="on: short runs are faster than long ones"))
    limit = _cpu_limit(root)
    if limit is not None:
        found.append(
            Finding(
                name="limit",
                value=f"this container may use {limit:g} processors of time, and is stopped beyond",
                state="note",
                advice="Keep --threads and --workers within the container's limit, or raise it.",
            )
        )
    if "hypervisor" in _flags(root):
        found.append(Finding(name="virtual", value="a virtual machine: neighbours may take time from it"))
    return tuple(found)


def load_average(root: Path = Path("/")) -> float | None:
    """Processes that ran or waited, on the average of the last minute."""
    text = _read(root / "proc/loadavg")
    try:
        return float(text.split()[0]) if text else os.getloadavg()[0]
    except (OSError, ValueError):
        return None


def _has_turbo(root: Path) -> bool:
    cpu = root / "sys/devices/system/cpu"
    return _read(cpu / "intel_pstate/no_turbo") == "0" or _read(cpu / "cpufreq/boost") == "1"


def _cpu_limit(root: Path) -> float | None:
    """Processors that the control group grants, None without a limit."""
    parts = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]):
        return int(parts[0]) / int(parts[1])
    return None


def _flags(root: Path) -> list[str]:
    lines = _read(root / "proc/cpuinfo").splitlines()
    return next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
