"""Every export format through the one door that the command line and the Python API use."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
import torch
from rich.console import Console

from mpsearch.errors import ExportError, FormatError, RunError
from mpsearch.export import task_of_model
from mpsearch.export.agreement import outputs_of
from mpsearch.export.exporters import EXPORTERS, export_trial
from mpsearch.export.packed_file import read_packed
from mpsearch.export.packed_model import model_from_packed
from mpsearch.export.policy_file import PolicyFile
from mpsearch.export.verify import verify_packed
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.bench_table import bench_view
from mpsearch.runtime.compiled_model import CompiledModel


@pytest.fixture
def builtin(task, monkeypatch):
    """Let the tiny task count as built in."""
    monkeypatch.setattr(task_of_model, "BUILT_IN_TASKS", {"digits": "tiny"})
    monkeypatch.setattr(task_of_model, "load_task", lambda name, args: task)


@pytest.mark.parametrize("kind", EXPORTERS)
def test_every_format_writes_what_it_says_it_wrote(trained_run, tmp_path, kind):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out", format=kind)
    assert written.exists()


@pytest.mark.parametrize("kind", EXPORTERS)
def test_every_format_refuses_a_failed_trial(finished_run, tmp_path, kind):
    failed = finished_run.records[-1]
    with pytest.raises(ExportError, match="failed: the loss became NaN"):
        export_trial(finished_run, failed, tmp_path / "out", format=kind)


def test_an_unknown_format_is_refused_with_the_known_ones(finished_run, tmp_path):
    with pytest.raises(ExportError, match="policy, packed; got 'onnx'"):
        export_trial(finished_run, finished_run.records[0], tmp_path / "out", format="onnx")


def test_the_packed_model_returns_what_the_trial_returned(trained_run, task, tmp_path):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out")
    packed = read_packed(written)
    assert packed.manifest.check.agreement == 1.0
    assert packed.manifest.check.max_abs_error < 1e-4
    loaded = model_from_packed(packed, task)
    assert isinstance(loaded.model, CompiledModel)
    assert torch.allclose(outputs_of(loaded.model, task.validation.inputs), packed.check_outputs, atol=1e-4)


def test_a_shared_tensor_is_stored_once_and_quantized_weights_not_as_floats(trained_run, tmp_path):
    packed = read_packed(export_trial(trained_run, trained_run.records[0], tmp_path / "out"))
    assert set(packed.layers) == {"conv1", "shared", "conv2", "middle", "head"}
    assert not [
        name for name in packed.floats if name.startswith(("conv1", "shared", "again", "conv2", "head"))
    ]
    assert {"last.weight", "bn1.running_mean", "bn2.num_batches_tracked"} <= set(packed.floats)


def test_verify_measures_beside_the_prediction_and_compares_with_the_trial(trained_run, tmp_path, builtin):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out")
    steps: list[str] = []
    report = verify_packed(written, on_step=steps.append)
    assert steps
    assert report.agreement == 1.0
    assert report.score == report.expected_score
    assert report.predicted_latency_s == 5e-5
    assert report.quartiles_s[0] <= report.measured_latency_s <= report.quartiles_s[1]
    assert report.torch_fp32_latency_s > 0
    assert json.loads(json.dumps(report.to_dict()))["n_samples"] == 80
    assert report.is_compiled
    assert "compiled" in text_of(bench_view(report))


def test_a_model_of_unknown_operators_runs_in_torch_and_bench_says_why(
    trained_run, task, tmp_path, builtin, monkeypatch
):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out")
    wrapped = dataclasses.replace(task, build_model=lambda: with_sigmoid(task.build_model()))
    monkeypatch.setattr(task_of_model, "load_task", lambda name, args: wrapped)
    report = verify_packed(written)
    assert not report.is_compiled
    assert report.to_dict()["compiled"] is False
    assert any("sigmoid" in reason for reason in report.eager_reasons)
    assert "in torch" in text_of(bench_view(report))
    assert "sigmoid" in text_of(bench_view(report))


def with_sigmoid(model):
    forward = model.forward
    model.forward = lambda x: torch.sigmoid(forward(x))
    return model


def text_of(view):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(view)
    return console.export_text()


def test_a_task_that_is_not_built_in_is_run_only_if_the_user_names_it(trained_run, tmp_path, monkeypatch):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out")
    monkeypatch.setattr(task_of_model, "BUILT_IN_TASKS", {})
    monkeypatch.setattr(task_of_model, "load_task", lambda name, args: pytest.fail("ran code"))
    with pytest.raises(ExportError, match="--task digits"):
        verify_packed(written)


def test_without_the_samples_of_the_export_it_is_timed_and_not_compared(
    trained_run, task, tmp_path, builtin, monkeypatch
):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out")
    changed = dataclasses.replace(task, validation=task.train)
    monkeypatch.setattr(task_of_model, "load_task", lambda name, args: changed)
    report = verify_packed(written)
    assert (report.agreement, report.max_abs_error, report.score, report.expected_score) == (None,) * 4
    assert report.n_samples == 0
    assert report.measured_latency_s > 0
    text = text_of(bench_view(report))
    assert "not compared" in text
    assert "agree" not in text


def test_another_architecture_is_refused(trained_run, task, tmp_path):
    packed = read_packed(export_trial(trained_run, trained_run.records[0], tmp_path / "out"))
    wider = dataclasses.replace(task, build_model=lambda: torch.nn.Sequential(torch.nn.Linear(3, 3)))
    with pytest.raises(ExportError, match="must build the model that was packed"):
        model_from_packed(packed, wider)


def test_a_trial_on_the_front_whose_weights_were_not_copied_says_so(trained_run, tmp_path):
    number = trained_run.front.numbers[0]
    trained_run.checkpoint(number).unlink()
    with pytest.raises(RunError, match=r"not there. Restore them .* --format policy"):
        export_trial(trained_run, trained_run.trial(number), tmp_path / "out")


def test_a_policy_file_comes_back(finished_run, tmp_path):
    record = finished_run.records[8]
    written = export_trial(finished_run, record, tmp_path / "p.json", format="policy")
    read = PolicyFile.load(written)
    assert written == tmp_path / "p.json"
    assert (read.policy, read.trial, read.memory_bytes) == (record.policy, 8, round(record.memory_bytes))
    assert isinstance(read.policy, PrecisionPolicy)
    assert json.loads(written.read_text())["layers"] == record.policy.names()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 99},
        {"schema": "1"},
        {"layers": {"a": "w3a3"}},
        {"layers": []},
        {"costs": None},
        {"origin": {"run": 1, "trial": 1}},
        {"score": {"metric": "accuracy", "value": True}},
    ],
)
def test_a_policy_file_that_breaks_the_format_is_a_format_error(finished_run, tmp_path, change):
    written = export_trial(finished_run, finished_run.records[8], tmp_path / "p.json", format="policy")
    written.write_text(json.dumps({**json.loads(written.read_text()), **change}))
    with pytest.raises(FormatError):
        PolicyFile.load(written)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", '{"schema": 1}', "[" * 100_000])
def test_a_damaged_policy_file_is_a_format_error(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(FormatError):
        PolicyFile.load(tmp_path / "p.json")


@pytest.fixture
def run_of_a_file(trained_run, tmp_path):
    """`trained_run`, its task named by a file of the user's."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("")
    reference = dataclasses.replace(trained_run.space.task, name=f"{tmp_path}/code/mine.py:make")
    return dataclasses.replace(trained_run, space=dataclasses.replace(trained_run.space, task=reference))


@pytest.mark.parametrize("kind", EXPORTERS)
def test_no_format_holds_an_absolute_path_to_the_task(run_of_a_file, tmp_path, kind):
    written = export_trial(run_of_a_file, run_of_a_file.records[0], tmp_path / "out" / "here", format=kind)
    file = written / "manifest.json" if kind == "packed" else written / "policy.json"
    text = (file if written.is_dir() else written).read_text()
    assert str(tmp_path) not in text
    assert "../../code/mine.py:make" in text


def test_a_packed_model_says_how_to_name_its_task_from_here(run_of_a_file, tmp_path, monkeypatch):
    written = export_trial(run_of_a_file, run_of_a_file.records[0], tmp_path / "out")
    (tmp_path / "down").mkdir()
    monkeypatch.chdir(tmp_path / "down")
    with pytest.raises(ExportError, match=r"--task \.\./code/mine.py:make`"):
        verify_packed(written)
    (tmp_path / "code" / "mine.py").unlink()
    with pytest.raises(ExportError, match=r"--task PATH-TO/mine.py:make`"):
        verify_packed(written)
