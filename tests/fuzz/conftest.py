"""The fuzzer of benchmarks/fuzz.py, and valid files made once for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    from fuzz_samples import make_samples

    folder = tmp_path_factory.mktemp("samples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPSEARCH_CACHE", str(folder / "cache"))
        return make_samples(folder)


@pytest.fixture
def loader(samples, tmp_path):
    """A function: the loader of that name."""
    from fuzz_loaders import LOADERS

    return lambda name: LOADERS[name](samples, tmp_path / "it")
