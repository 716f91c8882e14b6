"""sensitivity.json: what the methods found of a run's model, so that no call computes it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mpsearch.errors import ConfigError, FormatError
from mpsearch.precision.policy import is_width
from mpsearch.precision.scheme import scheme_named
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.sensitivity import SENSITIVITIES, Sensitivity, WidthSensitivity

SENSITIVITY_SCHEMA = 1


def read_sensitivities(folder: RunFolder) -> dict[str, Sensitivity]:
    """Method -> what it found, in the order in which they were computed; empty where no search asked.

    Raises: FormatError if the file is not what `write_sensitivity` writes.
    """
    path = folder.sensitivity_file
    if not path.exists():
        return {}
    document = folder.read_json(path, schema=SENSITIVITY_SCHEMA)
    try:
        found = [_from_dict(fields) for fields in document["methods"]]
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(
            f"{path} must be written by mpsearch; got an odd field: {error!r:.200}. Remove it: a search "
            "finds the sensitivities out anew."
        ) from error
    return {sensitivity.method: sensitivity for sensitivity in found}


def write_sensitivity(folder: RunFolder, found: Sensitivity) -> None:
    """Add it to the file, in place of an earlier one of that method. Only the holder of the lock may.

    Raises: FormatError if the file cannot be read; StorageError if it cannot be written.
    """
    known = {**read_sensitivities(folder), found.method: found}
    document = {"schema": SENSITIVITY_SCHEMA, "methods": [_to_dict(each) for each in known.values()]}
    folder.write_json(folder.sensitivity_file, document)


def _to_dict(found: Sensitivity) -> dict[str, Any]:
    return {
        "method": found.method,
        "samples": found.samples,
        "seconds": round(found.seconds, 3),
        "widths": [
            {
                "width": at.width,
                "baseline": at.baseline,
                "loss": at.loss,
                "added": {
                    choice: {scheme.name: value for scheme, value in of_schemes.items()}
                    for choice, of_schemes in at.added.items()
                },
            }
            for at in found.widths
        ],
    }


def _from_dict(fields: Any) -> Sensitivity:
    """Raises: KeyError, TypeError, ValueError or ConfigError if it is not what `_to_dict` writes."""
    found = Sensitivity(
        method=fields["method"],
        samples=fields["samples"],
        seconds=float(fields["seconds"]),
        widths=tuple(_width_from_dict(at) for at in fields["widths"]),
    )
    if found.method not in SENSITIVITIES:
        raise ValueError(f"an unknown method {found.method!r}")
    if type(found.samples) is not int or not 1 <= found.samples < 2**63:
        raise ValueError("samples must be counted from 1")
    if not math.isfinite(found.seconds) or found.seconds < 0 or not found.widths:
        raise ValueError("seconds must be at least 0, and one width be there")
    if len({at.width for at in found.widths}) < len(found.widths):
        raise ValueError("a width must be named once")
    return found


def _width_from_dict(fields: Any) -> WidthSensitivity:
    width, added = fields["width"], fields["added"]
    if width is not None and not is_width(width):
        raise ValueError("a width must be a number above 0")
    if not isinstance(added, Mapping) or not isinstance(fields["baseline"], str):
        raise TypeError("`added` must be an object, `baseline` a text")
    found = WidthSensitivity(
        width=width,
        baseline=fields["baseline"],
        loss=float(fields["loss"]),
        added={
            choice: {scheme_named(name): float(value) for name, value in of_schemes.items()}
            for choice, of_schemes in added.items()
        },
    )
    values = [value for of_schemes in found.added.values() for value in of_schemes.values()]
    if not math.isfinite(found.loss) or not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError("losses must be finite, and what is added at least 0")
    return found
