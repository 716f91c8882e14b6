"""What a search is asked to search: a space, or a run that is to go on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mpsearch.errors import ConfigError, RunError
from mpsearch.search.built_in_spaces import built_in_spaces
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.runs_near import runs_near
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import load_space, load_stored_space


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTarget:
    """A space, and the folder of its run where that was named in its place.

    Such a run goes on with the space as it was used last, budgets and overrides included.
    """

    space: SearchSpace
    run: Path | None = None

    def folder(self, out: str | Path | None) -> Path:
        """Where to search: the run's own folder; else `out`, by default runs/NAME-OF-THE-SPACE.

        Raises: ConfigError if `out` is another folder than the run's.
        """
        if self.run is None:
            return Path("runs") / self.space.name if out is None else Path(out)
        if out is not None and Path(out).resolve() != self.run.resolve():
            raise ConfigError(
                f"A run goes on in its own folder; got {self.run} to go on with and {out} as --out. Leave "
                f"--out out, or search anew by {RunFolder(self.run).space_file}."
            )
        return self.run


def search_target(name_or_path: str | Path) -> SearchTarget:
    """A run by its folder; else a space by its file or built-in name.

    Raises: RunError if it is a folder without a run, or without a first trial; what `load_space` raises.
    """
    path = Path(name_or_path)
    if not os.path.isdir(path):  # noqa: PTH112 - unlike pathlib's, no error for a name too long
        return SearchTarget(space=load_space(name_or_path))
    folder = RunFolder(path)
    if folder.exists:
        return SearchTarget(space=load_stored_space(folder.space_file), run=path)
    if str(name_or_path) in built_in_spaces():
        return SearchTarget(space=load_space(built_in_spaces()[str(name_or_path)]))
    if folder.has_begun:
        raise RunError(
            f"The search in {path} has not come to its first trial. Give its space, with --out {path}."
        )
    raise RunError(
        f"A search needs a space (a YAML file or a built-in name), or the folder of a run to go on with; "
        f"{path} is a folder without a run.{runs_near(path)}"
    )
