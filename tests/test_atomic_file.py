"""A file is whole or as it was, and a refusal of the system is a typed error with the next step."""

import errno
import os

import pytest

from mpsearch.atomic_file import append_line, parts_in, parts_of, storing, whole_file, write_atomically
from mpsearch.errors import StorageError


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("content", "written"), [("é\n", "é\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_text_and_bytes_take_the_place_of_what_was_there(content, written, tmp_path):
    path = tmp_path / "new" / "file"
    for _ in range(2):
        write_atomically(path, content)
        assert path.read_bytes() == written
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_file_and_leaves_no_part(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"file must be writable; got: No space left.*Free some space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_writer_keeps_the_old_file_and_leaves_no_part(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:  # noqa: PT012
        file.write(b"half")
        assert len(parts_in(tmp_path)) == 1
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_the_file_where_the_users_mask_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    write_atomically(path, "x")
    assert path.read_text() == "x"


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, r"Choose another place \(MPSEARCH_CACHE\)"),
        (errno.EACCES, "change its permissions"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_each_refusal_says_what_to_do_next(number, step, tmp_path):
    with pytest.raises(StorageError, match=step), storing(tmp_path, "MPSEARCH_CACHE"):
        raise OSError(number, os.strerror(number))


def test_lines_are_added_at_the_end(tmp_path):
    for line in ("one", "two"):
        append_line(tmp_path / "lines", line)
    assert (tmp_path / "lines").read_text() == "one\ntwo\n"


def test_a_line_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="must be writable"):
        append_line(tmp_path, "x")


def test_parts_of_one_file_are_told_from_those_of_another(tmp_path):
    with whole_file(tmp_path / "a") as _, whole_file(tmp_path / "ab") as _:
        (of_a,) = parts_of(tmp_path / "a")
        (of_ab,) = parts_of(tmp_path / "ab")
        assert {of_a, of_ab} == set(parts_in(tmp_path))
        assert of_a.name.startswith(".a.")
