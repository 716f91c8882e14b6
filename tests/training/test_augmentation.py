import torch
from torch import Generator

from mpsearch.training.augmentation import crop_and_flip


def images(count: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, 6, 5, generator=Generator().manual_seed(0)) + 1


def test_without_padding_an_image_is_itself_or_its_mirror_image_and_both_occur():
    before = images()
    after = crop_and_flip(before, Generator().manual_seed(0), padding=0)
    same = (after == before).flatten(1).all(1)
    mirrored = (after == before.flip(3)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 0 < int(same.sum()) < len(before)


def test_every_result_is_a_window_of_the_padded_image_or_of_its_mirror_image():
    before = images(8)
    after = crop_and_flip(before, Generator().manual_seed(3), padding=2)
    padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
    for image, wide in zip(after, padded, strict=True):
        windows = [wide[:, t : t + 6, s : s + 5] for t in range(5) for s in range(5)]
        assert any(torch.equal(image, w) or torch.equal(image, w.flip(2)) for w in windows)


def test_the_result_depends_on_the_generator_only():
    first, second, third = (crop_and_flip(images(), Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_the_result_is_in_channels_last():
    assert crop_and_flip(images(), Generator().manual_seed(0)).is_contiguous(
        memory_format=torch.channels_last
    )
