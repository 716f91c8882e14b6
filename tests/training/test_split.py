import pytest
import torch
from torch import Generator

from mpsearch.errors import DataError
from mpsearch.training.split import Split


def numbered(count: int) -> Split:
    return Split(torch.arange(count).float()[:, None], torch.arange(count))


def test_inputs_and_targets_of_different_length_are_refused():
    with pytest.raises(DataError, match=r"one target per input; got inputs \(3, 2\) and targets \(2,\)"):
        Split(torch.zeros(3, 2), torch.zeros(2))


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="at least one sample"):
        Split(torch.zeros(0, 2), torch.zeros(0))


def test_batches_give_every_sample_once_and_in_order():
    targets = torch.cat([targets for _, targets in numbered(10).batches(4)])
    assert targets.tolist() == list(range(10))


def test_shuffled_batches_are_full_and_repeat_no_sample_within_an_epoch():
    batches = list(numbered(10).shuffled_batches(4, steps=4, generator=Generator().manual_seed(0)))
    assert [len(targets) for _, targets in batches] == [4] * 4
    for epoch in (batches[:2], batches[2:]):
        assert len({int(t) for _, targets in epoch for t in targets}) == 8


def test_shuffled_batches_keep_inputs_and_targets_together():
    for inputs, targets in numbered(10).shuffled_batches(3, steps=5, generator=Generator().manual_seed(1)):
        assert torch.equal(inputs[:, 0].long(), targets)


def test_fewer_steps_see_the_same_first_batches():
    def orders(steps: int) -> list[list[int]]:
        generator = Generator().manual_seed(2)
        return [t.tolist() for _, t in numbered(9).shuffled_batches(2, steps=steps, generator=generator)]

    assert orders(3) == orders(7)[:3]


def test_a_batch_size_above_the_split_takes_the_whole_split():
    (batch,) = numbered(3).shuffled_batches(100, steps=1, generator=Generator().manual_seed(0))
    assert sorted(batch[1].tolist()) == [0, 1, 2]


def test_the_digest_changes_with_a_value_and_with_a_shape():
    split = numbered(6)
    other = Split(split.inputs.clone(), split.targets)
    assert other.digest() == split.digest()
    other.inputs[3] += 1
    reshaped = Split(split.inputs.reshape(6, 1, 1), split.targets)
    assert len({split.digest(), other.digest(), reshaped.digest()}) == 3


def test_a_digest_sees_values_in_any_layout():
    images = torch.arange(160.0).view(10, 1, 4, 4)
    turned = images.permute(0, 2, 3, 1)
    targets = torch.arange(10).view(1, 10).T
    assert Split(turned, targets).digest() == Split(turned.clone(), targets.clone()).digest()
    assert Split(turned, targets).digest() != Split(turned + 1, targets).digest()
