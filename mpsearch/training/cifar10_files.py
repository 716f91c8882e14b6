"""Reads CIFAR-10 from Parquet or from the official binary files, and keeps the decoded pixels."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch.atomic_file import whole_file
from mpsearch.errors import DataError

PIXELS = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32  # one label, then the red, green and blue planes
CACHE_VERSION = 1
BINARY_SUBFOLDER = "cifar-10-batches-bin"  # what the official archive unpacks to

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Cifar10Arrays:
    """Decoded images with labels. `digest` names the content of the training part.

    Shape: images (N, 3, 32, 32) uint8; labels (N,) int64 in 0..9.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    digest: str


def read_cifar10(folder: Path, *, cache_dir: Path) -> Cifar10Arrays:
    """The data of `folder`, from `cache_dir` where the same files were decoded before.

    Raises: DataError if no layout matches or a file is unreadable; StorageError if the cache is not writable.
    """
    try:
        train_files, test_files, read = find_layout(folder)
    except OSError as error:
        raise DataError(
            f"CIFAR-10 must lie in a readable folder; got {folder}: {error.strerror}. Check its permissions."
        ) from error
    cached = cache_dir / "cifar10" / f"{_files_key([*train_files, *test_files])}.npz"
    arrays = _read_decoded(cached)
    if arrays is None:
        train_images, train_labels = _joined(read, train_files)
        test_images, test_labels = _joined(read, test_files)
        digest = hashlib.sha256(train_images.data)
        digest.update(train_labels.data)
        arrays = Cifar10Arrays(train_images, train_labels, test_images, test_labels, digest.hexdigest()[:16])
        _write_decoded(cached, arrays)
    return arrays


def read_parquet(path: Path) -> Part:
    """Columns `img` {`bytes`: an encoded image} and `label`, as in the public `uoft-cs/cifar10` files.

    Raises: DataError if the file is no such Parquet file.
    """
    import pyarrow.parquet  # noqa: PLC0415 - half a second that other tasks need not wait
    from PIL import Image  # noqa: PLC0415

    try:
        table = pyarrow.parquet.read_table(path, columns=["img", "label"])
        encoded = [image["bytes"] for image in table.column("img").to_pylist()]
        labels = np.asarray(table.column("label").to_pylist(), dtype=np.int64)
        images = np.empty((len(encoded), *PIXELS), dtype=np.uint8)
        for place, data in enumerate(encoded):
            with Image.open(io.BytesIO(data)) as image:
                images[place] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except PermissionError as error:
        raise DataError(f"{path} must be readable; got: {error}. Check its permissions.") from error
    except (OSError, KeyError, TypeError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path} must be a Parquet file with columns `img` (with 32x32 images as `bytes`) and `label`; "
            f"got: {type(error).__name__}: {error}. Download it again."
        ) from error
    return images, _checked_labels(labels, path)


def read_binary(path: Path) -> Part:
    """Records of one label byte and 3,072 pixel bytes.

    Raises: DataError if the file is unreadable or not a whole number of records.
    Source: https://www.cs.toronto.edu/~kriz/cifar.html, "binary version".
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} must be readable; got: {error}. Check its permissions.") from error
    if data.size == 0 or data.size % RECORD_BYTES:
        raise DataError(
            f"{path} must hold whole records of {RECORD_BYTES} bytes; got {data.size} bytes. "
            "Download the archive again."
        )
    records = data.reshape(-1, RECORD_BYTES)
    images = np.ascontiguousarray(records[:, 1:].reshape(-1, *PIXELS))
    return images, _checked_labels(records[:, 0].astype(np.int64), path)


def find_layout(folder: Path) -> tuple[list[Path], list[Path], Callable[[Path], Part]]:
    """The files for training and for test, and what reads them.

    Raises: DataError if the folder holds neither layout.
    """
    for place in (folder, folder / BINARY_SUBFOLDER):
        batches = [place / f"data_batch_{number}.bin" for number in range(1, 6)]
        if all(path.is_file() for path in [*batches, place / "test_batch.bin"]):
            return batches, [place / "test_batch.bin"], read_binary
    train, test = folder / "train.parquet", folder / "test.parquet"
    if train.is_file() and test.is_file():
        return [train], [test], read_parquet
    found = sorted(path.name for path in folder.iterdir())[:8] if folder.is_dir() else None
    state = "there is no such folder" if found is None else f"it holds {', '.join(found) or 'nothing'}"
    raise DataError(
        f"CIFAR-10 must lie in {folder} as train.parquet and test.parquet, or as the official binary files "
        f"data_batch_1.bin to data_batch_5.bin and test_batch.bin; {state}. Set MPSEARCH_DATA to the folder "
        "that holds `cifar10/`, or the task argument `data` to the folder of the files."
    )


def _joined(read: Callable[[Path], Part], files: Sequence[Path]) -> Part:
    parts = [read(path) for path in files]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _checked_labels(labels: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    if labels.size == 0 or labels.min() < 0 or labels.max() > 9:
        seen = f"{labels.min()} to {labels.max()}" if labels.size else "no rows"
        raise DataError(f"The labels in {path} must be 0 to 9; got {seen}. Is it CIFAR-10?")
    return labels


def _files_key(files: Sequence[Path]) -> str:
    hashed = hashlib.sha256(f"version {CACHE_VERSION}".encode())
    for path in files:
        status = path.stat()
        hashed.update(f"{path.name} {status.st_size} {status.st_mtime_ns}".encode())
    return hashed.hexdigest()[:16]


def _read_decoded(path: Path) -> Cifar10Arrays | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Cifar10Arrays(
                stored["train_images"],
                stored["train_labels"],
                stored["test_images"],
                stored["test_labels"],
                str(stored["digest"]),
            )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # decoding again overwrites it


def _write_decoded(path: Path, arrays: Cifar10Arrays) -> None:
    with whole_file(path, "MPSEARCH_CACHE") as file:
        np.savez(
            file,
            train_images=arrays.train_images,
            train_labels=arrays.train_labels,
            test_images=arrays.test_images,
            test_labels=arrays.test_labels,
            digest=np.array(arrays.digest),
        )
