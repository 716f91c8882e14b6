"""`mpsearch doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

_OK, _MISSING = "green", "yellow"


def doctor() -> None:
    """Show what this machine offers: instructions, kernels, cores, libraries, data; and what is missing.

    $ mpsearch doctor
    """
    from rich.table import Table
    from rich.text import Text

    from mpsearch.cli.console import output

    console = output()
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    rows = [*_machine_rows(), *_library_rows(), *_data_rows()]
    for title, value, style in rows:
        grid.add_row(title, Text(value, style))
    console.print(grid)
    missing = [title for title, _, style in rows if style == _MISSING]
    if missing:
        console.print(Text(f"To look at: {', '.join(missing)}.", "yellow"))
    else:
        console.print(Text("Everything is there.", "green"))


def _machine_rows() -> list[tuple[str, str, str]]:
    from mpsearch.errors import KernelError
    from mpsearch.hardware.fingerprint import probe_machine
    from mpsearch.kernels.native import selected_isa
    from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
    from mpsearch.report.units import bytes_text

    try:
        machine = probe_machine()
        chosen = {name: selected_isa(name) for name in WEIGHT_RANGES}
    except KernelError as error:
        return [("kernels", str(error), _MISSING)]
    caches = ", ".join(f"{level} {bytes_text(size)}" for level, size in machine.caches_bytes)
    return [
        ("processor", f"{machine.cpu_model} ({machine.architecture})", ""),
        (
            "cores",
            f"{machine.physical_cores} physical, {machine.logical_cores} logical, "
            f"{machine.usable_cores} usable here",
            "",
        ),
        ("caches", caches or "not told by the system", ""),
        ("instructions", ", ".join(machine.isa_features) or "none beyond the base", ""),
        ("kernels", f"{', '.join(machine.kernels)}; built by {machine.compiler}", _OK),
        ("chosen", ", ".join(f"{scheme}: {isa}" for scheme, isa in chosen.items()), ""),
        ("system", f"{machine.operating_system}, Python {machine.python}", ""),
    ]


def _library_rows() -> list[tuple[str, str, str]]:
    rows = []
    for name, purpose in _LIBRARIES.items():
        try:
            rows.append((name, version(name), _OK if find_spec(name) else _MISSING))
        except PackageNotFoundError:
            rows.append((name, f"not installed: {purpose}. pip install {name}", _MISSING))
    return rows


_LIBRARIES = {
    "torch": "training and running models",
    "optuna": "the search",
    "ray": "searches on several machines",
    "pandas": "tables in Python",
    "safetensors": "weights on disk",
}


def _data_rows() -> list[tuple[str, str, str]]:
    from mpsearch.training.locations import cache_dir, data_dir

    data = data_dir()
    if data is None:
        row = ("data", "MPSEARCH_DATA is not set: needed for cifar10, not for digits", "")
    else:
        try:
            sets = ", ".join(sorted(path.name for path in data.iterdir() if path.is_dir()))
            row = ("data", f"{data}: {sets or 'empty'}", _OK if sets else _MISSING)
        except OSError as error:
            reason = error.strerror or str(error)
            row = ("data", f"{data}: {reason}. Set MPSEARCH_DATA to a folder of data sets", _MISSING)
    return [row, ("cache", str(cache_dir()), "")]
