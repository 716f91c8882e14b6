"""How far is a predicted latency from the measured one? Run: python benchmarks/prediction_error.py [THREADS]

For each reference network: profile this machine, build packed models of every uniform policy and of a few
random mixed ones, time them end to end, and print predicted beside measured. Weights are random: time
does not depend on them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mpsearch.cost.cost_model import CostModel
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.resnet import resnet20
from mpsearch.models.trace import trace_model
from mpsearch.models.vgg import VggSmall
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling.end_to_end import time_model
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.random_layer import random_quantized_layer
from mpsearch.runtime.packed_model import build_packed_model

MIXED_POLICIES = 8
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "DigitsCnn": (DigitsCnn, (1, 1, 8, 8)),
    "ResNet-20": (resnet20, (1, 3, 32, 32)),
    "VGG-small": (VggSmall, (1, 3, 32, 32)),
}


def report(name: str, model: nn.Module, inputs: tuple[Tensor, ...], threads: int) -> None:
    trace = trace_model(model.eval(), inputs)
    shapes = [(call, s) for layer in trace.layers for call in layer.calls for s in SCHEMES.values()]
    profile = profile_machine(name="now", threads=threads, shapes=shapes, models=[(model, inputs, trace)])
    costs = CostModel.build(
        trace.layers,
        other_parameter_bytes=trace.other_parameter_bytes,
        peak_activation_bytes=trace.peak_activation_bytes,
        fingerprint=trace.fingerprint,
        schemes_per_layer={layer.name: SCHEMES.values() for layer in trace.layers},
        profile=profile,
    )
    rng = np.random.default_rng(0)
    policies = [PrecisionPolicy.uniform(costs.layers, scheme) for scheme in SCHEMES.values()]
    policies += [
        costs.policy(rng.integers(0, len(SCHEMES), len(trace.layers))) for _ in range(MIXED_POLICIES)
    ]
    models: list[nn.Module] = []
    for policy in policies:
        packed = {
            layer.name: random_quantized_layer(layer.calls[0], policy[layer.name])
            for layer in trace.layers
            if not policy[layer.name].is_full_precision
        }
        models.append(build_packed_model(model, packed, threads=threads))
    print(f"{name}, {threads} thread(s); 32-bit remainder {profile.remainders[0].latency_s * 1e6:.0f} us")
    errors = []
    for policy, packed_model in zip(policies, models, strict=True):
        timing = time_model(packed_model, inputs, threads)
        predicted_s = costs.evaluate(policy).latency_s
        errors.append(predicted_s / timing.median_s - 1)
        label = str(policy.uniform_scheme or "mixed")
        print(
            f"  {label:8} predicted {predicted_s * 1e6:7.0f} us, measured {timing.median_s * 1e6:7.0f} us "
            f"(quartiles {timing.spread:4.0%} apart): {errors[-1]:+.1%}"
        )
    print(f"  median error {np.median(errors):+.1%}, worst {max(errors, key=abs):+.1%}")
    for note in profile.notes:
        print(f"  {note}")


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for name, (make, size) in NETWORKS.items():
        torch.manual_seed(0)
        report(name, make(), (torch.randn(size),), threads)


if __name__ == "__main__":
    main()
