"""Where the trials of one call run: nothing that a policy or a score depends on."""

from __future__ import annotations

from dataclasses import dataclass

from mpsearch.errors import ConfigError
from mpsearch.search.quantities import format_duration
from mpsearch.search.ray_address import require_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """On this machine in `workers` processes, or over Ray.

    `workers`: trials at a time; 0 runs them in the process that searches, None means one, or with Ray as many
    as the cluster holds. `ray`: None for no Ray, `local` (a cluster of this machine alone, for this call),
    `auto` (the running cluster that this machine belongs to) or HOST:PORT of a cluster's head.
    `cpus_per_trial` and `gpus_per_trial` are Ray's shares for one trial, fractions allowed; None for the
    threads that the model is worth. `batch`: trials that a worker of this machine trains together; over Ray
    each runs alone. A trial that has not ended after `trial_limit_s` seconds is ended; several that are
    trained together have as many times that.

    Raises: ConfigError if a value is out of range, or needs Ray; or if `ray` names no cluster.
    """

    workers: int | None = None
    ray: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float = 0.0
    trial_limit_s: float | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        if self.ray is not None:
            require_address(self.ray)
        if self.cpus_per_trial is not None and not 0 < self.cpus_per_trial < float("inf"):
            raise ConfigError(f"`cpus_per_trial` must be above 0; got {self.cpus_per_trial}.")
        if not 0 <= self.gpus_per_trial < float("inf"):
            raise ConfigError(f"`gpus_per_trial` must be at least 0; got {self.gpus_per_trial}.")
        if self.trial_limit_s is not None and not 0 < self.trial_limit_s < float("inf"):
            raise ConfigError(f"A trial's time limit must be above 0 seconds; got {self.trial_limit_s}.")
        if self.workers == 0 and self.ray is not None:
            raise ConfigError(
                "Trials over Ray run in workers; got `workers` 0. Leave it out, or give at least 1."
            )
        if self.workers == 0 and self.trial_limit_s is not None:
            raise ConfigError(
                f"A trial that runs in the process that searches cannot be ended; got a time limit of "
                f"{format_duration(self.trial_limit_s)} with `workers` 0. Give at least one worker."
            )
        if self.ray is None and (self.cpus_per_trial is not None or self.gpus_per_trial):
            raise ConfigError(
                "Shares of processors and GPUs per trial are Ray's; got them without it. Add --ray local, or "
                "divide this machine with --workers."
            )
