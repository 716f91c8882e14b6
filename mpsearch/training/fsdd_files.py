"""Reads the Free Spoken Digit Dataset from Parquet: WAV recordings with their digits and speakers."""

from __future__ import annotations

import hashlib
import io
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import DataError

SAMPLE_RATE = 8000  # Hz


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """What was said, by whom, and how it sounded.

    Shape: waves are N arrays of int16, one a recording, each of its own length; labels (N,) int64 in 0..9.
    """

    waves: tuple[NDArray[np.int16], ...]
    labels: NDArray[np.int64]
    speakers: NDArray[np.str_]

    def digest(self) -> str:
        """Sixteen hex digits that change with any sample, label or speaker."""
        hashed = hashlib.sha256(self.labels.tobytes())
        hashed.update("\n".join(self.speakers).encode())
        for samples in self.waves:
            hashed.update(f" {len(samples)} ".encode())
            hashed.update(samples.tobytes())
        return hashed.hexdigest()[:16]


def fsdd_files(folder: Path) -> tuple[Path, Path]:
    """The files for training and for test.

    Raises: DataError if the folder does not hold both.
    """
    train, test = folder / "train.parquet", folder / "test.parquet"
    try:
        is_there = train.is_file() and test.is_file()
        found = sorted(path.name for path in folder.iterdir())[:8] if folder.is_dir() else None
    except OSError as error:
        raise DataError(
            f"The spoken digits must lie in a readable folder; got {folder}: {error.strerror}. Check its "
            "permissions."
        ) from error
    if is_there:
        return train, test
    state = "there is no such folder" if found is None else f"it holds {', '.join(found) or 'nothing'}"
    raise DataError(
        f"The spoken digits must lie in {folder} as train.parquet and test.parquet; {state}. Set "
        "MPSEARCH_DATA to the folder that holds `fsdd/`, or the task argument `data` to the folder of the "
        "files."
    )


def read_recordings(path: Path) -> Recordings:
    """Columns `audio` {`bytes`: a WAV file of 8 kHz, one channel, 16 bits}, `label` and `speaker`.

    Raises: DataError if the file is no such Parquet file.
    """
    import pyarrow.parquet  # noqa: PLC0415 - half a second that other tasks need not wait

    try:
        table = pyarrow.parquet.read_table(path, columns=["audio", "label", "speaker"])
        waves = tuple(_samples(audio["bytes"]) for audio in table.column("audio").to_pylist())
        labels = np.asarray(table.column("label").to_pylist(), dtype=np.int64)
        speakers = np.asarray(table.column("speaker").to_pylist(), dtype=np.str_)
    except PermissionError as error:
        raise DataError(f"{path} must be readable; got: {error}. Check its permissions.") from error
    except (OSError, EOFError, KeyError, TypeError, ValueError, wave.Error, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path} must be a Parquet file with columns `audio` (with WAV files of {SAMPLE_RATE} Hz, one "
            f"channel and 16 bits as `bytes`), `label` and `speaker`; got: {type(error).__name__}: {error}. "
            "Download it again."
        ) from error
    if labels.size == 0 or labels.min() < 0 or labels.max() > 9:
        seen = f"{labels.min()} to {labels.max()}" if labels.size else "no rows"
        raise DataError(f"The labels in {path} must be 0 to 9; got {seen}. Are these the spoken digits?")
    return Recordings(waves, labels, speakers)


def _samples(data: bytes) -> NDArray[np.int16]:
    """Raises: ValueError if the sound has another rate, number of channels or sample size."""
    with wave.open(io.BytesIO(data)) as file:
        kind = (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth())
        if kind != (SAMPLE_RATE, 1, 16):
            raise ValueError("a recording of {} Hz, {} channels and {} bits".format(*kind))
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.int16)
