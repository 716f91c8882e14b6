import numpy as np
import pytest

from mpsearch.cost.cost_model import CostModel
from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.profile import HardwareProfile, Measurement, RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.plan.step import StepShape, call_step
from mpsearch.precision.scheme import SCHEMES

FINGERPRINT = "0123456789abcdef"
CONV = LayerShape(
    operator="conv2d",
    batch=1,
    in_channels=3,
    out_channels=8,
    spatial=(8, 8),
    kernel=(3, 3),
    padding=(1, 1),
    has_bias=False,
)
LINEAR = LayerShape(operator="linear", batch=1, in_channels=64, out_channels=64)
HEAD = LayerShape(operator="linear", batch=1, in_channels=64, out_channels=10)


def measured(shape: StepShape, latency_s: float) -> Measurement:
    return Measurement(
        shape=shape,
        latency_s=latency_s,
        quartiles_s=(latency_s, latency_s),
        p95_s=1.25 * latency_s,
        p99_s=1.75 * latency_s,
        repetitions=3,
    )


@pytest.fixture
def layers():
    """A convolution, a layer that is called three times, and a head."""
    return tuple(
        TracedLayer(name=name, calls=calls, weight_count=calls[0].weight_count, has_bias=calls[0].has_bias)
        for name, calls in (("conv", (CONV,)), ("step", (LINEAR,) * 3), ("head", (HEAD,)))
    )


@pytest.fixture
def profile():
    rng = np.random.default_rng(0)
    measurements = []
    for shape in (CONV, LINEAR, HEAD):
        for scheme in SCHEMES.values():
            latency_s = float(rng.uniform(1e-6, 1e-4))
            measurements.append(measured(call_step(shape, scheme), latency_s))
    return HardwareProfile(
        name="test machine",
        fingerprint=MachineFingerprint(
            cpu_model="Test CPU",
            architecture="x86_64",
            isa_features=(),
            physical_cores=1,
            logical_cores=1,
            usable_cores=1,
            caches_bytes=(),
            kernels=("scalar",),
            kernel_version="1.0",
            compiler="gcc 12",
            torch_version="2.9",
            operating_system="Linux",
            python="3.12",
        ),
        threads=1,
        created="2025-01-01T00:00:00+00:00",
        measurements=tuple(measurements),
        remainders=(
            RemainderMeasurement(
                model_fingerprint=FINGERPRINT,
                input_shapes=((1, 3, 8, 8),),
                latency_s=2e-5,
                quartiles_s=(1.9e-5, 2.2e-5),
                p95_s=3e-5,
                p99_s=4e-5,
                repetitions=7,
            ),
        ),
        memory_bandwidth_bytes_per_s=1e10,
    )


@pytest.fixture
def trace(layers):
    return ModelTrace(
        layers=layers,
        unquantized=(),
        other_parameter_bytes=1234,
        peak_activation_bytes=4 * (3 * 64 + 8 * 64),
        fingerprint=FINGERPRINT,
    )


@pytest.fixture
def build(trace, profile):
    def build(**changes):
        given = {
            "trace": trace,
            "schemes_per_layer": {layer.name: SCHEMES.values() for layer in trace.layers},
            "profile": profile,
        } | changes
        return CostModel.build(given.pop("trace"), **given)

    return build


@pytest.fixture
def model(build):
    return build()
