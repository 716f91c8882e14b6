"""The size of compressed bytes is that of a stream which anyone can read back."""

import zlib

import numpy as np

from mpsearch.kernels.compression import compressed_size_bytes


def test_what_repeats_takes_less_and_is_what_a_zlib_stream_takes():
    data = bytes(range(16)) * 64
    assert compressed_size_bytes(data) == len(zlib.compress(data)) < len(data)


def test_what_cannot_be_compressed_takes_no_more_than_it_did():
    data = np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8).tobytes()
    assert len(zlib.compress(data)) > 500
    assert compressed_size_bytes(data) == 500
    assert compressed_size_bytes(b"") == 0
