"""What a 32-bit baseline depends on, and the cache key that follows from it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from mpsearch.training.task import FILE_MODULE, Task

BASELINE_VERSION = 1  # raise it when the same recipe would train to other weights


def made_of(task: Task, fresh_model: nn.Module, seed: int) -> dict[str, Any]:
    """All that decides the trained weights and their score: change one, and the baseline is another."""
    return {
        "version": BASELINE_VERSION,
        "task": task.name,
        "args": {name: value for name, value in sorted(task.args.items()) if name not in task.path_args},
        "recipe": asdict(task.baseline),
        "seed": seed,
        "data": task.data_digest or f"{task.train.digest()}-{task.validation.digest()}",
        "model": _model_digest(fresh_model),
        "initial_weights": weights_digest(fresh_model),
        "loss": function_identity(task.loss),
        "metric": function_identity(task.metric),
        "augment": function_identity(task.augment) if task.augment is not None else None,
    }


def baseline_key(parts: dict[str, Any]) -> str:
    """Sixteen hex digits for what `made_of` returns."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_digest(model: nn.Module) -> str:
    """Sixteen hex digits of every parameter and buffer."""
    hashed = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hashed.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()[:16]


def _model_digest(model: nn.Module) -> str:
    """Sixteen hex digits of what its modules are; of a user's model, also of all else that decides what it
    computes: source, settings beside those that are printed, what is not trained. Ours has its task's `args`.
    """
    hashed = hashlib.sha256(repr(model).encode())
    if type(model).__module__.partition(".")[0] == "mpsearch":
        return hashed.hexdigest()[:16]
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        hashed.update(function_identity(kind).encode())
    for name, module in model.named_modules():
        hashed.update(f"{name} {_settings(module)} ".encode())
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    hashed.update(repr(frozen).encode())
    return hashed.hexdigest()[:16]


def _settings(owner: object) -> str:
    """The public attributes that are plain values, functions, or lists and mappings of these."""
    held = getattr(owner, "__dict__", {})
    values = {name: _plain(value) for name, value in sorted(held.items()) if not name.startswith("_")}
    values.pop("training", None)
    return repr({name: text for name, text in values.items() if text is not None})


def _plain(value: Any) -> str | None:
    """A text that tells the value; None where none is known that would be the same tomorrow."""
    if hasattr(value, "to_dict"):  # a configuration of Hugging Face
        value = value.to_dict()
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.Size)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return repr([_plain(each) for each in value])
    if isinstance(value, dict):
        return repr(sorted((str(key), _plain(each)) for key, each in value.items()))
    if inspect.isroutine(value) or isinstance(value, functools.partial):
        return function_identity(value)
    return None


def _is_known(named: Any) -> bool:
    return str(named.__module__).partition(".")[0] in {"torch", "mpsearch"}


def function_identity(function: Callable[..., Any]) -> str:
    """Module and name; of an object also its settings and tensors; of code that is neither torch's nor ours
    also a hash of its source text.

    Values that a closure holds and functions that it calls are not seen: what depends on some belongs into
    `Task.args`.
    """
    if isinstance(function, functools.partial):
        given = f"{function.args!r} {sorted(function.keywords.items())!r}"
        return f"{function_identity(function.func)} with {given}"
    named = function if hasattr(function, "__qualname__") else type(function)
    module = re.sub(f"^{FILE_MODULE}[0-9a-f]{{8}}_", "", str(named.__module__))  # wherever the file lies
    identity = f"{module}.{named.__qualname__}"
    if named is not function:  # an object that can be called
        identity += f" {_settings(function)}"
        identity += weights_digest(function) if isinstance(function, nn.Module) else ""
    if _is_known(named):
        return identity
    try:
        source = inspect.getsource(named)
    except (OSError, TypeError):  # written at a prompt, or not in Python
        return identity
    return f"{identity} {hashlib.sha256(source.encode()).hexdigest()[:16]}"
