"""NSGA-II that proposes the same whether or not its process was restarted."""

from __future__ import annotations

from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class RestartableNsga2Sampler(NSGAIISampler):
    """Optuna's, with the parents of a generation always in the order of their trials.

    Optuna has them best first when they are selected, and in the order of their trials from then on: who
    restarts in the middle of a generation would draw other parents.

    Source: Deb et al. 2002, 10.1109/4235.996017.
    """

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().get_parent_population(study, generation), key=lambda trial: trial.number)


def join_generation(study: Study, number: int) -> None:
    """Give a running trial that was not asked for its place in the sampler's population.

    Optuna gives it to what the sampler proposed only: anchors would never become parents.
    """
    if isinstance(study.sampler, RestartableNsga2Sampler):
        study.sampler.get_trial_generation(study, study.get_trials(deepcopy=False)[number])
