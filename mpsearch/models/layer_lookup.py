"""Finding a model's modules by name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.models.quantizable import is_candidate


def find_layers(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    """Name -> module, by the names of `named_modules()`, aliases of shared modules included.

    Raises: ConfigError if a name is not there, with the nearest names of layers.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    found = {}
    for name in names:
        if name not in modules:
            layers = [known for known, module in modules.items() if is_candidate(module)]
            near = get_close_matches(name, layers, n=3, cutoff=0.5) or layers[:10]
            raise ConfigError(
                f"A layer must be one of the model's modules; {type(model).__name__} has no {name!r}. "
                f"Nearest: {', '.join(near) or 'it has no Linear, Conv1d or Conv2d'}."
            )
        found[name] = modules[name]
    return found
