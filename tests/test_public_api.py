import inspect
import subprocess
import sys
import time

import pytest

import mpsearch


def test_exactly_this_is_public():
    assert mpsearch.__all__ == [
        "BaselineRecipe",
        "BudgetError",
        "Budgets",
        "ConfigError",
        "DataError",
        "ExportError",
        "FormatError",
        "Front",
        "HardwareProfile",
        "KernelError",
        "MpsearchError",
        "PrecisionPolicy",
        "ProfileError",
        "Run",
        "RunError",
        "SCHEMES",
        "Scheme",
        "SearchSpace",
        "ShapeError",
        "StorageError",
        "Task",
        "TaskError",
        "TraceError",
        "TrialError",
        "TrialRecipe",
        "TrialRecord",
        "UnmeasuredError",
        "load_run",
        "load_space",
        "task_from",
        "search",
    ]


@pytest.mark.parametrize("name", mpsearch.__all__)
def test_every_public_name_is_there(name):
    assert getattr(mpsearch, name) is not None
    assert name in dir(mpsearch)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        mpsearch.serach  # noqa: B018


def test_search_is_a_function_and_a_package_in_any_order_of_imports():
    code = """
import mpsearch
assert callable(mpsearch.search)
import mpsearch.search.quantities as quantities
assert callable(mpsearch.search)
assert mpsearch.search.quantities is quantities
from mpsearch import search
assert callable(search)
try:
    search("no-such-space")
except mpsearch.ConfigError as error:
    assert "no-such-space" in str(error)
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_search_shows_its_own_arguments():
    assert {"model", "data", "budgets", "trials"} <= set(inspect.signature(mpsearch.search).parameters)


def test_importing_mpsearch_is_fast_and_loads_no_heavy_library():
    code = (
        "import sys; before = set(sys.modules); import mpsearch; "
        "heavy = {'torch', 'optuna', 'ray', 'rich', 'pandas', 'numpy'} & (set(sys.modules) - before); "
        "assert not heavy, heavy"
    )
    best = min(_seconds(code) - _seconds("pass") for _ in range(3))
    assert best < 0.3


def test_opening_a_run_needs_neither_torch_nor_optuna():
    code = "import sys, mpsearch; mpsearch.load_run; assert not {'torch', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def _seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
