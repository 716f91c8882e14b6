from dataclasses import replace

import pytest

from mpsearch.errors import ConfigError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling import profile_machine as module
from mpsearch.profiling.end_to_end import time_model
from mpsearch.profiling.profile_machine import profile_machine

TWO = (SCHEMES["w4a8"], SCHEMES["w32a32"])


@pytest.fixture
def measure(network, quick, monkeypatch):
    monkeypatch.setattr(module, "memory_bandwidth", lambda **_: 1e10)
    _, _, trace = network
    shapes = [(call, scheme) for layer in trace.layers for call in layer.calls for scheme in TWO]

    def measure(**changes):
        given = {"name": "here", "threads": 1, "shapes": shapes, "models": [network], "settings": quick}
        return profile_machine(**(given | changes))

    return measure


def test_everything_a_model_needs_is_measured_and_survives_a_file(measure, network, tmp_path):
    profile = measure()
    for layer in network[2].layers:
        for call in layer.calls:
            assert all(profile.latency_s(call, scheme).origin == "measured" for scheme in TWO)
    assert profile.has_remainder(network[2].fingerprint)
    profile.save(tmp_path / "p.json")
    assert set(HardwareProfile.load(tmp_path / "p.json").measurements) == set(profile.measurements)


def test_progress_counts_to_the_end_and_every_step_is_handed_out(measure):
    steps, saved = [], []
    profile = measure(on_progress=lambda *step: steps.append(step), on_measured=saved.append)
    assert steps[0][:2] == (0, 7)
    assert steps[-1] == (7, 7, "done")
    assert [len(p.measurements) for p in saved] == [0, 2, 4, 6]
    assert saved[-1].measurements == profile.measurements


def test_what_was_measured_here_is_not_measured_again(measure):
    first = measure()
    steps = []
    assert measure(existing=first, on_progress=lambda *step: steps.append(step)) == first
    assert steps == [(0, 0, "done")]


def test_an_interrupted_profile_is_completed(measure):
    saved = []
    complete = measure(on_measured=saved.append)
    steps = []
    again = measure(existing=saved[1], on_progress=lambda *step: steps.append(step))
    assert steps[0][:2] == (0, 4)
    assert {m.key for m in again.measurements} == {m.key for m in complete.measurements}


def test_measurements_of_another_machine_or_thread_count_are_not_mixed_in(measure):
    first = measure()
    elsewhere = replace(first, fingerprint=replace(first.fingerprint, cpu_model="Other CPU"))
    for existing in (elsewhere, replace(first, threads=7)):
        saved = []
        fresh = measure(existing=existing, on_measured=saved.append)
        assert fresh.threads == 1
        assert fresh.matches(first.fingerprint) == ()
        assert len(saved) == 4


def test_a_layer_is_measured_again_where_its_weights_now_come_from_another_cache(measure):
    first = measure()
    far = replace(first, measurements=tuple(replace(m, footprint_bytes=1 << 40) for m in first.measurements))
    assert all(m.footprint_bytes < 1 << 40 for m in measure(existing=far).measurements)


def test_a_noisy_machine_leaves_a_note_in_every_profile_that_is_handed_out(measure, quick):
    saved = []
    profile = measure(settings=replace(quick, noise_limit=-1.0), on_measured=saved.append)
    for handed_out in (*saved, profile):
        assert any("too busy" in note and "Profile again" in note for note in handed_out.notes)
    assert saved[-1] == profile
    assert any("w4a8" in note for note in saved[1].notes)


def test_threads_must_be_positive(measure):
    with pytest.raises(ConfigError, match="at least 1; got 0"):
        measure(threads=0)


def test_a_whole_model_is_timed_on_the_threads_that_are_asked_for(network, quick):
    model, inputs, _ = network
    timing = time_model(model, inputs, 1, quick)
    assert timing.median_s > 0
    assert timing.quartiles_s[0] <= timing.median_s <= timing.quartiles_s[1]
