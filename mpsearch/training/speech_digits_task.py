"""The built-in task `speech_digits`: spoken digits, ten words by six speakers."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.width import scaled_channels
from mpsearch.training.digits_task import stratified_split
from mpsearch.training.fsdd_files import SAMPLE_RATE, Recordings, fsdd_files, read_recordings
from mpsearch.training.locations import data_set_folder
from mpsearch.training.log_mel import log_mel
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.sound_augmentation import shift_gain_noise
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

VALIDATION_FRACTION = 0.2
SPLIT_SEED = 12
SAMPLES = SAMPLE_RATE  # one second
FRAME, HOP, BANDS = 320, 160, 10  # 40 ms every 20 ms: 49 frames
FEATURES = "log-mel 1"  # raise the number when the same recordings would give other features
# Of the training features.
MEAN, STANDARD_DEVIATION = -6.3, 4.0


def speech_digits_task(*, width: float = 1.0, data: str | None = None) -> Task:
    """The Free Spoken Digit Dataset and a DS-CNN: 2,160 training, 540 validation and 300 test recordings.

    Validation is a fifth of what each speaker recorded of each digit. A recording becomes 49 frames of 10
    log-mel features: its first second, in the middle of one second of silence where it is shorter. `width`
    multiplies the network's 64 channels; `data` is the folder with the files (default: `fsdd` in the folder
    MPSEARCH_DATA).

    Raises: ConfigError if the width is out of range; DataError if the files are missing or unreadable.
    Source: https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0).
    """
    channels = scaled_channels(64, width)
    train_file, test_file = fsdd_files(data_set_folder(data, "fsdd", what="The spoken digits need"))
    recorded, test = read_recordings(train_file), read_recordings(test_file)
    inputs, targets = features(recorded), torch.from_numpy(recorded.labels)
    who_said_what = np.char.add(recorded.speakers, recorded.labels.astype(np.str_))
    fractions = (1 - VALIDATION_FRACTION, VALIDATION_FRACTION)
    train, validation = stratified_split(who_said_what, fractions, seed=SPLIT_SEED)
    args = {"width": width, "data": data}
    return Task(
        name="speech_digits",
        args={name: value for name, value in args.items() if value not in (None, 1.0)},
        path_args=("data",),
        build_model=partial(DsCnn, num_classes=10, width=channels),
        train=Split(inputs[train], targets[train]),
        validation=Split(inputs[validation], targets[validation]),
        test=Split(features(test), torch.from_numpy(test.labels)),
        example_inputs=(inputs[:1],),
        loss=F.cross_entropy,
        metric=top1_correct,
        augment=augment_features,
        baseline=BaselineRecipe(
            epochs=40, batch_size=64, optimizer="adam", learning_rate=4e-3, weight_decay=1e-2
        ),
        data_digest=f"{recorded.digest()} {FEATURES}",
    )


def features(recordings: Recordings) -> Tensor:
    """Standardized log-mel features. Shape: (N, 1, 49, 10)."""
    waves = torch.zeros(len(recordings.waves), SAMPLES)
    for row, samples in zip(waves, recordings.waves, strict=True):
        heard = torch.from_numpy(samples[:SAMPLES]).float() / 2**15
        start = (SAMPLES - len(heard)) // 2
        row[start : start + len(heard)] = heard
    powers = log_mel(waves, sample_rate=SAMPLE_RATE, frame=FRAME, hop=HOP, bands=BANDS)
    return powers[:, None].sub_(MEAN).div_(STANDARD_DEVIATION)


def augment_features(inputs: Tensor, generator: Generator) -> Tensor:
    """Shift, loudness and noise of the recordings that standardized features come from."""
    changed = shift_gain_noise(inputs * STANDARD_DEVIATION + MEAN, generator)
    return changed.sub_(MEAN).div_(STANDARD_DEVIATION)
