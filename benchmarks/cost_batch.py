"""How long do the costs of many policies take? Run: python benchmarks/cost_batch.py [POLICIES] [LAYERS]

A made-up network of so many layers in a chain with residual joins, each at any of six schemes, every step
with a made-up latency: a million policies of 200 layers, on one core.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.layer_terms import needed_steps
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.hardware.profile import HardwareProfile, Measurement, PassMeasurement
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import SCHEMES, Scheme

SIZE = (8, 8, 16)


def residual_network(layers: int) -> ModelTrace:
    """3x3 convolutions; every second one adds what its block began with."""
    shape = LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=16,
        out_channels=16,
        spatial=SIZE[:2],
        kernel=(3, 3),
        padding=(1, 1),
    )
    nodes = [Node(name="x", kind="input", inputs=(), size=SIZE)]
    block = value = "x"
    for number in range(layers):
        name = f"conv{number}"
        nodes.append(Node(name=name, kind="layer", inputs=(value,), size=SIZE, layer=name, shape=shape))
        if number % 2:
            nodes.append(Node(name=f"add{number}", kind="add", inputs=(name, block), size=SIZE))
            name = f"add{number}"
        nodes.append(Node(name=f"relu{number}", kind="clamp", inputs=(name,), size=SIZE, low=0.0))
        value = f"relu{number}"
        block = value if number % 2 else block
    return ModelTrace(
        layers=tuple(
            TracedLayer(name=f"conv{number}", calls=(shape,), weight_count=shape.weight_count, has_bias=True)
            for number in range(layers)
        ),
        unquantized=(),
        other_parameter_bytes=0,
        peak_activation_bytes=0,
        fingerprint="made up",
        graph=ModelGraph(nodes=tuple(nodes), output=value, input_rank=4, output_rank=4),
    )


def made_up_profile(trace: ModelTrace, schemes: dict[str, tuple[Scheme, ...]]) -> HardwareProfile:
    rng = np.random.default_rng(0)

    def measured(step: StepShape) -> Measurement:
        seconds = float(rng.uniform(1e-6, 1e-4))
        return Measurement(
            shape=step,
            latency_s=seconds,
            quartiles_s=(seconds, seconds),
            p95_s=1.1 * seconds,
            p99_s=1.2 * seconds,
            repetitions=1,
        )

    passes = PassMeasurement(
        model_fingerprint=trace.fingerprint,
        pass_s=1e-6,
        break_s=1e-7,
        tail_p95=1.0,
        tail_p99=1.0,
        passes=1,
        reference_s=1e-5,
    )
    return HardwareProfile(
        name="made up",
        fingerprint=probe_machine(),
        threads=1,
        created="now",
        measurements=tuple(measured(step) for step in needed_steps(trace, schemes)),
        passes=(passes,),
        memory_bandwidth_bytes_per_s=1e10,
    )


def main() -> None:
    policies = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    layers = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    trace = residual_network(layers)
    schemes = {layer.name: tuple(SCHEMES.values()) for layer in trace.layers}
    profile = made_up_profile(trace, schemes)
    start = time.perf_counter()
    model = CostModel.build(trace, schemes_per_layer=schemes, profile=profile)
    print(f"built in {time.perf_counter() - start:.2f} s", end="; ")
    start = time.perf_counter()
    extremes = model.extremes()
    print(f"extremes in {time.perf_counter() - start:.2f} s, exact: {extremes.latency_s.is_exact}")
    codes = np.random.default_rng(0).integers(0, len(SCHEMES), (policies, layers), dtype=np.uint8)
    model.evaluate_batch(codes[:1000])
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    model.evaluate_batch(codes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    print(
        f"{policies:,} policies x {layers} layers: {wall:.2f} s of wall clock, {cpu:.2f} s of one core, "
        f"{grown_kib / 1024:.0f} MiB more memory"
    )


if __name__ == "__main__":
    main()
