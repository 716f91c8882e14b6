"""The built-in task `shakespeare`: the next character of Shakespeare's plays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ConfigError, DataError
from mpsearch.models.gpt import Gpt
from mpsearch.models.gpt2 import Gpt2
from mpsearch.models.width import scaled_channels
from mpsearch.training.locations import data_set_folder
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

MODELS: dict[str, Callable[..., nn.Module]] = {
    "gpt": Gpt,
    "gpt-swiglu": partial(Gpt, feed_forward="swiglu"),
    "gpt2": Gpt2,
}
FILE = "input.txt"
CONTEXT = 64  # characters
STRIDE = 16  # from the start of one training window to that of the next
TRAINING_FRACTION, VALIDATION_FRACTION = 0.9, 0.05


def shakespeare_task(*, model: str = "gpt", width: float = 1.0, data: str | None = None) -> Task:
    """Tiny Shakespeare, 1.1 million characters, and a language model of four blocks, 128 channels wide.

    The first 90% of the text are for training, the next 5% for validation, the last 5% for the test. The
    score is the share of characters that the model guesses right; the loss is in nats a character. `width`
    multiplies the channels; `data` is the folder with `input.txt` (default: `tinyshakespeare` in the folder
    MPSEARCH_DATA).

    Shape: inputs and targets (N, 64) int64: the target is the character after.
    Raises: ConfigError if the model or the width is none; DataError if the file is missing or too short.
    Source: Karpathy 2015, https://github.com/karpathy/char-rnn.
    """
    if model not in MODELS:
        raise ConfigError(f"`model` of task shakespeare must be one of {', '.join(MODELS)}; got {model!r}.")
    channels = scaled_channels(128, width)
    text = _read(data_set_folder(data, "tinyshakespeare", what="Shakespeare's plays need", files=FILE) / FILE)
    characters, tokens = torch.unique(torch.tensor(list(text)), return_inverse=True)
    ends = [round(share * len(tokens)) for share in (TRAINING_FRACTION, VALIDATION_FRACTION)]
    train, validation, test = tokens.split([*ends, len(tokens) - sum(ends)])
    args = {"model": model, "width": width, "data": data}
    held_out = _windows(validation, CONTEXT)
    return Task(
        name="shakespeare",
        args={name: value for name, value in args.items() if value not in (None, 1.0)},
        path_args=("data",),
        build_model=partial(MODELS[model], len(characters), context=CONTEXT, width=channels),
        train=_windows(train, STRIDE),
        validation=held_out,
        test=_windows(test, CONTEXT),
        example_inputs=(held_out.inputs[:1],),
        loss=nats,
        metric=top1_correct,
        baseline=BaselineRecipe(
            epochs=1,
            batch_size=16,
            optimizer="adam",
            learning_rate=3e-3,
            weight_decay=0.1,
            warmup_fraction=0.05,
            gradient_clip=1.0,
        ),
        data_digest=hashlib.sha256(text).hexdigest()[:16],
    )


def nats(output: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy a character, in nats. Shape: (N, T, vocabulary), (N, T) -> scalar."""
    return F.cross_entropy(output.flatten(0, 1), targets.flatten())


def _windows(tokens: Tensor, stride: int) -> Split:
    """Every `stride`-th stretch of 64 tokens, with the tokens that follow each."""
    return Split(tokens[:-1].unfold(0, CONTEXT, stride), tokens[1:].unfold(0, CONTEXT, stride))


def _read(path: Path) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"Shakespeare's plays must lie in {path}; got: {error.strerror}. Set MPSEARCH_DATA to the folder "
            f"that holds `tinyshakespeare/`, or the task argument `data` to the folder of {FILE}."
        ) from error
    least = round((CONTEXT + 1) / VALIDATION_FRACTION) + 1
    if len(text) < least:
        raise DataError(f"{path} must hold at least {least} characters; got {len(text)}. Download it again.")
    return text
