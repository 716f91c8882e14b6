import pytest

from mpsearch.profiling import memory_bandwidth as module
from mpsearch.profiling.timer import Timing


@pytest.mark.parametrize(("cache", "moved"), [(1 << 20, 128 << 20), (32 << 20, 256 << 20)])
def test_bandwidth_counts_bytes_read_and_written(monkeypatch, cache, moved):
    def fake(call, settings):
        call()
        return Timing(median_s=0.5, quartiles_s=(0.5, 0.5), p95_s=0.5, p99_s=0.5, repetitions=1)

    monkeypatch.setattr(module, "time_call", fake)
    assert module.memory_bandwidth(threads=1, largest_cache_bytes=cache) == pytest.approx(
        moved / 0.5, rel=1e-3
    )
