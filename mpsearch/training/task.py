"""A task: a model, its data, its loss and its metric; and the ways to get one."""

from __future__ import annotations

import copy
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import Dataset

from mpsearch.errors import ConfigError, MpsearchError, TaskError
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split

_OfOutputs = Callable[[Tensor, Tensor], Tensor]
FILE_MODULE = "mpsearch_task_"  # with a hash of its path, starts the name of a module made of a task's file
IN_MEMORY = " (in memory)"  # ends the name of a task that was an object, which no name can load again
BUILT_IN_TASKS: dict[str, str] = {
    "digits": "mpsearch.training.digits_task:digits_task",
    "cifar10": "mpsearch.training.cifar10_task:cifar10_task",
    "speech_digits": "mpsearch.training.speech_digits_task:speech_digits_task",
    "shakespeare": "mpsearch.training.shakespeare_task:shakespeare_task",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What a search works on. The search sees `train` and `validation` only; `test` is for the final word.

    build_model   a fresh 32-bit model, its initial weights drawn from torch's global generator
    loss          (output, targets) -> scalar tensor, the mean over the batch
    metric        (output, targets) -> one score per sample (or position), higher is better; a task's score
                  is their mean, 1.0 for perfect where it is an accuracy
    augment       (inputs, generator) -> inputs, for training batches and the BatchNorm statistics like
                  theirs; None for none
    args          what the task was made with; `path_args` names those that only say where data lies
    data_digest   names the data's content where that is known without reading it all; else computed
    pretrained    the model that `build_model` returns is trained already: it is the baseline

    Shape: example_inputs are what one forward takes, batch 1.
    Raises: TaskError if a field has the wrong type.
    """

    name: str
    build_model: Callable[[], nn.Module]
    train: Split
    validation: Split
    test: Split | None
    example_inputs: tuple[Tensor, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[Tensor, Tensor], Tensor]
    metric_name: str = "accuracy"
    baseline: BaselineRecipe = field(default_factory=BaselineRecipe)
    augment: Callable[[Tensor, Generator], Tensor] | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    path_args: tuple[str, ...] = ()
    data_digest: str | None = None
    pretrained: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise TaskError("A task needs a name; got an empty one.")
        for name in ("train", "validation"):
            self._require(name, isinstance(getattr(self, name), Split), "a Split(inputs, targets)")
        self._require("test", self.test is None or isinstance(self.test, Split), "a Split or None")
        for name in ("build_model", "loss", "metric"):
            self._require(name, callable(getattr(self, name)), "callable")
        self._require("augment", self.augment is None or callable(self.augment), "callable or None")
        self._require("baseline", isinstance(self.baseline, BaselineRecipe), "a BaselineRecipe")
        given = self.example_inputs
        is_tensors = isinstance(given, tuple) and bool(given) and all(isinstance(x, Tensor) for x in given)
        self._require("example_inputs", is_tensors, "a tuple of tensors, batch 1")

    def _require(self, name: str, holds: bool, rule: str) -> None:  # noqa: FBT001
        if not holds:
            received = type(getattr(self, name)).__name__
            raise TaskError(f"`{name}` of task {self.name!r} must be {rule}; got {received}.")

    def to(self, device: torch.device) -> Task:
        """The same with a loss and a metric that compute on the device, where they are modules."""
        if device.type == "cpu":
            return self
        return replace(self, loss=_on(device, self.loss), metric=_on(device, self.metric))

    def new_model(self) -> nn.Module:
        """What `build_model` returns; lazy parameters get the shapes that the example inputs give them.

        Raises: TaskError if it fails or returns no module.
        """
        try:
            model = self.build_model()
            if isinstance(model, nn.Module) and any(map(is_lazy, (*model.parameters(), *model.buffers()))):
                with torch.no_grad():
                    model.eval()(*self.example_inputs)
                model.train()
        except Exception as error:
            raise TaskError(
                f"`build_model` of task {self.name!r} must return a model; it raised "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(model, nn.Module):
            raise TaskError(
                f"`build_model` of task {self.name!r} must return a torch.nn.Module; got a "
                f"{type(model).__name__}."
            )
        return model


def _on(device: torch.device, function: _OfOutputs) -> _OfOutputs:
    return copy.deepcopy(function).to(device) if isinstance(function, nn.Module) else function


def top1_correct(output: Tensor, targets: Tensor) -> Tensor:
    """1.0 where the largest logit is the target's, else 0.0.

    Shape: output (N, classes), targets (N,) -> (N,); (N, T, classes) and (N, T) -> (N, T).
    Raises: TaskError if the shapes differ otherwise, there are no two classes, or targets are no numbers of
    classes.
    """
    if output.shape[:-1] != targets.shape or output.shape[-1] < 2 or targets.is_floating_point():
        raise TaskError(
            "Accuracy needs the number of a class for each row of two logits or more: outputs (N, classes) "
            f"and whole targets (N,); got {tuple(output.shape)} and {tuple(targets.shape)} of "
            f"{targets.dtype}. Give the task a `metric` of its own: higher is better, one score a sample."
        )
    return (output.argmax(-1) == targets).to(torch.float32)


def task_from(
    model: nn.Module,
    data: Sequence[Any],
    *,
    pretrained: bool = False,
    name: str = "model",
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    metric: Callable[[Tensor, Tensor], Tensor] = top1_correct,
    metric_name: str = "accuracy",
    baseline: BaselineRecipe | None = None,
    augment: Callable[[Tensor, Generator], Tensor] | None = None,
    example_inputs: tuple[Tensor, ...] | None = None,
) -> Task:
    """A task from a model in memory: `data` is (train, validation) or (train, validation, test).

    Each part is a Split, a pair (inputs, targets) of tensors or arrays, or a torch Dataset of such pairs (it
    is read into memory). With `pretrained` the model's weights are the 32-bit baseline; without, the baseline
    is trained from them by `baseline`. The model itself is never changed.

    Raises: TaskError if the model or the data is of another kind; DataError if a part is uneven or empty.
    """
    if not isinstance(model, nn.Module):
        raise TaskError(f"`model` must be a torch.nn.Module; got {type(model).__name__}.")
    if not isinstance(data, Sequence) or len(data) not in (2, 3):
        size = f" of length {len(data)}" if isinstance(data, Sequence) else ""
        raise TaskError(
            f"`data` must be (train, validation) or (train, validation, test); got a "
            f"{type(data).__name__}{size}."
        )
    train, validation, *test = (
        _as_split(part, label) for part, label in zip(data, ("train", "validation", "test"), strict=False)
    )
    original = copy.deepcopy(model)
    return Task(
        name=name,
        build_model=functools.partial(copy.deepcopy, original),  # unlike a lambda, it can go to a worker
        train=train,
        validation=validation,
        test=test[0] if test else None,
        example_inputs=example_inputs or (train.inputs[:1],),
        loss=loss,
        metric=metric,
        metric_name=metric_name,
        baseline=baseline or BaselineRecipe(),
        augment=augment,
        pretrained=pretrained,
    )


def _as_split(part: object, label: str) -> Split:
    if isinstance(part, Split):
        return part
    if isinstance(part, Dataset):
        return _read_into_memory(part, label)
    if isinstance(part, (tuple, list)) and len(part) == 2:
        try:
            return Split(torch.as_tensor(part[0]), torch.as_tensor(part[1]))
        except (TypeError, ValueError, RuntimeError) as error:
            raise TaskError(f"The {label} data must be tensors or arrays; got: {error}.") from error
    raise TaskError(
        f"The {label} data must be a pair (inputs, targets), a torch Dataset or a Split; got a "
        f"{type(part).__name__}."
    )


def _read_into_memory(dataset: Dataset[Any], label: str) -> Split:
    samples: Any = dataset  # a map-style Dataset promises no length to the type checker
    try:
        pairs = [samples[place] for place in range(len(samples))]
        inputs = torch.stack([torch.as_tensor(pair[0]) for pair in pairs])
        targets = torch.stack([torch.as_tensor(pair[1]) for pair in pairs])
    except Exception as error:
        raise TaskError(
            f"The {label} Dataset must have a length and give (input, target) pairs of equal shapes; reading "
            f"it raised {type(error).__name__}: {error}"
        ) from error
    return Split(inputs, targets)


def load_task(name: str, args: Mapping[str, Any] | None = None) -> Task:
    """Call the function that `name` stands for with `args` as keyword arguments.

    Paths and modules are looked up from the current folder.

    Raises: ConfigError if there is no such name or file, or the function takes no such argument;
    TaskError if the module cannot be imported, the function fails, or what it returns is no Task.
    """
    if name.endswith(IN_MEMORY):
        raise ConfigError(
            f"A task must have a name that can be loaded; {name!r} was an object in Python. Open its run by "
            "mpsearch.load_run(path, task=task), or name a function that returns the same Task."
        )
    target = BUILT_IN_TASKS.get(name, name)
    module_name, _, function_name = target.rpartition(":")
    if not module_name or not function_name:
        raise ConfigError(
            f"A task must be one of {', '.join(_nearest_first(name))}, or `package.module:function`, or "
            f"`path/to/file.py:function`; got {name!r}."
        )
    module = _file_module(name, module_name) if module_name.endswith(".py") else _module(name, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        offered = [key for key, value in vars(module).items() if inspect.isfunction(value) and key[0] != "_"]
        near = difflib.get_close_matches(function_name, offered, n=3, cutoff=0.5) or offered[:5]
        raise ConfigError(
            f"Task {name!r} must name a function of {module_name}; there is no {function_name!r}. "
            f"Nearest: {', '.join(near) or 'none, it has no functions'}."
        )
    return _called(name, function, dict(args or {}))


def _nearest_first(name: str) -> list[str]:
    def distance(known: str) -> float:
        return -difflib.SequenceMatcher(None, name.lower(), known).ratio()

    return sorted(BUILT_IN_TASKS, key=distance)


def _module(name: str, module_name: str) -> ModuleType:
    _search_imports_in(Path.cwd())  # a console script does not look in the current folder by itself
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise TaskError(
            f"Task {name!r} needs the module {module_name}; importing it from {Path.cwd()} raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _file_module(name: str, file_name: str) -> ModuleType:
    try:
        path = Path(file_name).expanduser().resolve()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, of an unknown user, with a null byte
        raise ConfigError(f"Task {name!r:.200} must name an existing file; got: {error}.") from error
    if not is_file:
        raise ConfigError(
            f"Task {name!r} must name an existing file; there is no {path}. Put it there, or name its place, "
            "in the space or with --task."
        )
    _search_imports_in(path.parent)
    label = f"{FILE_MODULE}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module  # dataclasses and pickling look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[label]
        raise TaskError(
            f"Task {name!r} must run as a module; {path} raised {type(error).__name__}: {error}"
        ) from error
    return module


def _search_imports_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _called(name: str, function: Callable[..., Any], args: dict[str, Any]) -> Task:
    signature = inspect.signature(function)
    try:
        signature.bind(**args)
    except TypeError as error:
        raise ConfigError(
            f"The arguments of task {name!r} must fit {function.__name__}{_without_types(signature)}; got "
            f"{args or 'none'}: {error}."
        ) from None
    try:
        task = function(**args)
    except MpsearchError:
        raise
    except Exception as error:
        raise TaskError(
            f"The function of task {name!r} must return a Task; it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(task, Task):
        raise TaskError(
            f"The function of task {name!r} must return an mpsearch Task; got {type(task).__name__}. "
            "`mpsearch.training.task.task_from` builds one from a model and its data."
        )
    return task


def _without_types(signature: inspect.Signature) -> str:
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
