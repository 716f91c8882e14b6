import torch
from torch import nn

from mpsearch.training.layout import prepare_model


def test_weights_of_images_change_their_layout_and_nothing_else():
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Conv2d(3, 4, 2), nn.Linear(2, 2))
    before = [tensor.clone() for tensor in model.state_dict().values()]
    assert prepare_model(model) is model
    assert all(torch.equal(*pair) for pair in zip(before, model.state_dict().values(), strict=True))
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[0].weight.is_contiguous()
