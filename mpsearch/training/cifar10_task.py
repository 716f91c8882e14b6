"""The built-in task `cifar10`: 32x32 colour photographs in 10 classes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mpsearch.errors import ConfigError
from mpsearch.models.binary_resnet import BinaryResNet20
from mpsearch.models.mobilenet_v2 import MobileNetV2Small
from mpsearch.models.resnet import ResNet18, resnet20
from mpsearch.models.vgg import VggSmall
from mpsearch.models.width import CHANNEL_STEP, scaled_channels
from mpsearch.training.augmentation import crop_and_flip
from mpsearch.training.cifar10_files import read_cifar10
from mpsearch.training.locations import cache_dir, data_set_folder
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

VALIDATION_FRACTION = 0.1
SPLIT_SEED = 10
# Of the training images, per channel.
MEAN = (0.4914, 0.4822, 0.4465)
STANDARD_DEVIATION = (0.2470, 0.2435, 0.2616)


def _resnet20(width: float) -> nn.Module:
    return resnet20(width=scaled_channels(16, width))


def _resnet18(width: float) -> nn.Module:
    return ResNet18(width=scaled_channels(64, width))


def _binary_resnet20(width: float) -> nn.Module:
    return BinaryResNet20(width=scaled_channels(16, width))


def _mobilenet_v2(width: float) -> nn.Module:
    return MobileNetV2Small(width=width)


def _vgg(width: float) -> nn.Module:
    return VggSmall(width=scaled_channels(32, width))


# Width multiplier -> a model of that width.
MODELS: dict[str, Callable[[float], nn.Module]] = {
    "resnet20": _resnet20,
    "resnet18": _resnet18,
    "binary-resnet20": _binary_resnet20,
    "mobilenet-v2": _mobilenet_v2,
    "vgg": _vgg,
}


def cifar10_task(
    *, model: str = "resnet20", width: float = 1, data: str | None = None, train_limit: int | None = None
) -> Task:
    """CIFAR-10 with 45,000 training, 5,000 validation and 10,000 test images.

    `width` times the channels of the model; `data` is the folder with the files (default: `cifar10` in the
    folder MPSEARCH_DATA); `train_limit` keeps that many training images, for quick trials of a set-up.

    Raises: ConfigError if the model, width or limit is none; DataError if the files are missing or
    unreadable.
    """
    if model not in MODELS:
        raise ConfigError(f"`model` of task cifar10 must be one of {', '.join(MODELS)}; got {model!r}.")
    if train_limit is not None and (not isinstance(train_limit, int) or train_limit < 1):
        raise ConfigError(f"`train_limit` must be a whole number of at least 1; got {train_limit!r}.")
    scaled_channels(CHANNEL_STEP, width)  # refuses what is no width before any data is read
    arrays = read_cifar10(data_set_folder(data, "cifar10", what="CIFAR-10 needs"), cache_dir=cache_dir())
    order = np.random.default_rng(SPLIT_SEED).permutation(len(arrays.train_labels))
    kept_back = max(1, round(VALIDATION_FRACTION * len(order)))
    validation, train = order[:kept_back], order[kept_back:][:train_limit]
    wide = None if width == 1 else width
    args: Mapping[str, Any] = {"model": model, "width": wide, "data": data, "train_limit": train_limit}
    train_split = _split(arrays.train_images[train], arrays.train_labels[train])
    return Task(
        name="cifar10",
        args={name: value for name, value in args.items() if value is not None},
        path_args=("data",),
        build_model=functools.partial(MODELS[model], width),
        train=train_split,
        validation=_split(arrays.train_images[validation], arrays.train_labels[validation]),
        test=_split(arrays.test_images, arrays.test_labels),
        example_inputs=(train_split.inputs[:1],),
        loss=F.cross_entropy,
        metric=top1_correct,
        augment=crop_and_flip,
        baseline=BaselineRecipe(
            epochs=24,
            batch_size=128,
            learning_rate=0.2,
            weight_decay=5e-4,
            warmup_fraction=0.2,
            bfloat16=True,
        ),
        data_digest=arrays.digest,
    )


def _split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
    mean = torch.tensor(MEAN)[:, None, None]
    deviation = torch.tensor(STANDARD_DEVIATION)[:, None, None]
    inputs: Tensor = torch.from_numpy(images).float().div_(255).sub_(mean).div_(deviation)
    return Split(inputs, torch.from_numpy(labels.copy()))
