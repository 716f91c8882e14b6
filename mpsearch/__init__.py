"""How few bits can each layer of a neural network live with, on your machine?

    run = mpsearch.search(model, (train, validation, test), budgets={"memory": "60KB"})
    run.front.knee().export("exported/")

Everything public is listed in `__all__` and loaded when it is first used: `import mpsearch` imports neither
torch nor optuna.
"""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mpsearch.search as _search_package

if TYPE_CHECKING:
    from mpsearch.api import load_run as load_run
    from mpsearch.api import search as search
    from mpsearch.errors import BudgetError as BudgetError
    from mpsearch.errors import ConfigError as ConfigError
    from mpsearch.errors import DataError as DataError
    from mpsearch.errors import ExportError as ExportError
    from mpsearch.errors import FormatError as FormatError
    from mpsearch.errors import KernelError as KernelError
    from mpsearch.errors import MpsearchError as MpsearchError
    from mpsearch.errors import ProfileError as ProfileError
    from mpsearch.errors import RunError as RunError
    from mpsearch.errors import ShapeError as ShapeError
    from mpsearch.errors import StorageError as StorageError
    from mpsearch.errors import TaskError as TaskError
    from mpsearch.errors import TraceError as TraceError
    from mpsearch.errors import TrialError as TrialError
    from mpsearch.errors import UnmeasuredError as UnmeasuredError
    from mpsearch.hardware.profile import HardwareProfile as HardwareProfile
    from mpsearch.precision.policy import PrecisionPolicy as PrecisionPolicy
    from mpsearch.precision.scheme import SCHEMES as SCHEMES
    from mpsearch.precision.scheme import Scheme as Scheme
    from mpsearch.search.budgets import Budgets as Budgets
    from mpsearch.search.front import Front as Front
    from mpsearch.search.run import Run as Run
    from mpsearch.search.space import SearchSpace as SearchSpace
    from mpsearch.search.space_file import load_space as load_space
    from mpsearch.search.trial_record import TrialRecord as TrialRecord
    from mpsearch.training.recipe import BaselineRecipe as BaselineRecipe
    from mpsearch.training.recipe import TrialRecipe as TrialRecipe
    from mpsearch.training.task import Task as Task
    from mpsearch.training.task import task_from as task_from

_HOME = {
    "BaselineRecipe": "mpsearch.training.recipe",
    "BudgetError": "mpsearch.errors",
    "Budgets": "mpsearch.search.budgets",
    "ConfigError": "mpsearch.errors",
    "DataError": "mpsearch.errors",
    "ExportError": "mpsearch.errors",
    "FormatError": "mpsearch.errors",
    "Front": "mpsearch.search.front",
    "HardwareProfile": "mpsearch.hardware.profile",
    "KernelError": "mpsearch.errors",
    "MpsearchError": "mpsearch.errors",
    "PrecisionPolicy": "mpsearch.precision.policy",
    "ProfileError": "mpsearch.errors",
    "Run": "mpsearch.search.run",
    "RunError": "mpsearch.errors",
    "SCHEMES": "mpsearch.precision.scheme",
    "Scheme": "mpsearch.precision.scheme",
    "SearchSpace": "mpsearch.search.space",
    "ShapeError": "mpsearch.errors",
    "StorageError": "mpsearch.errors",
    "Task": "mpsearch.training.task",
    "TaskError": "mpsearch.errors",
    "TraceError": "mpsearch.errors",
    "TrialError": "mpsearch.errors",
    "TrialRecipe": "mpsearch.training.recipe",
    "TrialRecord": "mpsearch.search.trial_record",
    "UnmeasuredError": "mpsearch.errors",
    "load_run": "mpsearch.api",
    "load_space": "mpsearch.search.space_file",
    "task_from": "mpsearch.training.task",
}

__all__ = [*sorted(_HOME), "search"]  # noqa: PLE0604 - strings, all of them


class _CallableSearch(ModuleType):
    """`mpsearch.search` is a sub-package and, called, the function `mpsearch.api.search`.

    The import system binds a sub-package to that name of its parent on the first `import mpsearch.search.x`
    and would replace a function there; a function that replaced the package would break
    `mpsearch.search.x`. A module may change its class, so this one name is both, in any order of imports.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _attribute("mpsearch.api", "search")(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_attribute("mpsearch.api", "search"))


_search_package.__class__ = _CallableSearch


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mpsearch' has no attribute {name!r}")
    value = _attribute(_HOME[name], name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


def _attribute(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
