"""A table of trained policies, ours or anyone's: every policy of a small space, with all its seeds.

`T.parquet` has a row a policy and seed: columns `layer.<choice>` (scheme), `score` (accuracy), `seed`, and
where they are known `score_<fidelity>`, `seconds` and `seconds_<fidelity>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mpsearch.errors import DataError, FormatError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.nearest import did_you_mean

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

SHARES = {"ptq": 0.0, "short": 0.25}  # fidelity -> share of the steps of a full trial
_LAYER = "layer."
_MOST_SAMPLES = 20_000
_USUAL_SAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicyTable:
    """All policies of a space and their scores; codes count schemes from the lowest precision.

    Policies are in the order of their codes, the last choice the fastest. `scores` and `seconds` (P, S) are
    NaN where a policy lacks a seed; `lower` and `lower_seconds` are those of each lower fidelity, means over
    seeds (P,), the lowest first.
    """

    name: str
    choices: tuple[str, ...]
    schemes: tuple[tuple[str, ...], ...]
    codes: Codes
    scores: Floats
    seconds: Floats | None
    lower: dict[str, Floats]
    lower_seconds: dict[str, Floats]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(offered) for offered in self.schemes)

    @property
    def mean_scores(self) -> Floats:
        """Shape: (P,)."""
        found: Floats = np.nanmean(self.scores, axis=1)
        return found

    def rows(self, codes: Codes) -> NDArray[np.int64]:
        """Where policies are in the table. Shape: codes (N, C) -> (N,)."""
        return np.ravel_multi_index(tuple(codes.T), self.sizes)

    def shown_scores(self, generator: np.random.Generator) -> Floats:
        """What one training of each policy tells: the score of one of its seeds, drawn. Shape: (P,)."""
        drawn = np.where(np.isnan(self.scores), -1.0, generator.random(self.scores.shape))
        found: Floats = np.take_along_axis(self.scores, drawn.argmax(axis=1)[:, None], axis=1)[:, 0]
        return found

    def scores_from(self, row: int, shown: float) -> Floats:
        """Those of a policy's seeds, in turn from the one that was shown first. Shape: (S,)."""
        known = self.scores[row][~np.isnan(self.scores[row])]
        return np.roll(known, -int(np.abs(known - shown).argmin()))

    @property
    def samples(self) -> int:
        """How many validation samples a score is the mean of.

        The least number that makes a whole number of right answers of every score; 1,000 where none does.
        """
        scores = np.unique(self.scores[~np.isnan(self.scores)])
        for samples in range(2, _MOST_SAMPLES):
            right = scores * samples
            # Scores are stored in 32 bits: with so many samples they would not tell whole numbers apart.
            if np.abs(right - np.round(right)).max() <= 1e-7 * samples + 1e-9:
                return samples
        return _USUAL_SAMPLES


def read_table(path: Path) -> PolicyTable:
    """Raises: DataError if the file or a policy is missing; FormatError if its content is no such table."""
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"A table must be a Parquet file; got {path}, which is not there.") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path} must be a Parquet file; got: {error}") from error
    return table_of(frame, path.stem)


def table_of(frame: pd.DataFrame, name: str) -> PolicyTable:
    """Raises: as `read_table`."""
    columns = [column for column in frame.columns if str(column).startswith(_LAYER)]
    missing = [column for column in ("score", "seed") if column not in frame.columns]
    if not columns or missing or frame.empty:
        raise FormatError(
            f"Table {name!r} must have columns `layer.<name>`, `score` and `seed`, and rows; got "
            f"{len(frame)} rows of {', '.join(map(str, frame.columns)) or 'no columns'}."
        )
    schemes = tuple(_schemes(frame[column], name) for column in columns)
    sizes = [len(offered) for offered in schemes]
    of_row = np.column_stack(
        [
            frame[column].astype(str).map(offered.index)
            for column, offered in zip(columns, schemes, strict=True)
        ]
    )
    place = np.ravel_multi_index(tuple(of_row.T), sizes)
    seeds, seed = np.unique(frame["seed"].to_numpy(), return_inverse=True)
    count = int(np.prod(sizes))
    _require_once(place, seed, name)
    scores = _spread(frame["score"], place, seed, (count, len(seeds)), name, least=0.0, most=1.0)
    untrained = np.flatnonzero(np.isnan(scores).all(axis=1))
    if len(untrained):
        codes = np.unravel_index(untrained[0], sizes)
        policy = ", ".join(offered[code] for offered, code in zip(schemes, codes, strict=True))
        raise DataError(
            f"Table {name!r} must hold every policy of its schemes; {len(untrained)} of {count} are missing, "
            f"the first is ({policy}). Train them, or leave a scheme out."
        )

    def spread(column: str) -> Floats:
        most = 1.0 if column.startswith("score") else np.inf
        return _spread(frame[column], place, seed, scores.shape, name, least=0.0, most=most)

    fidelities = [f for f in SHARES if f"score_{f}" in frame.columns]
    known = {f: mean for f in fidelities if (mean := _means(spread(f"score_{f}"))) is not None}
    timed = [f for f in known if f"seconds_{f}" in frame.columns]
    return PolicyTable(
        name=name,
        choices=tuple(column.removeprefix(_LAYER) for column in columns),
        schemes=schemes,
        codes=np.column_stack(np.unravel_index(np.arange(count), sizes)).astype(np.int64),
        scores=scores,
        seconds=spread("seconds") if "seconds" in frame.columns else None,
        lower=known,
        lower_seconds={f: mean for f in timed if (mean := _means(spread(f"seconds_{f}"))) is not None},
    )


def _schemes(column: pd.Series, name: str) -> tuple[str, ...]:
    found = {str(scheme) for scheme in column.unique()}
    unknown = sorted(found - set(SCHEMES))
    if unknown:
        raise FormatError(
            f"Table {name!r}: a scheme must be one of {', '.join(SCHEMES)}; got {unknown[0]!r} in "
            f"`{column.name}`.{did_you_mean(unknown[0], SCHEMES)}"
        )
    return tuple(scheme for scheme in SCHEMES if scheme in found)


def _require_once(place: NDArray[np.int64], seed: NDArray[np.int64], name: str) -> None:
    pairs, counts = np.unique(np.column_stack([place, seed]), axis=0, return_counts=True)
    if (counts > 1).any():
        raise FormatError(
            f"Table {name!r} must hold a policy and seed once; {(counts > 1).sum()} of {len(pairs)} are "
            "there several times. Give each training a seed of its own."
        )


def _spread(
    column: pd.Series,
    place: NDArray[np.int64],
    seed: NDArray[np.int64],
    shape: tuple[int, ...],
    name: str,
    *,
    least: float,
    most: float,
) -> Floats:
    """Shape: rows -> (P, S), NaN where nothing is known."""
    try:
        values = pd.to_numeric(column, errors="raise").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise FormatError(f"Table {name!r}: `{column.name}` must hold numbers; got: {error}") from error
    wrong = values[(values < least) | (values > most)]
    if len(wrong):
        percent = " Divide percents by 100." if most == 1.0 else ""
        raise FormatError(
            f"Table {name!r}: `{column.name}` must be within {least:g} to {most:g}; got {wrong[0]:g}."
            f"{percent}"
        )
    found = np.full(shape, np.nan)
    found[place, seed] = values
    return found


def _means(values: Floats) -> Floats | None:
    """Over seeds, (P,); None where a policy has none at all."""
    is_known = ~np.isnan(values)
    if not is_known.any(axis=1).all():
        return None
    found: Floats = np.nanmean(values, axis=1)
    return found
