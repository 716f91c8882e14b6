import pytest

from mpsearch.report.layer_ruler import layer_groups, layer_ruler


def test_few_layers_are_numbered_one_by_one():
    assert layer_ruler(6) == "123456"


def test_numbers_stand_above_their_own_cells():
    ruler = layer_ruler(23)
    assert ruler == "1   5    10   15   20"
    for number in (1, 5, 10, 15, 20):
        assert ruler[number - 1 :].startswith(str(number))


@pytest.mark.parametrize(("layers", "each"), [(60, 2), (200, 8), (1000, 32), (11, 2), (1, 1), (10, 10)])
def test_a_compressed_ruler_fits_its_cells_and_numbers_do_not_touch(layers, each):
    ruler = layer_ruler(layers, each)
    assert len(ruler) <= -(-layers // each)
    for text in ruler.split():
        assert (int(text) - 1) // each == f" {ruler} ".index(f" {text} ")


def test_few_layers_are_all_named():
    assert layer_groups(["conv1", "fc"]) == [(1, 1, "conv1"), (2, 2, "fc")]


def test_neighbours_of_a_deep_model_are_named_by_what_their_names_share():
    names = ["conv1", *(f"layer{n}.{k}.conv" for n in (1, 2, 3) for k in range(6)), "fc"]
    assert layer_groups(names) == [
        (1, 1, "conv1"), (2, 7, "layer1.*"), (8, 13, "layer2.*"), (14, 19, "layer3.*"), (20, 20, "fc"),
    ]  # fmt: skip


def test_a_prefix_that_all_share_does_not_hide_the_groups():
    names = [f"model.layer{n}.{k}" for n in (1, 2) for k in range(8)]
    assert [name for _, _, name in layer_groups(names)] == ["model.layer1.*", "model.layer2.*"]
