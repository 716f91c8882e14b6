import pytest

from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.profile import HardwareProfile, Measurement, PassMeasurement, RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import call_step
from mpsearch.precision.scheme import SCHEMES, Scheme


def law_s(shape: LayerShape, scheme: Scheme) -> float:
    return 1e-6 + 1e-11 * shape.macs * scheme.weight_bits + 1e-10 * shape.output_count


def measurement(shape: LayerShape, scheme: Scheme) -> Measurement:
    latency_s = law_s(shape, scheme)
    return Measurement(
        shape=call_step(shape, scheme),
        latency_s=latency_s,
        quartiles_s=(0.9 * latency_s, 1.2 * latency_s),
        p95_s=1.5 * latency_s,
        p99_s=2 * latency_s,
        repetitions=11,
        footprint_bytes=1000,
    )


def passes(model_fingerprint: str, pass_s: float) -> PassMeasurement:
    return PassMeasurement(
        model_fingerprint=model_fingerprint,
        pass_s=pass_s,
        break_s=1e-7,
        tail_p95=0.5,
        tail_p99=0.25,
        passes=100,
        reference_s=1e-5,
    )


@pytest.fixture
def fingerprint():
    return MachineFingerprint(
        cpu_model="Test CPU",
        architecture="x86_64",
        isa_features=("avx2",),
        physical_cores=2,
        logical_cores=4,
        usable_cores=4,
        caches_bytes=(("L1d", 32768), ("L2", 1048576)),
        kernels=("avx2", "scalar"),
        kernel_version="1.0",
        compiler="gcc 12",
        torch_version="2.9",
        operating_system="Linux",
        python="3.12",
    )


@pytest.fixture
def profile(fingerprint):
    shapes = [
        LayerShape(operator="linear", batch=1, in_channels=k, out_channels=n)
        for k in (8, 32, 128)
        for n in (4, 64, 256)
    ]
    conv = LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=3,
        out_channels=8,
        spatial=(8, 8),
        kernel=(3, 3),
        padding=(1, 1),
    )
    return HardwareProfile(
        name="test machine",
        fingerprint=fingerprint,
        threads=2,
        created="2025-01-01T00:00:00+00:00",
        measurements=tuple(measurement(s, scheme) for s in (*shapes, conv) for scheme in SCHEMES.values()),
        remainders=(
            RemainderMeasurement(
                model_fingerprint="0123456789abcdef",
                input_shapes=((1, 3, 8, 8),),
                latency_s=2e-5,
                quartiles_s=(1.9e-5, 2.2e-5),
                p95_s=3e-5,
                p99_s=4e-5,
                repetitions=7,
            ),
        ),
        passes=(passes("fedcba9876543210", 2e-6), passes("a" * 16, 4e-6)),
        memory_bandwidth_bytes_per_s=1.25e10,
        notes=("measured by nobody",),
    )
