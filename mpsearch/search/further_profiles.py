"""The profiles of further devices, each of which gives every policy a latency and an energy of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mpsearch.errors import ConfigError, FormatError, RunError
from mpsearch.hardware.device_name import device_name
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import OBJECTIVES, Objective, objective_named, objectives_named
from mpsearch.search.run_facts import FACTS_SCHEMA, RunFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import load_stored_space

GivenProfile = HardwareProfile | str | Path


def given_profiles(given: GivenProfile | Sequence[GivenProfile] | None) -> tuple[HardwareProfile | Path, ...]:
    """One profile or several, by object or by file, the main one first.

    Raises: ConfigError if one is neither.
    """
    several = (
        [] if given is None else [given] if isinstance(given, (HardwareProfile, str, Path)) else list(given)
    )
    for profile in several:
        if not isinstance(profile, (HardwareProfile, str, Path)):
            raise ConfigError(f"A profile must be a file or a HardwareProfile; got {type(profile).__name__}.")
    return tuple(Path(profile) if isinstance(profile, str) else profile for profile in several)


def further_profiles(
    given: Sequence[HardwareProfile | Path], folder: RunFolder | None
) -> tuple[HardwareProfile, ...]:
    """All but the first of the profiles that are given; where none are given, those that the run has.

    Raises: ConfigError if two share a name, or one has a name that cannot stand behind an @; RunError if the
    run has others; ProfileError or FormatError if one cannot be read.
    """
    profiles = [HardwareProfile.load(one) if isinstance(one, Path) else one for one in given]
    further = tuple(profiles[1:])
    names = [profile.name.casefold() for profile in profiles]
    for profile in further:
        device_name(profile.name)
        if names.count(profile.name.casefold()) > 1:
            raise ConfigError(
                f"Each profile must have a name of its own, by which its latency is told; two are called "
                f"{profile.name!r}. Change `name` in the file of one."
            )
    if folder is None or not folder.exists:
        return further
    stored = stored_further(folder)
    if not given:
        return stored
    if {p.name: p.to_dict() for p in further} != {p.name: p.to_dict() for p in stored}:
        raise RunError(
            f"A run keeps to its profiles; beside its main one, {folder.path} was searched with "
            f"{_listed(stored)}, not with {_listed(further)}. Leave --hw out, or choose another --out."
        )
    return stored


def stored_further(folder: RunFolder) -> tuple[HardwareProfile, ...]:
    """The further profiles of a run, in the order in which they were given.

    Raises: FormatError if one is not what the run's costs are of.
    """
    facts = RunFacts.from_dict(folder.read_json(folder.facts_file, schema=FACTS_SCHEMA))
    return read_further(folder, facts.greatest_costs.device_names)


def read_further(folder: RunFolder, devices: Iterable[str]) -> tuple[HardwareProfile, ...]:
    """As `stored_further`, for a run whose devices are known."""
    found = []
    for device in devices:
        profile = HardwareProfile.load(folder.device_profile_file(device))
        if profile.name != device:
            raise FormatError(
                f"{folder.device_profile_file(device)} must be the profile {device!r}; it is "
                f"{profile.name!r}. Restore the file that is of another run."
            )
        found.append(profile)
    return tuple(found)


def with_devices(
    space: SearchSpace, devices: Sequence[str], folder: RunFolder | None = None
) -> tuple[SearchSpace, tuple[Objective, ...]]:
    """The space, and what joined its objectives: the latency on each device of which it names nothing.

    A run that goes on keeps to the objectives that joined when it began.

    Raises: ConfigError if the space names a device that has no profile.
    """
    require_devices(space.objectives, space.budgets, devices)
    before = None
    if folder is not None and folder.exists:
        before = load_stored_space(folder.space_file)
    joined: list[Objective] = []
    for device in devices:
        if any(objective.device == device for objective in space.objectives):
            continue
        if before is not None:
            joined += [objective for objective in before.objectives if objective.device == device]
        elif device not in _devices_of(space.budgets.bounds()):
            joined.append(OBJECTIVES["latency"].on(device))
    if not joined:
        return space, ()
    names = [objective.name for objective in (*space.objectives, *joined)]
    return replace(space, objectives=objectives_named(names)), () if before else tuple(joined)


def require_devices(objectives: Iterable[Objective], budgets: Budgets, devices: Sequence[str]) -> None:
    """Raises: ConfigError if objectives or budgets are of a device that has no profile."""
    named = _devices_of([*(objective.name for objective in objectives), *budgets.bounds()])
    for device, objective in named.items():
        if device not in devices:
            raise ConfigError(
                f"{objective} needs the hardware profile {device!r}; the further profiles here are "
                f"{', '.join(devices) or 'none'}. A search gets them by --hw MAIN.json --hw {device}.json, "
                "the main one first; the main one's own latency is `latency`, without a name."
            )


def _devices_of(names: Iterable[str]) -> Mapping[str, str]:
    """Device -> the first of the objectives that is of it."""
    found: dict[str, str] = {}
    for objective in map(objective_named, names):
        if objective.device is not None:
            found.setdefault(objective.device, objective.name)
    return found


def _listed(profiles: Sequence[HardwareProfile]) -> str:
    return ", ".join(f"{profile.name!r} of {profile.created}" for profile in profiles) or "none"
