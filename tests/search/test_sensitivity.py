"""What layers lose at few bits: found out once, kept in the run folder, told to the samplers that listen."""

import json
from dataclasses import replace

import numpy as np
import pytest
from optuna.samplers import RandomSampler

from mpsearch.cli.search import SensitivityName
from mpsearch.errors import ConfigError, FormatError, TaskError, TrialError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.engine import run_search
from mpsearch.search.events import Notice, StageStarted
from mpsearch.search.overrides import Overrides
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.samplers import SAMPLERS, SamplerFactory
from mpsearch.search.sensitivity import SENSITIVITIES, Sensitivity, SensitivityMethod, WidthSensitivity
from mpsearch.search.sensitivity_file import read_sensitivities, write_sensitivity
from mpsearch.search.space_file import parse_space

LOW, HIGH = SCHEMES["w1a1"], SCHEMES["w8a8"]
FOUND = Sensitivity(
    method="loss",
    samples=60,
    seconds=1.5,
    widths=(
        WidthSensitivity(
            width=None, baseline="abc", loss=0.5, added={"0": {LOW: 0.25, HIGH: 0.0}, "2": {LOW: 1, HIGH: 0}}
        ),
    ),
)


@pytest.fixture
def told(monkeypatch):
    """What a sampler that listens was told at each ask."""
    knowledge = []

    def make(seed, given):
        knowledge.append(given)
        return RandomSampler(seed=seed)

    monkeypatch.setitem(SAMPLERS, "told", SamplerFactory(make, most_told=500, uses_knowledge=True))
    return knowledge


@pytest.fixture
def search(space_of, profile, tmp_path):
    """A function: a search of the tiny space in one folder; returns its events."""

    def run(trials, sampler="told", **options):
        events = []
        settings = {"out": tmp_path / "run", "profile": profile, "on_event": events.append, **options}
        run_search(space_of(), trials=trials, sampler=sampler, **settings)
        return events

    return run


def stages(events):
    return [event.stage for event in events if isinstance(event, StageStarted)]


def test_a_sampler_that_listens_is_told_the_costs_and_what_each_choice_loses(search, told, tmp_path):
    assert "sensitivity" in stages(search(7))
    policies, proxy = told[-1].policies, told[-1].proxy
    assert proxy.method == "loss"
    assert [len(added) for added in proxy.losses] == policies.sizes.tolist() == [5, 5, 5]
    assert all(added[-1] == 0 for added in proxy.losses)
    assert sum(added.sum() for added in proxy.losses) > 0
    assert told[-1].samples == 60
    stored = read_sensitivities(RunFolder(tmp_path / "run"))["loss"]
    assert stored.samples == 60
    assert stored.seconds > 0


def test_a_search_that_goes_on_reads_what_is_known_and_tells_the_same(search, told):
    search(7)
    before = told[-1].proxy
    assert "sensitivity" not in stages(search(8))
    for ours, theirs in zip(told[-1].proxy.losses, before.losses, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_search_and_a_sampler_that_does_not_listen_ask_for_nothing(search, told, tmp_path):
    assert "sensitivity" not in stages(search(7, sampler="random"))
    assert not told
    assert not RunFolder(tmp_path / "run").sensitivity_file.exists()
    with pytest.raises(ConfigError, match="A sensitivity must be one of loss"):
        search(8, sampler="random", sensitivity="lose")


def test_other_weights_are_asked_anew(search, told, tmp_path):
    search(7)
    folder = RunFolder(tmp_path / "run")
    (old,) = read_sensitivities(folder).values()
    stale = replace(old, widths=tuple(replace(at, baseline="other") for at in old.widths))
    write_sensitivity(folder, stale)
    assert "sensitivity" in stages(search(8))
    assert read_sensitivities(folder)["loss"].widths == old.widths


def test_none_is_a_method_too_and_may_change_from_call_to_call(search, told):
    assert "sensitivity" not in stages(search(7, sensitivity="none"))
    assert told[-1].proxy is None
    assert "sensitivity" in stages(search(8, sensitivity="loss"))
    assert told[-1].proxy is not None


def test_a_method_that_fails_is_told_and_the_search_goes_on_without(search, told, monkeypatch):
    def fail(_probe, _on_progress):
        raise TrialError("The loss with every layer at its highest scheme must be finite; got nan.")

    monkeypatch.setitem(SENSITIVITIES, "loss", SensitivityMethod(measure=fail, says=""))
    events = search(7)
    notices = [event.message for event in events if isinstance(event, Notice) and event.is_warning]
    assert any("begins without sensitivities: 'loss' failed. The loss with" in text for text in notices)
    assert told[-1].proxy is None


def test_a_method_that_finds_no_finite_number_fails_too_and_leaves_no_file(
    search, told, monkeypatch, tmp_path
):
    def odd(probe, _on_progress):
        return tuple(np.full(len(choice.schemes), np.nan) for choice in probe.choices)

    monkeypatch.setitem(SENSITIVITIES, "loss", SensitivityMethod(measure=odd, says=""))
    events = search(7)
    notices = [event.message for event in events if isinstance(event, Notice) and event.is_warning]
    assert any("must be finite" in text and "'loss'" in text for text in notices)
    assert told[-1].proxy is None
    assert not RunFolder(tmp_path / "run").sensitivity_file.exists()


def test_what_overrides_forbid_is_known_all_the_same(search, told):
    search(7, overrides=Overrides.parse({"0": "w8a8"}, None))
    assert [len(added) for added in told[-1].proxy.losses] == [5, 5, 5]


def test_where_the_width_is_a_choice_it_adds_what_its_own_model_loses(
    wide_space, wide_profile, told, tmp_path
):
    run_search(wide_space, out=tmp_path / "run", profile=wide_profile, trials=10, sampler="told")
    *_, of_width = told[-1].proxy.losses
    found = read_sensitivities(RunFolder(tmp_path / "run"))["loss"]
    losses = {at.width: at.loss for at in found.widths}
    assert of_width.tolist() == [losses[width] - min(losses.values()) for width in (0.5, 1, 2)]
    by_hand = np.mean([at.added["0"][LOW] for at in found.widths])
    assert told[-1].proxy.losses[0][0] == pytest.approx(by_hand)


def test_the_command_line_offers_every_method():
    assert [name.value for name in SensitivityName] == [*SENSITIVITIES, "none"]


def test_a_space_names_a_method_and_a_wrong_name_is_refused_with_the_nearest(space):
    text = space.to_yaml().replace("sensitivity: loss", "sensitivity: none")
    assert parse_space(text).search.sensitivity == "none"
    with pytest.raises(ConfigError, match="Did you mean 'loss'"):
        parse_space(space.to_yaml().replace("sensitivity: loss", "sensitivity: los"))


def test_the_file_says_again_what_was_written_and_keeps_other_methods(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    assert read_sensitivities(folder) == {}
    monkeypatch.setitem(SENSITIVITIES, "other", SENSITIVITIES["loss"])
    write_sensitivity(folder, FOUND)
    write_sensitivity(folder, replace(FOUND, method="other"))
    again = replace(FOUND, seconds=2.5)
    write_sensitivity(folder, again)
    assert read_sensitivities(folder) == {"loss": again, "other": replace(FOUND, method="other")}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("method",), "guess"),
        (("method",), ["loss"]),
        (("samples",), 0),
        (("samples",), 1e9),
        (("seconds",), -1),
        (("seconds",), None),
        (("widths",), []),
        (("widths",), "none"),
        (("widths", 0, "width"), -1),
        (("widths", 0, "baseline"), 3),
        (("widths", 0, "loss"), "x"),
        (("widths", 0, "added"), []),
        (("widths", 0, "added", "0"), [1, 2]),
        (("widths", 0, "added", "0", "w1a1"), -0.1),
        (("widths", 0, "added", "0", "w1a1"), None),
        (("widths", 0, "added", "0", "w9a9"), 0.1),
    ],
)
def test_an_odd_file_is_refused_and_says_what_to_do(tmp_path, place, value):
    folder = RunFolder(tmp_path)
    write_sensitivity(folder, FOUND)
    document = json.loads(folder.sensitivity_file.read_text())
    inner = document["methods"][0]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    folder.sensitivity_file.write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"Remove it: a search finds|sensitivity.json"):
        read_sensitivities(folder)


def test_a_truncated_file_of_any_length_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    write_sensitivity(folder, FOUND)
    whole = folder.sensitivity_file.read_bytes()
    for length in range(len(whole) - 2):
        folder.sensitivity_file.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            read_sensitivities(folder)


def test_sensitivities_of_another_space_are_refused(space, trace):
    from mpsearch.search.resolve import resolve

    with pytest.raises(FormatError, match="must be of this run's space"):
        FOUND.proxy(resolve(space, trace))


def test_a_task_that_fails_is_an_error_of_its_own(search, told, monkeypatch):
    def fail(_probe, _on_progress):
        raise TaskError("The metric must run.")

    monkeypatch.setitem(SENSITIVITIES, "loss", SensitivityMethod(measure=fail, says=""))
    with pytest.raises(TaskError, match="The metric must run"):
        search(7)
