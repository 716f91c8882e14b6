"""A hardware profile in a few lines: whose machine, how much was measured, how noisy it was."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.precision.scheme import SCHEMES, Scheme
from mpsearch.report.fitted_table import Column, FittedTable
from mpsearch.report.precision_strip import SYMBOLS, scheme_style
from mpsearch.report.units import bytes_text, percent_text, seconds_text


def profile_view(profile: HardwareProfile, path: Path) -> RenderableType:
    """Heading, one row a scheme, notes."""
    machine = profile.fingerprint
    head = Text.assemble((profile.name, "bold"), f"  {machine.cpu_model}, {profile.threads} thread(s)")
    head.append(
        f"\nkernels {', '.join(machine.kernels)}; memory bandwidth "
        f"{bytes_text(profile.memory_bandwidth_bytes_per_s)}/s; "
        f"{len(profile.remainders) + len(profile.passes)} model(s)",
        "dim",
    )
    timed = {
        scheme: found
        for scheme in (*SCHEMES.values(), None)
        if (found := [m for m in profile.measurements if m.shape.scheme == scheme])
    }
    schemes = list(timed)
    spreads = [
        median((m.quartiles_s[1] - m.quartiles_s[0]) / m.latency_s for m in timed[scheme])
        for scheme in schemes
    ]
    columns = [
        Column(
            title="scheme",
            cells=[_name(scheme) for scheme in schemes],
            justify="left",
        ),
        Column(title="steps", cells=[str(len(timed[s])) for s in schemes]),
        Column(title="fastest", cells=[seconds_text(min(m.latency_s for m in timed[s])) for s in schemes]),
        Column(title="slowest", cells=[seconds_text(max(m.latency_s for m in timed[s])) for s in schemes]),
        Column(title="typical spread", cells=[percent_text(spread, 1) for spread in spreads]),
    ]
    parts: list[RenderableType] = [head, Text(), FittedTable(columns=columns, rows=len(schemes)), Text()]
    parts += [Text(note, "yellow") for note in profile.notes]
    parts.append(Text.assemble(("wrote  ", "green"), str(path), overflow="fold"))
    return Group(*parts)


def _name(scheme: Scheme | None) -> Text:
    if scheme is None:
        return Text("no layer", "dim")
    return Text.assemble((SYMBOLS[scheme.name], scheme_style(scheme)), f" {scheme.name}")
