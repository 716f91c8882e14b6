"""Which replays a call of `benchmarks/search.py` makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_costs import MEASURED
from search_policy_table import SHARES
from search_problem import BUDGET_SHARES
from search_replay import ENGINE, FRONT, Setting, setting_of
from search_rivals import rivals

OURS = "mpsearch"
SABOTAGED = ("none", "random", "reversed")
# Who is replayed beyond the fronts: seconds of asking, times hundreds of replays, leave the slowest out.
ANSWERING = (OURS, "random", "proxy-front", "nsga2-20", "tpe-multivariate", "tpe-multivariate-warm", "ilp")
DRAWN = ANSWERING
SLOW = ("gp", "tpe")  # gp is shown with warm starts; tpe proposes what it knows for minutes
IN_FULL, SEVERAL = (1.0,), (*SHARES.values(), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Replays of tables with so many seeds; `trials` at most, None for what each sampler can do."""

    tables: Sequence[Path]
    seeds: int
    objectives: tuple[str, ...] = ()
    trials: int | None = None

    def fronts(
        self, samplers: Iterable[str], *, proxy: str | None = None, noise: bool = True
    ) -> list[Setting]:
        """Searches for whole fronts at the measured costs."""
        return self._settings(samplers, proxy=proxy, is_noisy=noise)

    def drawn(self, samplers: Iterable[str], cost_tables: int, proxy: str | None = None) -> list[Setting]:
        """The same at costs drawn at random, with a seed for each cost table."""
        names = list(samplers)
        return [
            setting
            for number in range(cost_tables)
            for setting in self._settings(names, seeds=[number], costs=number, proxy=proxy)
        ]

    def answers(self, samplers: Iterable[str], proxy: str | None = None) -> list[Setting]:
        """Searches for the best score within each budget."""
        names = list(samplers)
        return [
            setting
            for goal in range(len(BUDGET_SHARES))
            for setting in self._settings(names, goal=goal, proxy=proxy)
        ]

    def fidelities(self, samplers: Iterable[str]) -> list[Setting]:
        """The whole engine: in full, with several fidelities, and in full without repeats."""
        names = list(samplers)
        return [
            setting
            for shares, repeats in ((IN_FULL, True), (SEVERAL, True), (IN_FULL, False))
            for setting in self._settings(
                names, proxy="engine", costs=ENGINE, fidelities=shares, repeats=repeats
            )
        ]

    def everything(self, cost_tables: int) -> list[Setting]:
        """What docs/search.md shows."""
        return [
            *self.fronts(name for name in rivals() if name not in SLOW),
            *self.answers(ANSWERING),
            *(setting for proxy in SABOTAGED for setting in self.fronts([OURS], proxy=proxy)),
            *self.fronts([OURS], noise=False),
            *self.drawn(DRAWN, cost_tables),
            *self.fidelities([OURS]),
        ]

    def _settings(
        self,
        samplers: Iterable[str],
        *,
        seeds: Iterable[int] | None = None,
        proxy: str | None = None,
        is_noisy: bool = True,
        costs: str | int = MEASURED,
        goal: str | int = FRONT,
        fidelities: tuple[float, ...] = (),
        repeats: bool = True,
    ) -> list[Setting]:
        """All samplers with a seed before the next seed: who stops it has compared like with like."""
        names = list(samplers)
        return [
            setting_of(
                str(path),
                sampler=sampler,
                seed=seed,
                objectives=self.objectives,
                proxy=proxy,
                is_noisy=is_noisy,
                costs=costs,
                goal=goal,
                most_trials=self.trials,
                fidelities=fidelities,
                repeats=repeats,
            )
            for seed in (range(self.seeds) if seeds is None else seeds)
            for path in self.tables
            for sampler in names
        ]


def once(settings: Iterable[Setting]) -> list[Setting]:
    """In their order, those that are planned twice once."""
    return list({setting.key: setting for setting in settings}.values())
