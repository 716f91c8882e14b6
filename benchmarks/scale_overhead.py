"""The engine's own time: searches whose trials cost nothing, and a cluster whose trials only sleep."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from idle_work import IdleWork
from scale_task import instead_of_training, profile_of, space_of, twenty_layers

from mpsearch.search.engine import run_search
from mpsearch.search.events import Event, TrialFinished, TrialStarted

_WARM_UP = 20  # trials that are not counted: imports, the sampler's random start


@dataclass
class Timeline:
    """When each trial of a search began and ended, in seconds since the search was called."""

    origin_s: float = field(default_factory=time.perf_counter)
    began_s: dict[int, float] = field(default_factory=dict)
    ended_s: dict[int, float] = field(default_factory=dict)
    slept_s: dict[int, float] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        now = time.perf_counter() - self.origin_s
        if isinstance(event, TrialStarted):
            self.began_s[event.number] = now
        elif isinstance(event, TrialFinished):
            self.ended_s[event.record.number] = now
            self.slept_s[event.record.number] = event.record.seconds

    def overhead_s(self) -> float:
        """Mean time from the end of one trial to that of the next."""
        ends = sorted(self.ended_s.values())[_WARM_UP:]
        return (ends[-1] - ends[0]) / (len(ends) - 1)

    def trials_per_second(self, workers: int) -> float:
        """While all workers had work: from when each had ended a trial until no trial began any more."""
        ends = sorted(self.ended_s.values())
        start, stop = ends[workers - 1], max(self.began_s.values())
        return sum(start < end <= stop for end in ends) / (stop - start)

    def busy_share(self, workers: int) -> float:
        """Share of the workers' time in which trials slept, in the time that `trials_per_second` looks at."""
        ends = sorted(self.ended_s.values())
        start, end = ends[workers - 1], max(self.began_s.values())
        slept = sum(
            max(0.0, min(end, ended) - max(start, ended - self.slept_s[number]))
            for number, ended in self.ended_s.items()
        )
        return slept / (workers * (end - start))


def searched(*, trials: int, seconds: float = 0.0, sampler: str = "tpe", **placement: object) -> Timeline:
    """A search over the twenty layers in a folder that is thrown away."""
    profile = profile_of(twenty_layers())
    with tempfile.TemporaryDirectory() as folder, instead_of_training(IdleWork(seconds=seconds)):
        timeline = Timeline()
        run_search(
            space_of(trials=trials, sampler=sampler),
            out=Path(folder) / "run",
            profile=profile,
            on_event=timeline,
            **placement,  # type: ignore[arg-type]
        )
    return timeline


def busy_share_of_cluster(*, nodes: int, cpus: int, trials: int, seconds: float) -> float:
    """Of a Ray cluster that is made up on this machine: `nodes` nodes of `cpus` processors each.

    Every processor is a worker with a process of its own; all of them share the true ones.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # noqa: PLC0415 - only this measurement needs it
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=cpus)
        ray.init(address=cluster.address, log_to_driver=False)
        timeline = searched(trials=trials, seconds=seconds, ray="auto", cpus_per_trial=1.0)
    finally:
        ray.shutdown()
        cluster.shutdown()
    return timeline.busy_share(nodes * cpus)
