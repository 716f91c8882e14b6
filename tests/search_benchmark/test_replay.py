"""What is replayed: fronts and budgets that must be found, who searches for them, and what is made of it."""

from __future__ import annotations

import json
import sys

import moocore
import numpy as np
import pytest
import search
import search_replay
from search_problem import SHARES, Progress
from search_replay import problem_of, replay, setting_of
from search_results import _Curve, results
from search_rivals import Sampled, rival_named, rivals

from mpsearch.errors import ConfigError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.samplers import SAMPLERS

QUICK = [name for name, rival in rivals().items() if name not in ("gp", "gp-warm", "haq")]


@pytest.fixture(autouse=True)
def _no_tables_of_other_tests():
    for name in ("table_at", "problem_of", "digest", "_profile_digest"):
        getattr(search_replay, name).cache_clear()


@pytest.fixture
def problem(path):
    return problem_of(str(path), "measured", (), "table")


def setting(path, sampler, **fields):
    given = {"seed": 0, "objectives": (), "proxy": None} | fields
    return setting_of(str(path), sampler=sampler, **given)


def knowledge_of(problem, path, bounds=None):
    proxy = search_replay.proxy_of(problem.table, "ptq", 0).proxy
    return Knowledge(policies=problem.bounded(bounds), proxy=proxy, samples=1000)


def test_replays_of_the_engine_are_those_of_one_profile(path, tmp_path, monkeypatch):
    monkeypatch.setattr(search_replay, "KEPT", tmp_path)
    profile = tmp_path / f"{search_replay.digest(str(path))}.profile.json"
    keys = set()
    for text in ("one", "another", "one"):
        profile.write_text(text)
        search_replay._profile_digest.cache_clear()
        keys.add(setting(path, "mpsearch", fidelities=(1.0,), proxy="engine").key)
    assert len(keys) == 2


def test_the_exact_front_is_that_of_the_mean_scores(path):
    problem = problem_of(str(path), "measured", (), "front")
    points = np.column_stack([1 - problem.table.mean_scores, problem.all_costs])
    front = points[non_dominated(points)]
    corner = front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
    volume = moocore.hypervolume(front, ref=corner) / np.prod(corner - front.min(axis=0))
    assert problem.exact == pytest.approx(volume)
    assert problem.share(np.arange(27)) == pytest.approx(1.0)
    assert 0 < problem.share(np.arange(5)) < 1


@pytest.mark.parametrize("reference", ["table", "search"])
def test_other_reference_points_are_those_they_are_said_to_be(path, reference):
    problem = problem_of(str(path), "measured", (), reference)
    points = problem.points(problem.table.mean_scores, np.arange(27))
    corner = points.max(axis=0)
    if reference == "search":
        corner = np.array([1.0, *1.1 * corner[1:]])
    rows = np.arange(7)
    volumes = [moocore.hypervolume(some, ref=corner) for some in (points[rows], points)]
    assert problem.share(rows) == pytest.approx(volumes[0] / volumes[1])


def test_a_policy_that_was_trained_twice_is_chosen_by_the_mean(path):
    one = setting(path, "mpsearch")
    rows = (0, 1, 0, 0, *range(2, 27))
    found = search_replay.Replay(
        key=one.key, rows=rows, ask_s=(0.0,) * 29, proposals=tuple(range(1, 30)), proxy_s=0.0
    )
    curve = _Curve(one, found, "table")
    curve.shown = np.where(np.arange(27) == 0, 2.0, curve.problem.table.mean_scores)  # no such score
    assert curve.chosen(2) == pytest.approx(curve.problem.share(np.array([0])))  # it dominates the other
    assert curve.chosen(29) == pytest.approx(1.0)


def test_progress_is_the_share_of_what_was_tried_so_far(problem):
    progress, rows = Progress(problem), np.random.default_rng(0).permutation(27)
    for count, row in enumerate(rows.tolist(), 1):
        assert progress.add(row) == pytest.approx(problem.share(rows[:count]))


def test_who_knows_all_scores_takes_the_policy_that_adds_most(problem):
    taken, shares = [], []
    while not shares or shares[-1] < SHARES[-1]:
        taken.append(max(range(27), key=lambda row: problem.share(np.array([*taken, row]))))
        shares.append(problem.share(np.array(taken)))
    assert problem.greedy_shares == pytest.approx(shares)


def test_an_objective_that_costs_do_not_have_is_refused(path):
    with pytest.raises(ConfigError, match="must be one of accuracy, latency, memory; got 'energy'"):
        problem_of(str(path), "measured", ("accuracy", "energy"), "front")
    with pytest.raises(ConfigError, match="Objectives must be 'accuracy' and costs"):
        problem_of(str(path), "measured", ("latency", "memory"), "front")
    with pytest.raises(ConfigError, match="A reference must be one of"):
        problem_of(str(path), "measured", (), "nadir")


def test_every_budget_can_be_met_and_the_best_within_it_is_found(problem):
    assert (np.diff(problem.budgets, axis=0) >= 0).all()
    for bounds in problem.budgets:
        within = [row for row in range(27) if (problem.all_costs[row] <= bounds).all()]
        assert problem.best_score(bounds) == max(problem.table.mean_scores[within])


@pytest.mark.parametrize("name", QUICK)
def test_nobody_trains_a_policy_twice_and_a_seed_gives_the_same_trials(path, name):
    one = replay(setting(path, name, most_trials=20))
    assert len(one.rows) == len(set(one.rows)) <= 20
    assert len(one.ask_s) == len(one.proposals) == len(one.rows)
    again = replay(setting(path, name, most_trials=20))
    assert again.rows == one.rows


def test_budgets_that_no_policy_meets_are_widened(problem, path):
    drawn = [problem_of(str(path), number, (), "front") for number in range(16)]
    narrow = [one for one in drawn if not _is_met(one, 0.1)]
    assert narrow
    assert all((one.all_costs <= one.budgets[0]).all(axis=1).any() for one in narrow)


def _is_met(problem, share):
    least = problem.all_costs.min(axis=0)
    greatest = problem.all_costs[non_dominated(problem.judged)].max(axis=0)
    return (problem.all_costs <= least + share * (greatest - least)).all(axis=1).any()


@pytest.mark.parametrize("name", QUICK)
def test_nobody_trains_what_a_budget_forbids(problem, path, name):
    bounds = problem.budgets[2]
    asker = rival_named(name).make(knowledge_of(problem, path, bounds), 0)
    within = (problem.all_costs <= bounds).all(axis=1)
    for _ in range(8):
        policy = asker.ask()
        if policy is None:
            break
        row = problem.table.rows(np.array([policy]))[0]
        assert within[row]
        asker.tell(policy, float(problem.table.mean_scores[row]))


def test_random_comes_to_all_policies_and_then_to_an_end(problem, path):
    asker = rival_named("random").make(knowledge_of(problem, path), 0)
    assert len({asker.ask() for _ in range(27)}) == 27
    assert asker.ask() is None


def test_uniform_policies_are_one_for_each_scheme(problem, path):
    asker = rival_named("uniform").make(knowledge_of(problem, path), 0)
    assert [asker.ask() for _ in range(4)] == [(2, 2, 2), (1, 1, 1), (0, 0, 0), None]


def test_the_proxy_front_is_trained_whole(problem, path):
    knowledge = knowledge_of(problem, path)
    asker = rival_named("proxy-front").make(knowledge, 0)
    found = list(iter(asker.ask, None))
    every = problem.table.codes
    points = np.column_stack([knowledge.proxy.evaluate(every), knowledge.policies.evaluate(every)])
    assert {tuple(point) for point in points[problem.table.rows(np.array(found))]} == {
        tuple(point) for point in points[non_dominated(points)]
    }
    assert len(found) == len(set(found))


def test_warm_starts_come_first_and_are_parents_of_nsga2(problem, path):
    knowledge = knowledge_of(problem, path)
    starts = [(2, 2, 2), (0, 0, 0), (1, 1, 1)]
    asker = Sampled(SAMPLERS["nsga2"], knowledge, 0, starts)
    for start in starts:
        assert asker.ask() == start
        asker.tell(start, 0.5)
    generations = [trial.system_attrs for trial in asker._study.get_trials(deepcopy=False)]
    assert all(any(key.endswith("generation") for key in attributes) for attributes in generations)


def test_what_is_proposed_again_costs_no_trial_but_is_counted(path):
    found = replay(setting(path, "nsga2-20", most_trials=27))
    assert found.proposals[-1] > len(found.rows)


def test_an_unknown_sampler_is_named(path):
    with pytest.raises(ConfigError, match="to replay must be one of random, uniform"):
        setting(path, "tpe-multivariat")


def test_a_line_has_the_median_over_seeds_and_none_where_most_do_not_get_there(path):
    settings = [setting(path, "random", seed=seed) for seed in range(3)]
    settings += [setting(path, "uniform", seed=seed) for seed in range(3)]
    random, uniform = results([(one, replay(one)) for one in settings], "front")
    assert random["seeds"] == 3
    assert list(random["trials_to"]) == list(map(str, SHARES))
    assert random["trials_to"]["0.95"] <= random["trials_to"]["0.99"] <= 27
    assert random["seconds_to"]["0.99"] == pytest.approx(2.0 * random["trials_to"]["0.99"], rel=0.05)
    assert len(random["regret_under_budgets"]) == 5
    assert random["final_hypervolume"] == pytest.approx(random["curve"][-1], abs=1e-4)
    assert uniform["trials_to"]["0.995"] is None
    assert uniform["most_trials"] == 3


def test_a_proxy_is_charged_to_who_is_told_of_it(path):
    told, untold = (replay(setting(path, name)) for name in ("proxy-front", "random"))
    assert (told.proxy_s, untold.proxy_s) == (pytest.approx(7 * 0.25), 0.0)


def test_a_replay_that_is_finished_is_never_made_again(path, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    arguments = ["search.py", "--table", str(path), "--samplers", "random", "proxy-front", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--json", str(out)])
    search.main()
    first = json.loads(out.read_text())
    assert {line["sampler"] for line in first} == {"random", "proxy-front"}
    assert "small: front, measured costs (accuracy, latency, memory)" in capsys.readouterr().out
    journal = tmp_path / "out.replays.jsonl"
    journal.write_text(journal.read_text() + '{"key": "torn')
    monkeypatch.setattr(search, "replay", None)
    search.main()
    assert json.loads(out.read_text()) == first


def test_budgets_are_answered_one_by_one(path, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    arguments = ["search.py", "--table", str(path), "--samplers", "random", "--seeds", "2", "--budgets"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--json", str(out)])
    search.main()
    (line,) = json.loads(out.read_text())
    assert line["goal"] == "budgets"
    assert 1 <= line["trials_to_answer"] <= 27
    assert len(line["trials_to_answer_by_budget"]) == len(
        problem_of(str(path), "measured", (), "front").budgets
    )
    assert "to answer" in capsys.readouterr().out


def test_drawn_cost_tables_are_a_line_of_their_own(path, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    arguments = ["search.py", "--table", str(path), "--samplers", "random", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--cost-tables", "3", "--json", str(out)])
    search.main()
    found = {line["costs"]: line["cost_tables"] for line in json.loads(out.read_text())}
    assert found == {"measured": 1, "drawn": 3}
