"""What a sampler is told of a search before its first trial."""

from __future__ import annotations

from dataclasses import dataclass

from mpsearch.errors import ConfigError
from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.proxy import Proxy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """The policies and their costs, an estimate of what few bits lose, and what a score is the mean of.

    `proxy` is None where there is no estimate; `samples` is the number of validation samples.

    Raises: ConfigError if the proxy is of other choices or `samples` is below 1.
    """

    policies: KnownPolicies
    proxy: Proxy | None
    samples: int

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(
                f"`samples` must be at least 1; got {self.samples}. Say how many a score is the mean of."
            )
        sizes = self.policies.sizes.tolist()
        if self.proxy is not None and [len(losses) for losses in self.proxy.losses] != sizes:
            raise ConfigError(
                f"A proxy must hold a loss for each scheme of each choice, {sizes} of them; got "
                f"{[len(losses) for losses in self.proxy.losses]}. Make it for these policies, or give None."
            )
