from dataclasses import replace

import pytest

from mpsearch.cost.cost_model import CostModel
from mpsearch.errors import ConfigError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import call_step
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling import profile_machine as module
from mpsearch.profiling.end_to_end import time_models
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel

TWO = (SCHEMES["w4a8"], SCHEMES["w32a32"])


def model_of(network, *, in_torch):
    model, inputs, trace = network
    return ProfiledModel(
        model=model,
        example_inputs=inputs,
        trace=replace(trace, graph=None) if in_torch else trace,
        schemes={layer.name: TWO for layer in trace.layers},
    )


@pytest.fixture(params=["plan", "torch"])
def profiled(network, request):
    return model_of(network, in_torch=request.param == "torch")


@pytest.fixture
def measure(profiled, quick, quick_passes, monkeypatch):
    monkeypatch.setattr(module, "memory_bandwidth", lambda **_: 1e10)

    def measure(**changes):
        given = {
            "name": "here",
            "threads": 1,
            "models": [profiled],
            "settings": quick,
            "pass_settings": quick_passes,
        }
        return profile_machine(**(given | changes))

    return measure


def test_everything_a_model_needs_is_measured_and_survives_a_file(measure, profiled, tmp_path):
    profile = measure()
    assert profiled.is_measured_in(profile)
    for scheme in TWO:
        costs = CostModel.build(profiled.trace, schemes_per_layer=profiled.schemes, profile=profile)
        report = costs.evaluate(PrecisionPolicy.uniform(costs.layers, scheme))
        assert all(layer.origin == "measured" for layer in report.layers)
    profile.save(tmp_path / "p.json")
    assert set(HardwareProfile.load(tmp_path / "p.json").measurements) == set(profile.measurements)


def test_the_32_bit_model_is_measured_even_where_no_layer_may_stay_so(measure, profiled):
    narrow = replace(profiled, schemes=dict.fromkeys(profiled.schemes, TWO[:1]))
    profile = measure(models=[narrow])
    floats = {layer.name: (SCHEMES["w32a32"],) for layer in profiled.trace.layers}
    CostModel.build(profiled.trace, schemes_per_layer=floats, profile=profile)


def test_progress_counts_to_the_end_and_every_part_is_handed_out(measure):
    steps, saved = [], []
    profile = measure(on_progress=lambda *step: steps.append(step), on_measured=saved.append)
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1] == steps[0][1]
    assert steps[-1][2] == "done"
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    counts = [len(p.measurements) for p in saved]
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert set(saved[-1].measurements) == set(profile.measurements)


def test_what_was_measured_here_is_not_measured_again(measure):
    first = measure()
    steps = []
    assert measure(existing=first, on_progress=lambda *step: steps.append(step)) == first
    assert steps == [(0, 0, "done")]


def test_an_interrupted_profile_is_completed(measure, profiled):
    saved = []
    complete = measure(on_measured=saved.append)
    again = measure(existing=saved[0])
    assert {m.shape for m in again.measurements} == {m.shape for m in complete.measurements}
    kept = set(saved[0].measurements) & set(again.measurements)
    assert kept == set(saved[0].measurements)
    assert profiled.is_measured_in(again)


def test_measurements_of_another_machine_or_thread_count_are_not_mixed_in(measure):
    first = measure()
    second_s = {"latency_s": 1.0, "quartiles_s": (1.0, 1.0), "p95_s": 1.0, "p99_s": 1.0}
    first = replace(first, measurements=tuple(replace(m, **second_s) for m in first.measurements))
    elsewhere = replace(first, fingerprint=replace(first.fingerprint, cpu_model="Other CPU"))
    for existing in (elsewhere, replace(first, threads=7)):
        fresh = measure(existing=existing)
        assert fresh.threads == 1
        assert fresh.matches(first.fingerprint) == ()
        assert all(m.latency_s < 1.0 for m in fresh.measurements)


def test_a_step_is_measured_again_where_weights_now_come_from_another_cache(measure):
    first = measure()
    far = replace(first, measurements=tuple(replace(m, footprint_bytes=1 << 40) for m in first.measurements))
    assert all(m.footprint_bytes < 1 << 40 for m in measure(existing=far).measurements)


def test_a_noisy_machine_leaves_a_note_in_every_profile_that_is_handed_out(measure, quick, quick_passes):
    saved = []
    profile = measure(
        settings=replace(quick, noise_limit=-1.0),
        pass_settings=replace(quick_passes, noise_limit=-1.0),
        on_measured=saved.append,
    )
    for handed_out in (*saved, profile):
        assert any("too busy" in note and "Profile again" in note for note in handed_out.notes)


def test_a_grid_holds_steps_and_calls_of_every_shape(measure, monkeypatch):
    shape = LayerShape(
        operator="conv1d",
        batch=1,
        in_channels=4,
        out_channels=6,
        spatial=(1, 9),
        kernel=(1, 3),
        padding=(0, 1),
    )
    monkeypatch.setattr("mpsearch.profiling.grid.grid_shapes", lambda: (shape,))
    profile = measure(models=[], grid=True)
    for scheme in SCHEMES.values():
        assert profile.measured(call_step(shape, scheme)) is not None
    layers = [m.shape for m in profile.measurements if m.shape.layer == shape and m.shape.kind == "layer"]
    outputs = {(step.scheme.name, step.outputs) for step in layers}
    assert len(outputs) == 5 * 3
    assert measure(models=[], grid=True, existing=profile) == profile


def test_threads_must_be_positive(measure):
    with pytest.raises(ConfigError, match="at least 1; got 0"):
        measure(threads=0)


def test_whole_models_are_timed_pass_by_pass(network, quick_passes):
    model, inputs, _ = network
    for timing in time_models([model, model], inputs, 1, quick_passes):
        assert timing.repetitions == quick_passes.turns * quick_passes.passes
        assert 0 < timing.quartiles_s[0] <= timing.median_s <= timing.p95_s <= timing.p99_s
