"""The Python API on a model in memory, from search to export."""

import math

import pytest
import torch

import mpsearch


@pytest.fixture
def data(tiny_task):
    return tuple(
        (part.inputs, part.targets) for part in (tiny_task.train, tiny_task.validation, tiny_task.test)
    )


@pytest.fixture
def search(tiny_module, data, profile, tmp_path):
    def call(**changes):
        arguments = {
            "schemes": ["w1.58a8", "w8a8", "w32a32"],
            "trial": mpsearch.TrialRecipe(
                steps=2, high_bit_steps=1, batch_size=32, calibration_samples=32, bn_samples=32
            ),
            "baseline": mpsearch.BaselineRecipe(epochs=2, batch_size=32),
            "trials": 5,
            "workers": 0,
            "out": tmp_path / "run",
            "hw": profile,
            "progress": False,
            **changes,
        }
        torch.manual_seed(0)  # the same model in every call
        return mpsearch.search(tiny_module.build_model(0.0), **{"data": data, **arguments})

    return call


def test_a_model_in_memory_is_searched_and_its_knee_exported(search, tmp_path):
    run = search(layers=[{"match": "0", "pin": "w8a8"}], budgets={"memory": "100KB"})
    assert isinstance(run, mpsearch.Run)
    assert len(run.trials) == 5
    assert all(record.policy["0"].name == "w8a8" for record in run.records)
    assert run.budgets.memory_bytes == 100_000
    assert set(run.test_scores) == set(run.front.numbers)
    assert run.front.knee().export(tmp_path / "policy.json", format="policy").exists()
    assert run.front.knee().export(tmp_path / "packed").exists()


def test_a_test_score_that_is_no_number_is_left_out(search, data):
    train, validation, (inputs, targets) = data

    def probability(output, targets):
        return output.softmax(1).gather(1, targets[:, None])[:, 0]

    seen = []
    unseen = inputs * math.nan, targets
    run = search(data=(train, validation, unseen), metric=probability, on_event=seen.append)
    assert len(run.records) == 5
    assert run.test_scores == {}
    assert run.baseline.test_score is None
    told = [event for event in seen if "The test score of 32 bits is nan" in getattr(event, "message", "")]
    assert [event.is_warning for event in told] == [True]


def test_a_run_of_a_model_in_memory_is_opened_with_its_task(search, tmp_path, tiny_module, data):
    run = search()
    task = mpsearch.task_from(tiny_module.build_model(0.0), data)
    opened = mpsearch.load_run(run.path, task=task)
    assert opened.records == run.records
    assert opened.export(opened.front.knee(), tmp_path / "packed").exists()


def test_searching_again_goes_on(search):
    assert len(search(trials=7).records) == 7
    assert [r.number for r in search(trials=8).records] == list(range(8))


def test_several_workers_search_a_model_in_memory(search):
    """Its module is none that a worker could import, and its metric has no name at all."""
    run = search(workers=2, metric=lambda output, targets: (output.argmax(-1) == targets).float())
    assert [record.state for record in run.records] == ["complete"] * 5


def test_one_worker_finds_what_the_process_that_searches_does(search, tmp_path):
    here, there = search(), search(workers=1, out=tmp_path / "there")
    assert [(r.policy, r.score) for r in here.records] == [(r.policy, r.score) for r in there.records]


def test_a_trial_over_its_time_limit_fails_alone(search):
    run = search(workers=1, trials=4, trial_timeout="1h")
    assert all(record.is_complete for record in run.records)
    assert "trial_timeout: 3600.0s" in (run.path / "space.yaml").read_text()
    run = search(workers=1, trials=5, trial_timeout=1e-4)
    assert [record.state for record in run.records] == ["complete"] * 4 + ["failed"]
    assert "time limit of 100 us" in run.records[-1].failure


def test_a_time_limit_needs_a_worker(search):
    with pytest.raises(mpsearch.ConfigError, match="at least one worker"):
        search(trial_timeout="10m")


def test_events_are_told_to_the_caller(search):
    events = []
    search(on_event=events.append)
    assert type(events[-1]).__name__ == "SearchFinished"


@pytest.mark.parametrize("arguments", [{"schemes": ["w8a8"]}, {"pretrained": True}])
def test_what_a_space_says_itself_is_not_said_again_in_the_call(arguments):
    with pytest.raises(mpsearch.ConfigError, match="change it there"):
        mpsearch.search("digits", **arguments)


def test_a_model_without_data_and_a_task_with_it_are_refused(tiny_task, tiny_module, data):
    with pytest.raises(mpsearch.ConfigError, match="needs `data`"):
        mpsearch.search(tiny_module.build_model(0.0))
    with pytest.raises(mpsearch.ConfigError, match="holds its data"):
        mpsearch.search(tiny_task, data)


def test_a_wrong_rule_is_told_without_a_line(search):
    with pytest.raises(mpsearch.ConfigError, match=r"unknown key `mach` in `layers\[0\]`"):
        search(layers=[{"mach": "0", "pin": "w8a8"}])


def test_layers_are_pinned_forbidden_and_freed_from_python(search):
    search(trials=3)
    run = search(trials=6, pin={"0": "w8a8"}, forbid={"[24]": ["w32a32"]})
    assert all(run.overrides.allows(record.policy) for record in run.records[3:])
    assert not all(record.feasible for record in run.records[:3])
    assert not search(trials=6, pin="0=w8a8", free="0").overrides.without(["0"])


def test_a_run_of_a_model_in_memory_does_not_go_on_by_its_folder_alone(search):
    run = search()
    with pytest.raises(mpsearch.ConfigError, match="was an object in Python"):
        mpsearch.search(run.path, trials=7, progress=False)
    with pytest.raises(mpsearch.ConfigError, match="A run goes on in its own folder"):
        mpsearch.search(run.path, out="elsewhere", progress=False)
