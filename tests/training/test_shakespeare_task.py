"""The task on a text that the tests write."""

import math

import pytest
import torch
import torch.nn.functional as F

from mpsearch.errors import ConfigError, DataError
from mpsearch.models.trace import trace_model
from mpsearch.training.shakespeare_task import nats
from mpsearch.training.task import load_task

TEXT = "".join(f"line {number}: {number * 7919 % 1013}\n" for number in range(400)).encode()


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "tinyshakespeare"
    folder.mkdir(parents=True)
    (folder / "input.txt").write_bytes(TEXT)
    monkeypatch.setenv("MPSEARCH_DATA", str(tmp_path / "data"))
    return folder


def decoded(tokens) -> bytes:
    characters = sorted(set(TEXT))
    return bytes(characters[token] for token in tokens.flatten().tolist())


def test_targets_are_the_characters_after_the_inputs(data):
    task = load_task("shakespeare")
    assert decoded(task.train.inputs[0]) == TEXT[:64]
    assert decoded(task.train.targets[0]) == TEXT[1:65]
    assert decoded(task.train.inputs[1]) == TEXT[16:80]


def test_validation_and_test_are_the_two_last_twentieths_of_the_text(data):
    task = load_task("shakespeare")
    first = round(0.9 * len(TEXT))
    second = first + round(0.05 * len(TEXT))
    assert decoded(task.train.targets[-1]) in TEXT[:first]
    held_out = decoded(task.validation.inputs)
    assert held_out == TEXT[first : first + len(held_out)]
    assert len(held_out) > second - first - 65
    tested = decoded(task.test.inputs)
    assert tested == TEXT[second : second + len(tested)]


@pytest.mark.parametrize("model", ["gpt", "gpt-swiglu", "gpt2"])
def test_every_linear_layer_is_found_and_gives_a_logit_for_each_character(data, model):
    task = load_task("shakespeare", {"model": model, "width": 0.25})
    network = task.new_model().eval()
    with torch.no_grad():
        assert network(*task.example_inputs).shape == (1, 64, len(set(TEXT)))
    trace = trace_model(network, task.example_inputs)
    linear = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    assert sorted(layer.name for layer in trace.layers) == sorted(linear)
    assert trace.layers[0].calls[0].out_channels == 32


def test_the_loss_is_the_mean_over_characters_in_nats():
    even = torch.zeros(2, 5, 65)
    assert nats(even, torch.zeros(2, 5, dtype=torch.int64)).item() == pytest.approx(math.log(65))
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(10).reshape(2, 5) % 7
    wanted = F.cross_entropy(logits.transpose(1, 2), targets)
    assert nats(logits, targets).item() == pytest.approx(wanted.item())


def test_the_digest_is_that_of_the_text(data):
    before = load_task("shakespeare").data_digest
    (data / "input.txt").write_bytes(TEXT.replace(b"7", b"8"))
    assert load_task("shakespeare").data_digest != before


def test_what_is_missing_is_said(data, monkeypatch):
    with pytest.raises(ConfigError, match="one of gpt, gpt-swiglu, gpt2; got 'bert'"):
        load_task("shakespeare", {"model": "bert"})
    (data / "input.txt").write_bytes(TEXT[:1000])
    with pytest.raises(DataError, match="must hold at least 1301 characters; got 1000"):
        load_task("shakespeare")
    (data / "input.txt").unlink()
    with pytest.raises(DataError, match=r"must lie in .*input.txt; got: No such file"):
        load_task("shakespeare")
    monkeypatch.delenv("MPSEARCH_DATA")
    with pytest.raises(DataError, match=r"none is set. Set MPSEARCH_DATA"):
        load_task("shakespeare")
