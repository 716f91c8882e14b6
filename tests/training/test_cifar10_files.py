"""Both layouts, on files that the tests write."""

import io
from pathlib import Path

import numpy as np
import pytest

from mpsearch.errors import DataError, StorageError
from mpsearch.training.cifar10_files import read_binary, read_cifar10, read_parquet


def pictures(count: int, seed: int = 0):
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
        generator.integers(0, 10, count).astype(np.int64),
    )


def write_binary(path, images, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    records = np.concatenate([labels.astype(np.uint8)[:, None], images.reshape(len(images), -1)], axis=1)
    records.tofile(path)


def write_parquet(path, images, labels, *, quality=None):
    import pyarrow
    import pyarrow.parquet
    from PIL import Image

    def encoded(image) -> bytes:
        buffer = io.BytesIO()
        picture = Image.fromarray(image.transpose(1, 2, 0))
        picture.save(buffer, "PNG") if quality is None else picture.save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    path.parent.mkdir(parents=True, exist_ok=True)
    column = [{"bytes": encoded(image), "path": f"{place}.png"} for place, image in enumerate(images)]
    pyarrow.parquet.write_table(pyarrow.table({"img": column, "label": labels}), path)


@pytest.fixture
def binary_folder(tmp_path):
    for number in range(1, 6):
        write_binary(tmp_path / "data" / f"data_batch_{number}.bin", *pictures(4, number))
    write_binary(tmp_path / "data" / "test_batch.bin", *pictures(3, 9))
    return tmp_path / "data"


@pytest.fixture
def parquet_folder(tmp_path):
    write_parquet(tmp_path / "data" / "train.parquet", *pictures(6, 1))
    write_parquet(tmp_path / "data" / "test.parquet", *pictures(3, 2))
    return tmp_path / "data"


def test_the_official_binary_files_are_read_in_order(binary_folder, tmp_path):
    arrays = read_cifar10(binary_folder, cache_dir=tmp_path / "cache")
    expected = [pictures(4, number) for number in range(1, 6)]
    assert np.array_equal(arrays.train_images, np.concatenate([images for images, _ in expected]))
    assert np.array_equal(arrays.train_labels, np.concatenate([labels for _, labels in expected]))
    assert np.array_equal(arrays.test_images, pictures(3, 9)[0])


def test_the_folder_that_the_official_archive_unpacks_to_is_found(binary_folder, tmp_path):
    (tmp_path / "outer").mkdir()
    binary_folder.rename(tmp_path / "outer" / "cifar-10-batches-bin")
    arrays = read_cifar10(tmp_path / "outer", cache_dir=tmp_path / "cache")
    assert arrays.train_images.shape == (20, 3, 32, 32)


def test_parquet_files_are_decoded_to_channels_first(parquet_folder, tmp_path):
    arrays = read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")
    assert np.array_equal(arrays.train_images, pictures(6, 1)[0])
    assert np.array_equal(arrays.train_labels, pictures(6, 1)[1])
    assert np.array_equal(arrays.test_labels, pictures(3, 2)[1])


def test_jpeg_is_decoded_too(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8), (2, 3, 32, 32))
    write_parquet(tmp_path / "j.parquet", smooth, np.array([1, 2]), quality=95)
    images, _ = read_parquet(tmp_path / "j.parquet")
    assert np.abs(images.astype(int) - smooth).max() <= 6


def test_both_layouts_of_the_same_pictures_have_the_same_digest(binary_folder, tmp_path):
    arrays = read_cifar10(binary_folder, cache_dir=tmp_path / "cache")
    write_parquet(tmp_path / "p" / "train.parquet", arrays.train_images, arrays.train_labels)
    write_parquet(tmp_path / "p" / "test.parquet", arrays.test_images, arrays.test_labels)
    assert read_cifar10(tmp_path / "p", cache_dir=tmp_path / "cache").digest == arrays.digest


def test_the_second_read_comes_from_the_cache(parquet_folder, tmp_path, monkeypatch):
    first = read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")

    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr("mpsearch.training.cifar10_files._joined", fail)
    second = read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")
    assert np.array_equal(first.train_images, second.train_images)
    assert first.digest == second.digest


def test_changed_files_are_decoded_again(parquet_folder, tmp_path):
    first = read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")
    write_parquet(parquet_folder / "train.parquet", *pictures(7, 5))
    second = read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")
    assert len(second.train_images) == 7
    assert first.digest != second.digest


def test_a_truncated_cache_is_decoded_again(parquet_folder, tmp_path):
    read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")
    (path,) = (tmp_path / "cache" / "cifar10").iterdir()
    path.write_bytes(path.read_bytes()[:500])
    assert len(read_cifar10(parquet_folder, cache_dir=tmp_path / "cache").train_images) == 6


@pytest.mark.parametrize(
    ("made", "state"), [(False, "there is no such folder"), (True, "it holds notes.txt")]
)
def test_a_folder_without_the_files_says_what_to_set(tmp_path, made, state):
    folder = tmp_path / "data"
    if made:
        folder.mkdir()
        (folder / "notes.txt").write_text("")
    with pytest.raises(DataError, match=f"{state}.*Set MPSEARCH_DATA.*`data`"):
        read_cifar10(folder, cache_dir=tmp_path / "cache")


def test_a_file_that_is_not_parquet_is_a_data_error(parquet_folder, tmp_path):
    (parquet_folder / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="must be a Parquet file with columns `img`"):
        read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")


def test_an_image_that_cannot_be_decoded_is_a_data_error(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"img": [{"bytes": b"not an image"}], "label": [1]})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(DataError, match="UnidentifiedImageError"):
        read_parquet(tmp_path / "train.parquet")


@pytest.mark.parametrize("size", [0, 3072, 3074])
def test_a_binary_file_with_a_broken_record_is_a_data_error(tmp_path, size):
    (tmp_path / "b.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=f"whole records of 3073 bytes; got {size} bytes"):
        read_binary(tmp_path / "b.bin")


def test_a_folder_that_may_not_be_read_is_a_data_error(tmp_path, monkeypatch):
    def refused(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(DataError, match=r"Permission denied\. Check its permissions"):
        read_cifar10(tmp_path, cache_dir=tmp_path)


def test_labels_of_another_data_set_are_refused(tmp_path):
    images, labels = pictures(2)
    write_binary(tmp_path / "b.bin", images, labels + 40)
    with pytest.raises(DataError, match="must be 0 to 9; got 4"):
        read_binary(tmp_path / "b.bin")


def test_a_cache_folder_that_cannot_be_made_is_a_storage_error(parquet_folder, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match=r"must be writable.*MPSEARCH_CACHE"):
        read_cifar10(parquet_folder, cache_dir=tmp_path / "cache")
