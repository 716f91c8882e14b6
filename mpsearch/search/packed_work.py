"""A search's work as a file in memory: what its worker processes are given."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, cast

import cloudpickle

from mpsearch.errors import ConfigError
from mpsearch.search.trial_job import Work

_LENGTH = struct.Struct("<Q")  # how many parts; then the length of each: the pickle, then its buffers
_ALIGNMENT = 64
_LEAST_SHARED = 1 << 16  # bytes of a tensor from which on it is worth a part of its own


class PackedWork:
    """A work that was sent: also its functions that no other interpreter could import, by value.

    Those are lambdas and what a notebook, `__main__` or a task's file defines.
    Large tensors and arrays are parts of their own, which every worker of a machine maps: they are in memory
    once, however many workers there are. Close it when no worker will start any more.
    """

    def __init__(self, parts: Sequence[memoryview | bytes]) -> None:
        self._file = _file_in_memory()
        lengths = [memoryview(part).nbytes for part in parts]
        self._write(b"".join(map(_LENGTH.pack, [len(parts), *lengths])))
        for part in parts:
            self._write(b"\0" * (-os.lseek(self._file, 0, os.SEEK_CUR) % _ALIGNMENT))
            self._write(part)

    @classmethod
    def of(cls, work: Work) -> PackedWork:
        """Raises: ConfigError if the work cannot be sent to another process."""
        buffers: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        try:
            with _modules_of_nowhere_by_value():
                _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(work)
        except Exception as error:  # objects of the user's say here how they are pickled
            raise ConfigError(
                "Trials run in other processes, and the task must be sent there; got "
                f"{type(error).__name__}: {error}. Build it from functions, classes and tensors, name it as "
                "`package.module:function`, or run trials in the process that searches: workers=0."
            ) from error
        return cls([stream.getbuffer(), *(buffer.raw() for buffer in buffers)])

    @classmethod
    def from_bytes(cls, content: bytes) -> PackedWork:
        """What `to_bytes` gave, on another machine."""
        packed = cls.__new__(cls)
        packed._file = _file_in_memory()
        packed._write(content)
        return packed

    def to_bytes(self) -> bytes:
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as whole:
            return whole[:]

    def fileno(self) -> int:
        return self._file

    def close(self) -> None:
        """May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, part: bytes | memoryview) -> None:
        rest = memoryview(part).cast("B")
        while rest:
            rest = rest[os.write(self._file, rest) :]


def read_packed(file: int) -> Work:
    """The work in an open file, as `PackedWork` wrote it; what it maps is this process's own to change."""
    whole = memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_COPY))
    (count,) = _LENGTH.unpack_from(whole)
    lengths = [_LENGTH.unpack_from(whole, _LENGTH.size * (1 + place))[0] for place in range(count)]
    parts, end = [], _LENGTH.size * (1 + count)
    for length in lengths:
        start = end + -end % _ALIGNMENT
        end = start + length
        parts.append(whole[start:end])
    return cast("Work", pickle.loads(parts[0], buffers=parts[1:]))  # noqa: S301 - from our own parent


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and type(value) is torch.Tensor and _is_shared(value, torch):
            flat = value.detach().reshape(-1).view(torch.uint8).numpy()
            return _tensor, (pickle.PickleBuffer(flat), value.dtype, tuple(value.shape))
        return super().reducer_override(value)


def _is_shared(tensor: Any, torch: ModuleType) -> bool:
    """Large, or a view: torch would send all of what it is a view of."""
    return (
        tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.requires_grad
        and not tensor.is_complex()
        and not tensor.is_quantized
        and (tensor.nbytes >= _LEAST_SHARED or tensor.untyped_storage().nbytes() > tensor.nbytes)
    )


def _tensor(buffer: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    import torch  # noqa: PLC0415 - only work that has tensors needs it

    return torch.frombuffer(buffer, dtype=dtype).reshape(shape)


@contextlib.contextmanager
def _modules_of_nowhere_by_value() -> Iterator[None]:
    """Modules that were made here, of a task's file or in a test, cannot be imported elsewhere."""
    found: dict[str, bool] = {}
    here = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top not in found:
            found[top] = top == "__main__" or any(
                finder.find_spec(top, None) is not None
                for finder in sys.meta_path
                if hasattr(finder, "find_spec")
            )
        if not found[top] and isinstance(module, ModuleType) and module.__name__ == name:
            here.append(module)
    registered = []
    try:
        for module in here:
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def _file_in_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("mpsearch-work")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
