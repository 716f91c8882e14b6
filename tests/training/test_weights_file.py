import pytest
import torch

from mpsearch.errors import FormatError
from mpsearch.training.weights_file import read_weights, write_weights


def test_tensors_and_description_come_back_as_they_went(tmp_path):
    shared = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    weights = {"a": shared, "tied": shared, "count": torch.tensor(3)}
    write_weights(tmp_path / "deep" / "w.safetensors", weights, {"score": 0.5, "made_of": {"seed": 1}})
    read, description = read_weights(tmp_path / "deep" / "w.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())
    assert description == {"score": 0.5, "made_of": {"seed": 1}}


def test_nothing_but_the_file_is_left_behind(tmp_path):
    for _ in range(2):
        write_weights(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_truncated_file_is_a_format_error(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, {"a": torch.zeros(200)}, {})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FormatError, match="must be a safetensors file written by mpsearch"):
        read_weights(path)


def test_a_file_of_another_program_is_a_format_error(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(FormatError, match="written by mpsearch"):
        read_weights(tmp_path / "w.safetensors")
