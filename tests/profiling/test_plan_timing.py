"""What is told of steps and passes from their samples."""

import numpy as np
import pytest

from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling.plan_timing import PassSamples, PlanSamples, reference_call, time_plans
from mpsearch.profiling.random_plan import RandomPlans

LOAD = StepShape(kind="load", batch=1, size=(4, 4, 1))
STORE = StepShape(kind="store", batch=1, size=(1, 1, 8))


def samples_of(floats, pass_s, break_s, count=50):
    """Steps of 10 and 20 us, `floats` of 30 us, and passes that take what they take together, and more."""
    rng = np.random.default_rng(floats)
    from mpsearch.models.layer_shape import LayerShape

    layer = LayerShape(operator="linear", batch=1, in_channels=16, out_channels=8)
    float_layer = StepShape(
        kind="float_layer", batch=1, size=(1, 1, 16), layer=layer, scheme=SCHEMES["w32a32"]
    )
    shapes = (LOAD, *[float_layer] * floats, STORE)
    step_s = np.array([10e-6, *[30e-6] * floats, 20e-6]) * rng.uniform(0.99, 1.01, (count, len(shapes)))
    steps = np.median(step_s, axis=0).sum()
    return PassSamples(shapes=shapes, step_s=step_s, pass_s=np.full(count, steps + pass_s + floats * break_s))


def plan_samples(pass_s, break_s):
    samples = PlanSamples(reference_s=[1e-5, 1.2e-5, 1.1e-5])
    for floats in (0, 1, 3, 4):
        samples.add(samples_of(floats, pass_s, break_s))
    return samples


@pytest.mark.parametrize(("pass_s", "break_s"), [(5e-6, 2e-6), (5e-6, 0.0), (0.0, 3e-6)])
def test_what_passes_take_beside_their_steps_is_found(pass_s, break_s):
    fitted = plan_samples(pass_s, break_s).whole_passes("f" * 16)
    assert fitted.pass_s == pytest.approx(pass_s, abs=1e-9)
    assert fitted.break_s == pytest.approx(break_s, abs=1e-9)
    assert fitted.reference_s == pytest.approx(1.1e-5)
    assert fitted.passes == 200
    assert fitted.tail_p95 == 0  # all passes took the same time


def test_tails_that_add_up_have_a_factor_of_one():
    late = np.where(np.arange(100) % 10 == 0, 2e-6, 1e-6)
    samples = PlanSamples(reference_s=[1e-5])
    samples.add(PassSamples(shapes=(LOAD, STORE), step_s=np.stack([late, late], 1), pass_s=2 * late))
    assert samples.whole_passes("f" * 16).tail_p95 == pytest.approx(1)
    one = samples.measurement(LOAD, footprint_bytes=7)
    assert (one.latency_s, one.p95_s, one.footprint_bytes) == (1e-6, 2e-6, 7)


def test_places_of_a_step_are_pooled():
    samples = plan_samples(1e-6, 1e-6)
    float_layer = samples.of_model[-1].shapes[1]
    assert samples.measurement(float_layer, footprint_bytes=0).repetitions == 50 * (1 + 3 + 4)


def test_compiled_models_are_timed_step_by_step_and_as_a_whole(network, quick_passes):
    model, inputs, trace = network
    plans = RandomPlans(model, trace.graph, {la.name: la.calls[0] for la in trace.layers}, threads=1)
    names = [layer.name for layer in trace.layers]
    compiled = [plans.build(dict.fromkeys(names, SCHEMES[name])) for name in ("w1a1", "w32a32")]
    timed, references, is_noisy = time_plans(compiled, inputs[0], reference_call(1), quick_passes)
    assert not is_noisy
    assert len(references) > 0
    for one, packed in zip(timed, compiled, strict=True):
        assert one.shapes == tuple(step.shape for step in packed.steps)
        assert one.step_s.shape == (2, len(packed.steps))
        assert one.pass_s.shape == (2,)
        assert (one.pass_s > 0).all()


def test_a_32_bit_layer_takes_what_passes_take_more_because_of_it():
    from mpsearch.models.layer_shape import LayerShape

    dear, cheap = (
        StepShape(
            kind="float_layer",
            batch=1,
            size=(1, 1, size),
            layer=LayerShape(operator="linear", batch=1, in_channels=size, out_channels=8),
            scheme=SCHEMES["w32a32"],
        )
        for size in (16, 32)
    )
    samples = PlanSamples(reference_s=[1e-5])
    for floats in ((), (dear,), (cheap,), (dear, cheap), (dear, dear, cheap), (cheap, cheap)):
        shapes = (LOAD, *floats, STORE)
        whole_s = 20e-6 * len(shapes) - 1e-6 + 4e-6 * floats.count(dear)
        samples.add(
            PassSamples(shapes=shapes, step_s=np.full((50, len(shapes)), 20e-6), pass_s=np.full(50, whole_s))
        )
    fitted = samples.whole_passes("f" * 16)
    assert fitted.pass_s == pytest.approx(-1e-6, abs=0.2e-6)  # the clock's readings
    latencies = [samples.measurement(shape, footprint_bytes=0).latency_s for shape in (dear, cheap)]
    assert latencies[0] + fitted.break_s == pytest.approx(24e-6, abs=0.3e-6)
    assert latencies[1] + fitted.break_s == pytest.approx(20e-6, abs=0.3e-6)
