"""The task, its files and its features, on sounds that the tests make."""

import io
import math
import wave

import numpy as np
import pytest
import torch
from torch import Generator

from mpsearch.errors import ConfigError, DataError
from mpsearch.models.trace import trace_model
from mpsearch.training.fsdd_files import read_recordings
from mpsearch.training.log_mel import FLOOR, log_mel, mel_filters
from mpsearch.training.sound_augmentation import shift_gain_noise
from mpsearch.training.task import load_task

SPEAKERS = ("george", "theo")
TAKES = 5


def wav(samples, *, rate=8000, channels=1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, dtype="<i2").tobytes())
    return buffer.getvalue()


def tone(hertz: float, samples: int):
    return (8000 * np.sin(2 * math.pi * hertz * np.arange(samples) / 8000)).astype(np.int16)


def write(path, rows) -> None:
    import pyarrow
    import pyarrow.parquet

    names = ("audio", "label", "speaker")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["audio"] = [{"bytes": sound, "path": "x.wav"} for sound in columns["audio"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Each speaker says each digit five times: a tone of its own pitch, every take of another length."""
    rows = [
        (wav(tone(200 + 150 * digit + 20 * who, 3000 + 700 * take + 10 * digit)), digit, speaker)
        for digit in range(10)
        for who, speaker in enumerate(SPEAKERS)
        for take in range(TAKES)
    ]
    write(tmp_path / "data" / "fsdd" / "train.parquet", rows)
    write(tmp_path / "data" / "fsdd" / "test.parquet", rows[::TAKES])
    monkeypatch.setenv("MPSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "fsdd"


def rows_of(split) -> set[bytes]:
    return {sound.numpy().tobytes() for sound in split.inputs}


def test_a_fifth_of_what_each_speaker_says_of_each_digit_is_kept_back(data):
    task = load_task("speech_digits")
    assert (len(task.train), len(task.validation), len(task.test)) == (80, 20, 20)
    assert torch.equal(task.validation.targets.bincount(), torch.full((10,), len(SPEAKERS)))
    assert len(rows_of(task.train) | rows_of(task.validation)) == 100
    again = load_task("speech_digits")
    assert torch.equal(task.validation.inputs, again.validation.inputs)


def test_one_second_becomes_49_frames_of_10_bands_and_the_network_takes_them(data):
    task = load_task("speech_digits")
    assert task.train.inputs.shape == (80, 1, 49, 10)
    with torch.no_grad():
        assert task.new_model().eval()(*task.example_inputs).shape == (1, 10)


def test_the_width_multiplies_the_channels_and_names_another_baseline(data):
    task = load_task("speech_digits", {"width": 0.5})
    trace = trace_model(task.new_model(), task.example_inputs)
    assert trace.layer("conv1").calls[0].out_channels == 32
    assert task.args == {"width": 0.5}
    assert load_task("speech_digits").args == {}
    with pytest.raises(ConfigError, match="`width` must be a number above 0 and at most 64; got 0"):
        load_task("speech_digits", {"width": 0})


def test_the_data_digest_changes_with_the_recordings(data):
    before = load_task("speech_digits").data_digest
    rows = [
        (wav(tone(300, 4000)), digit, speaker)
        for digit in range(10)
        for speaker in SPEAKERS
        for _ in range(TAKES)
    ]
    write(data / "train.parquet", rows)
    assert load_task("speech_digits").data_digest != before


def test_without_files_the_error_says_where_they_should_be(tmp_path, monkeypatch):
    monkeypatch.setenv("MPSEARCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"fsdd as train.parquet and test.parquet; there is no such folder"):
        load_task("speech_digits")
    monkeypatch.delenv("MPSEARCH_DATA")
    with pytest.raises(DataError, match=r"none is set. Set MPSEARCH_DATA"):
        load_task("speech_digits")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(wav(tone(300, 100), rate=16000), 1, "theo")], "16000 Hz, 1 channels and 16 bits"),
        ([(wav(tone(300, 100), channels=2), 1, "theo")], "8000 Hz, 2 channels"),
        ([(b"RIFF", 1, "theo")], "must be a Parquet file with columns"),
        ([(wav(tone(300, 100)), 10, "theo")], "must be 0 to 9; got 10 to 10"),
    ],
)
def test_other_files_are_refused(tmp_path, rows, message):
    write(tmp_path / "x.parquet", rows)
    with pytest.raises(DataError, match=message):
        read_recordings(tmp_path / "x.parquet")


def test_a_tone_has_its_power_in_the_band_around_its_pitch():
    hertz = 1000.0
    sound = torch.sin(2 * math.pi * hertz * torch.arange(8000) / 8000)[None]
    powers = log_mel(sound, sample_rate=8000, frame=320, hop=160, bands=10)
    assert powers.shape == (1, 49, 10)
    filters = mel_filters(10, bins=161, sample_rate=8000, lowest=60.0)
    loudest = filters[int(hertz / 25)].argmax()
    assert bool((powers.argmax(-1) == loudest).all())
    # A sine of amplitude 1 under a Hann window w has the power (sum w / 2)^2 at its bin, a quarter beside it.
    peak = torch.hann_window(320).sum().item() / 2
    weights = filters[[39, 40, 41], loudest] @ torch.tensor([0.25, 1.0, 0.25])
    assert powers[0, 20, loudest].item() == pytest.approx(math.log(peak**2 * weights.item()), rel=1e-3)


def test_silence_has_the_logarithm_of_the_floor():
    powers = log_mel(torch.zeros(2, 8000), sample_rate=8000, frame=320, hop=160, bands=10)
    assert torch.equal(powers, torch.full((2, 49, 10), FLOOR).log())


def test_neighbouring_bands_share_every_frequency_between_them_in_full():
    filters = mel_filters(10, bins=161, sample_rate=8000, lowest=60.0)
    centres = filters.argmax(0)
    assert bool((centres.diff() > 0).all())
    between = filters[centres[0] + 1 : centres[-1]].sum(1)
    assert torch.allclose(between, torch.ones_like(between), atol=1e-6)


def test_more_bands_than_frequencies_are_refused():
    with pytest.raises(ConfigError, match="`bands` must be so few that each holds a frequency"):
        mel_filters(200, bins=161, sample_rate=8000, lowest=60.0)


def test_augmentation_shifts_in_time_and_is_repeatable():
    ramp = torch.arange(49.0)[None, None, :, None].expand(64, 1, 49, 10)  # soon far above noise
    first = shift_gain_noise(ramp, Generator().manual_seed(1))
    assert torch.equal(first, shift_gain_noise(ramp, Generator().manual_seed(1)))
    assert not torch.equal(first, shift_gain_noise(ramp, Generator().manual_seed(2)))
    moved = first[:, 0, 20, 0] - 20  # the shift in frames, and the loudness
    assert bool((moved.abs() <= 6 + math.log(4) + 1e-3).all())
    assert moved.std() > 2
    steps = first[:, 0, 15:35, 0].diff(dim=1)
    assert torch.allclose(steps, torch.ones_like(steps), atol=1e-3)


def test_noise_lifts_silence():
    silence = torch.full((64, 1, 49, 10), math.log(FLOOR))
    noisy = shift_gain_noise(silence, Generator().manual_seed(0))
    means = noisy.mean((1, 2, 3))
    # The logarithm of an exponential variable has the mean ln(scale) - 0.577.
    assert bool((means > math.log(1e-3) - 0.577 - 0.3).all())
    assert bool((means < 0.577).all())
    assert means.std() > 1
