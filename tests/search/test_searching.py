import fcntl
import os
import threading
from pathlib import Path

from mpsearch.search.run_folder import RunFolder
from mpsearch.search.searching import is_searching


def test_a_run_is_searched_while_somebody_holds_its_lock(tmp_path):
    assert not is_searching(tmp_path)  # no lock at all
    with RunFolder(tmp_path).locked():
        assert is_searching(tmp_path)
    assert not is_searching(tmp_path)


def test_asking_leaves_the_lock_free(tmp_path):
    with RunFolder(tmp_path).locked():
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert not is_searching(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with RunFolder(tmp_path).locked():
        assert is_searching(tmp_path)


def test_a_search_that_begins_while_somebody_asks_is_not_refused(tmp_path):
    with RunFolder(tmp_path).locked():
        pass
    handle = os.open(RunFolder(tmp_path).lock_file, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)  # as `is_searching` does for a moment
    released = threading.Timer(0.03, os.close, [handle])
    released.start()
    with RunFolder(tmp_path).locked():
        assert is_searching(tmp_path)
    released.join()
