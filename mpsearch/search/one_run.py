"""Whether the files of a run's folder are of one run."""

from __future__ import annotations

from collections.abc import Sequence

from mpsearch.errors import FormatError
from mpsearch.search.run_facts import RunFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space import SearchSpace
from mpsearch.search.trial_record import TrialRecord


def require_one_run(
    folder: RunFolder, space: SearchSpace, facts: RunFacts, records: Sequence[TrialRecord]
) -> None:
    """Raises: FormatError if trials are for other layers, widths or devices than the facts or the space."""
    layers = {layer.name for layer in facts.model.layers}
    widths = (None,) if space.widths is None else space.widths.options
    reference = None if space.widths is None else space.widths.reference
    if {reference, *facts.other_widths} != set(widths):
        raise FormatError(
            f"{folder.facts_file} must have a model for each width of the space beside it; it has "
            f"{', '.join(f'{width:g}' for width in facts.other_widths) or 'none'} beside the reference. "
            "Restore the file that is of another run."
        )
    for record in records:
        if record.policy.keys() != layers:
            raise FormatError(
                f"Trials in {folder.path} must name the layers of its {folder.facts_file.name}; trial "
                f"{record.number} differs in {', '.join(sorted(record.policy.keys() ^ layers))}. Restore the "
                "file that is of another run."
            )
        if record.policy.width not in widths:
            raise FormatError(
                f"Trials in {folder.path} must have the widths of its {folder.space_file.name}; trial "
                f"{record.number} has {record.policy.summary}. Restore the file that is of another run."
            )
        if record.costs.device_names != facts.greatest_costs.device_names:
            raise FormatError(
                f"Trials in {folder.path} must have costs on the devices of its {folder.facts_file.name}; "
                f"trial {record.number} has them on {', '.join(record.costs.device_names) or 'no others'}. "
                "Restore the file that is of another run."
            )
