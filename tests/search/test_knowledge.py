"""What is told of policies before a search is checked when it is told."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import ConfigError
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.proxy import Proxy
from mpsearch.search.samplers import SAMPLERS
from tests.search.baseline_problem import known_policies, proxy_of


def test_a_proxy_of_other_choices_is_refused():
    with pytest.raises(
        ConfigError, match=r"each scheme of each choice, \[4, 4\] of them; got \[4, 4, 4\]\. Make it"
    ):
        Knowledge(policies=known_policies(2), proxy=proxy_of(known_policies(3)), samples=10)


def test_a_score_is_the_mean_of_a_sample_at_least():
    with pytest.raises(ConfigError, match=r"`samples` must be at least 1; got 0\. Say how many"):
        Knowledge(policies=known_policies(2), proxy=None, samples=0)


@pytest.mark.parametrize("loss", [-1e-9, np.nan, np.inf])
def test_a_loss_that_is_none_is_refused(loss):
    with pytest.raises(ConfigError, match=r"must be finite and at least 0; got .*0\.5.*Give 0 where"):
        Proxy(losses=(np.array([0.5, loss]),), method="loss")


def test_two_scores_to_learn_are_refused():
    with pytest.raises(ConfigError, match="One objective at most may be learnt by training; got 2 of 3"):
        replace(known_policies(2), objectives=(None, 0, None))


@pytest.mark.parametrize("name", [name for name, sampler in SAMPLERS.items() if sampler.uses_knowledge])
def test_a_sampler_that_needs_costs_says_so_and_names_those_that_do_not(name):
    with pytest.raises(ConfigError, match=r"must know the costs of policies; got none.*one of tpe, nsga2"):
        SAMPLERS[name](0)
