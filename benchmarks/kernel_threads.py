"""How near two threads come to two independent processes, each pinned to a core of its own.

Run as a program it is one such process: it repeats a layer until told to stop and prints calls per second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
from kernel_cases import CASES, random_layer

from mpsearch.kernels.native import NativeLayer
from mpsearch.models.layer_shape import LayerShape

_CASES = (("gemm 1024^3", "w1.58a8"), ("conv 3x3 28^2 x 128", "w1.58a8"), ("gemm 512x4096x4096", "w1a1"))
_SECONDS = 0.4
_ROUNDS = 5


def compare_threads(only: str) -> dict[str, float]:
    """Speed of two threads over the speed of two processes, by case: medians of alternating rounds.

    Empty on a machine with one core.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return {}
    ratios = {}
    for name, scheme in _CASES:
        if only not in name:
            continue
        rounds = []
        for _ in range(_ROUNDS):
            apart = sum(_processes(name, scheme, 1, [{cores[0]}, {cores[1]}]))
            together = sum(_processes(name, scheme, 2, [set(cores[:2])]))
            rounds.append(together / apart)
        ratios[f"{scheme} {name}, 2 threads"] = float(np.median(rounds))
    return ratios


def _processes(name: str, scheme: str, threads: int, pins: list[set[int]]) -> list[float]:
    """Calls per second of processes that time the same span."""
    workers = []
    for pin in pins:
        command = [sys.executable, __file__, name, scheme, str(threads), ",".join(map(str, pin))]
        workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()  # ready
    start = time.time() + 0.05
    return [float(worker.communicate(f"{start}\n")[0]) for worker in workers]


def _calls_per_second(shape: LayerShape, scheme: str, threads: int) -> float:
    native = NativeLayer(random_layer(shape, scheme, np.random.default_rng(0)), threads=threads)
    x = np.ones((shape.batch, *shape.spatial, shape.in_channels), np.float32)
    out = np.empty((shape.batch, *shape.out_spatial, shape.out_channels), np.float32)
    for _ in range(3):
        native.run(x, out)
    print("ready", flush=True)
    start = float(input())
    while time.time() < start:
        native.run(x, out)
    calls, begin = 0, time.perf_counter()
    while time.perf_counter() < begin + _SECONDS:
        native.run(x, out)
        calls += 1
    return calls / (time.perf_counter() - begin)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(core) for core in sys.argv[4].split(",")})
    print(_calls_per_second(CASES[sys.argv[1]], sys.argv[2], int(sys.argv[3])))
