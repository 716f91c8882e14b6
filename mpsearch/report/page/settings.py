"""What the run was made with: machine, model, data, search, recipe; and the commands that make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.report.execution_line import execution_line
from mpsearch.report.landmarks import answer_name
from mpsearch.report.units import budgets_text, bytes_text, count_text, percent_text
from mpsearch.report.width_text import widths_text
from mpsearch.search.run import Run
from mpsearch.search.run_facts import installed_version
from mpsearch.search.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingGroup:
    """A heading and its (name, value) pairs, as text."""

    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line and what it does."""

    purpose: str
    line: str


def setting_groups(run: Run) -> tuple[SettingGroup, ...]:
    """Everything that the numbers of the page depend on."""
    return (
        _group("Machine", _machine(run.profile)),
        *(_group(f"Machine of {device.name}", _machine(device)) for device in run.further_profiles),
        _group("Model", _model(run)),
        _group("Data", _data(run)),
        _group("Search", _search(run)),
        _group(
            "Fine-tune of a trial",
            {name.replace("_", " "): _text(value) for name, value in asdict(run.space.trial).items()},
        ),
        _group("Versions", _versions(run)),
    )


def commands(run: Run) -> tuple[Command, ...]:
    """What makes the run again from its own files, and what to do with it."""
    folder = RunFolder(run.path)
    here = str(run.path)
    again = f"{here}-again" if run.path.name else f"../{run.name}-again"
    pick = "best" if answer_name(run) == "best" else "knee"
    return (
        Command(
            purpose="Search again: same space, profile and seed",
            line=_line("search", str(folder.space_file), *_profiles(run, folder), "--out", again),
        ),
        Command(purpose="Look closer, in the terminal", line=_line("inspect", here)),
        Command(
            purpose=f"Export the {answer_name(run)}",
            line=_line("export", here, "--pick", pick, "--out", f"{run.name}-{pick}"),
        ),
        Command(purpose="Measure the front on this machine", line=bench_line(run)),
    )


def bench_line(run: Run) -> str:
    """The command that measures the front end to end."""
    return _line("bench", str(run.path))


def day_text(moment: str) -> str:
    """An ISO 8601 time in UTC to the minute, for people."""
    return f"{moment[:10]} {moment[11:16]} UTC"


def _line(*words: str) -> str:
    return shlex.join(["mpsearch", *words])


def _group(title: str, pairs: Mapping[str, str]) -> SettingGroup:
    return SettingGroup(title=title, pairs=tuple((name, value) for name, value in pairs.items() if value))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _profiles(run: Run, folder: RunFolder) -> list[str]:
    files = [folder.profile_file, *map(folder.device_profile_file, run.devices)]
    return [word for file in files for word in ("--hw", str(file))]


def _machine(profile: HardwareProfile) -> dict[str, str]:
    machine = profile.fingerprint
    return {
        "processor": f"{machine.cpu_model} ({machine.architecture})",
        "threads": f"{profile.threads} of {machine.usable_cores} usable cores",
        "kernels": f"{machine.kernels[0]} (version {machine.kernel_version}, {machine.compiler})",
        "instructions": ", ".join(machine.isa_features),
        "caches": ", ".join(f"{level} {size / 1024:.0f} KiB" for level, size in machine.caches_bytes),
        "memory bandwidth": f"{bytes_text(profile.memory_bandwidth_bytes_per_s)} a second",
        "profile": f"{profile.name}, measured on {day_text(profile.created)}",
        "notes": " ".join(profile.notes),
    }


def _model(run: Run) -> dict[str, str]:
    model = run.model
    runs = execution_line(model)
    reasons = dict.fromkeys(f"{module.type_name}: {module.reason}" for module in model.unquantized)
    return {
        widths_text(run, "layers"): f"{len(model.layers)} that can be quantized",
        "weights": count_text(sum(layer.weight_count for layer in model.layers)),
        "multiply-accumulates": count_text(sum(layer.macs for layer in model.layers)),
        "parameters at 32 bits": bytes_text(model.parameter_bytes),
        "execution": runs.plain if runs else "",
        "stays at 32 bits": "; ".join(reasons),
        "fingerprint": model.fingerprint,
    }


def _data(run: Run) -> dict[str, str]:
    test = run.baseline.test_score
    return {
        "task": " ".join([run.space.task.name, *(f"{k}={_text(v)}" for k, v in run.space.task.args.items())]),
        "metric": run.metric,
        "validation samples": str(run.validation_samples),
        "test samples": "" if run.test_samples is None else str(run.test_samples),
        widths_text(run, "32-bit on validation"): percent_text(run.baseline.score),
        widths_text(run, "32-bit on test"): "" if test is None else percent_text(test),
        **{
            f"32-bit at width {width:g}": f"{percent_text(facts.baseline.score)} on validation, "
            f"{bytes_text(facts.baseline.costs.memory_bytes)}, "
            f"{count_text(sum(layer.macs for layer in facts.model.layers))} multiply-accumulates"
            for width, facts in run.other_widths.items()
        },
        "baseline weights": ", ".join(base.key for base in run.baselines.values()),
    }


def _search(run: Run) -> dict[str, str]:
    space = run.space
    rules = [f"{rule.match} → {', '.join(scheme.name for scheme in rule.schemes)}" for rule in space.layers]
    return {
        "space": space.name,
        "widths": "" if space.widths is None else f"{space.widths} of the task's {space.widths.argument!r}",
        "objectives": ", ".join(objective.name for objective in space.objectives),
        "budgets": budgets_text(space.budgets),
        "layers": "; ".join(rules),
        "overrides": str(space.overrides) if space.overrides else "",
        "sampler": space.search.sampler,
        "sensitivity": space.search.sensitivity,
        "trials asked for": str(space.search.trials),
        "seed": str(space.search.seed),
        "workers": str(space.search.workers),
        "repeats": space.search.repeats,
        "trials trained together": str(space.search.batch),
    }


def _versions(run: Run) -> dict[str, str]:
    machine = run.profile.fingerprint
    return {
        "mpsearch": installed_version() or "not installed, run from its folder",
        "torch": machine.torch_version,
        "python": machine.python,
        "system": machine.operating_system,
    }
