"""Do two workers of a search train as much as two independent processes? Real steps on the digits task."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cost_batch import made_up_profile
from scale_overhead import Timeline
from torch import nn

from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.engine import run_search
from mpsearch.search.processors import usable_cpus
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import parse_space
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_job import TrialJob
from mpsearch.training.task import load_task

# Schemes that train equally fast, and as many steps for each: what is left to compare is who runs them.
SPACE = """
schema: 1
name: speed-up
task: {{name: digits}}
layers: [{{match: "*", schemes: [w4a8, w8a8]}}]
objectives: [accuracy, latency, memory]
trial: {{steps: {steps}, high_bit_steps: {steps}}}
search: {{trials: {trials}, sampler: random}}
"""


def space_of(*, trials: int, steps: int) -> SearchSpace:
    return parse_space(SPACE.format(trials=trials, steps=steps))


def trials_per_second_of_search(*, workers: int, trials: int, steps: int) -> float:
    """Of a whole search, while all workers had work."""
    space = space_of(trials=trials, steps=steps)
    model = load_task(space.task.name, space.task.args)
    trace = trace_model(model.build_model(), model.example_inputs)
    schemes = {layer.name: tuple(SCHEMES.values()) for layer in trace.layers}
    timeline = Timeline()
    with tempfile.TemporaryDirectory() as folder:
        run_search(
            space,
            out=Path(folder) / "run",
            profile=made_up_profile(trace, schemes),
            workers=workers,
            on_event=timeline,
        )
    return timeline.trials_per_second(workers)


def trials_per_second_of_processes(*, processes: int, trials: int, steps: int) -> float:
    """Of so many processes that know nothing of each other, each pinned to its own processor."""
    cpus = usable_cpus()
    share = trials // processes
    children = [
        subprocess.Popen(
            [sys.executable, __file__, str(cpus[place % len(cpus)]), str(share), str(steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for place in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()  # it has loaded and run its first trial
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    seconds = [json.loads(child.communicate()[0]) for child in children]
    return sum(share / second for second in seconds)


def main() -> None:
    """One independent process."""
    cpu, trials, steps = map(int, sys.argv[1:4])
    os.sched_setaffinity(0, {cpu})
    space = space_of(trials=trials, steps=steps)
    work = TrainingWork(space=space, threads=1).load()
    layers = [
        name
        for name, module in work.task.build_model().named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    drawn = random.Random(cpu)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            TrialJob(
                number=number,
                policy=PrecisionPolicy({layer: drawn.choice(("w4a8", "w8a8")) for layer in layers}),
                weights=Path(folder) / f"{number}.safetensors",
            )
            for number in range(trials + 1)
        ]
        work.run(jobs[0])
        print("ready", flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        for job in jobs[1:]:
            outcome = work.run(job)
            if outcome.failure is not None:
                raise RuntimeError(outcome.failure)
        print(json.dumps(time.perf_counter() - start))


if __name__ == "__main__":
    main()
