"""Where the trained weights of a trial lie, or why they do not."""

from __future__ import annotations

from pathlib import Path

from mpsearch.errors import RunError
from mpsearch.search.front import Front
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.trial_record import TrialRecord


def kept_checkpoint(folder: RunFolder, record: TrialRecord, front: Front) -> Path:
    """Of a trial on the front; of one with several seeds, those of the first.

    Raises: RunError if they are not there: they are kept for the front only, and a copy may lack them.
    """
    number = record.number
    path = folder.checkpoint(number)
    if path.exists():
        return path
    if number not in front:
        on_front = ", ".join(map(str, front.numbers))
        raise RunError(
            f"Weights are kept for the trials on the front ({on_front}); {path} is not there. Pick "
            "one of them."
        )
    if record.driver is not None:
        raise RunError(
            f"Weights lie with the driver that trained them: for {path.name} see checkpoints/ of "
            f"{record.driver}. Export there, copy the file into {path.parent}, or export with --format "
            "policy, which needs none."
        )
    raise RunError(
        f"The weights of trial {number} must lie in {path}; they are not there. Restore them from "
        "where the search ran, or export with --format policy, which needs none."
    )
