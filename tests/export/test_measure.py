"""Timing the trials of a run: what is timed, not how long it takes."""

import dataclasses

import pytest

from mpsearch.errors import ConfigError, ExportError
from mpsearch.export import measure
from mpsearch.export.measure import measure_trials
from mpsearch.profiling.timer import PassSettings
from mpsearch.runtime.compiled_model import CompiledModel
from mpsearch.search.measured import measured_line, read_measured
from mpsearch.search.run_folder import RunFolder


@pytest.fixture
def timed(monkeypatch):
    """The models that were timed, each for a moment only."""
    models = []
    time_models = measure.time_models

    def quickly(given, inputs, threads):
        models.append((given, threads))
        return time_models(given, inputs, threads, PassSettings(turns=1, passes=2, turn_s=0, patience=0))

    monkeypatch.setattr(measure, "time_models", quickly)
    return models


def test_a_trial_with_weights_is_timed_as_it_would_be_exported(trained_run, timed):
    told = []
    (found,) = measure_trials(
        trained_run, trained_run.records, on_step=lambda r, step: told.append((r.number, step))
    )
    assert (found.number, found.agreement, found.threads) == (0, 1.0, trained_run.profile.threads)
    assert found.is_compiled
    assert found.repetitions == 2
    assert found.latency_s > 0
    ((models, threads),) = timed
    assert isinstance(models[0], CompiledModel)
    assert threads == 1
    assert told == [(0, "packing"), (0, "timing")]


def test_a_trial_without_weights_is_timed_with_random_ones_and_says_so(trained_run, timed):
    trained_run.checkpoint(0).unlink()
    (found,) = measure_trials(trained_run, trained_run.records, threads=2)
    assert found.agreement is None
    assert found.is_compiled
    assert found.threads == 2
    assert isinstance(timed[0][0][0], CompiledModel)


def test_another_model_than_the_searched_one_is_not_timed(trained_run, timed):
    trained_run.checkpoint(0).unlink()
    other = dataclasses.replace(trained_run.model, fingerprint="0" * 16)
    with pytest.raises(ExportError, match="must build the model that was searched"):
        list(measure_trials(dataclasses.replace(trained_run, model=other), trained_run.records))


def test_what_cannot_be_timed_is_refused_before_anything_is(finished_run, timed):
    with pytest.raises(ExportError, match="trial 29 failed: the loss became NaN"):
        measure_trials(finished_run, finished_run.records)
    with pytest.raises(ConfigError, match="`threads` must be 1 or more"):
        measure_trials(finished_run, finished_run.records[:1], threads=0)
    assert timed == []


def test_what_is_measured_is_kept_line_by_line_the_last_of_a_trial_counts(trained_run, timed):
    folder = RunFolder(trained_run.path)
    found = [next(measure_trials(trained_run, trained_run.records)) for _ in range(2)]
    for measured in found:
        folder.append_measured(measured)
    assert folder.measured_file.read_text() == "".join(measured_line(m) + "\n" for m in found)
    assert read_measured(folder.measured_file) == {0: found[1]}
