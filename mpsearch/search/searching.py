"""Whether a search goes on in a run's folder at this moment."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mpsearch.search.run_folder import RunFolder


def is_searching(path: Path) -> bool:
    """Whether a process holds the lock of the run in `path`; False where that cannot be found out."""
    try:
        handle = os.open(RunFolder(path).lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two who ask do not see each other; given back at once.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
