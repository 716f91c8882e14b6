"""Which runs count as the same, and that a finished one is never made again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from qat_drawn_policy import drawn_policy
from qat_journal import Journal
from qat_methods import SWITCHES
from qat_parts import PARTS, SHARES, TRIAL_SHARE, in_order
from qat_run import PolicyRule, Run, Workload, inner, uniform
from qat_sitting import groups_alike

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import SCHEMES, scheme_named
from mpsearch.search.resolve import Choice, ResolvedSpace

WORKLOAD = Workload(name="digits-mlp", task="digits", args={"model": "mlp"})
LAYERS = ("first", "a.depthwise", "a.pointwise", "last")


def run(rule=None, *, share=1.0, seed=0, **settings):
    return Run(workload=WORKLOAD, rule=rule or uniform("w1.58a8"), settings=settings, share=share, seed=seed)


def test_all_that_a_run_trains_to_is_in_its_key():
    runs = (
        run(),
        run(steps=100),
        run(seed=1),
        run(share=0.1),
        run(ternary="absmean"),
        run(prune=0.1),
        run(uniform("w1a8")),
        run(inner("w1.58a8")),
        replace(run(), repeat=1),
        replace(run(), workload=replace(WORKLOAD, args={"model": "cnn"})),
    )
    assert len({one.key for one in runs}) == len(runs)


def test_what_a_policy_cannot_feel_is_not_in_its_key():
    ternary = run()
    assert run(binary="elastic").key == ternary.key
    assert run(sign_gradient="approx_sign").key == ternary.key
    assert run(high_bit_steps=7).key == ternary.key
    assert run(fidelities=(0.1, 1), reduction=2).key == ternary.key
    high = run(uniform("w8a8"))
    assert run(uniform("w8a8"), steps=7, low_bit_learning_rate=1.0).key == high.key
    assert run(uniform("w8a8"), high_bit_steps=7).key != high.key


def test_a_switch_that_is_off_is_as_if_it_were_not_there():
    assert run(prune=0.0, ema=None, progressive=False).key == run().key


def test_every_line_of_the_ablations_is_a_run_of_its_own():
    keys = [run(**settings).key for settings in ({}, *SWITCHES.values())]
    assert len(set(keys)) == len(keys)


def test_a_rule_holds_the_ends_and_what_matches():
    wanted = {
        uniform("w1a1"): ["w1a1"] * 4,
        inner("w1a1"): ["w8a8", "w1a1", "w1a1", "w8a8"],
        inner("w1a1", held="*.depthwise"): ["w8a8", "w8a8", "w1a1", "w8a8"],
    }
    for rule, schemes in wanted.items():
        assert list(rule.policy(LAYERS).names().values()) == schemes
    assert str(inner("w1a1", held="*.depthwise")) == "w1a1, ends and *.depthwise w8a8"


def test_draws_keep_to_the_space_repeat_themselves_and_reach_from_low_to_high():
    low = tuple(scheme_named(name) for name in ("w1a1", "w1.58a8"))
    choices = (
        Choice(name="a", layers=("a",), schemes=low),
        *(Choice(name=str(k), layers=(str(k),), schemes=tuple(SCHEMES.values())) for k in range(12)),
    )
    space = ResolvedSpace(layers=("a", *map(str, range(12))), choices=choices, pinned={})
    drawn = [drawn_policy(space, number) for number in range(48)]
    assert drawn == [drawn_policy(space, number) for number in range(48)]
    assert len(set(drawn)) > 40
    assert all(policy["a"] in low for policy in drawn)
    means = [sum(scheme.weight_bits for scheme in policy.values()) / len(policy) for policy in drawn]
    assert min(means) < 4
    assert max(means) > 12


def test_an_unfinished_ranking_has_the_trials_and_the_whole_first():
    rows = list(PARTS["ranking"](3))
    ordered = in_order("ranking", rows)
    assert {(one.share, one.seed) for one in ordered[: 2 * len(rows)]} == {(TRIAL_SHARE, 0), (1.0, 0)}
    assert {(one.share, one.seed) for one in ordered[-len(rows) :]} == {(1.0, 1)}
    assert {one.share for one in ordered} == {*SHARES, 1.0}


def test_every_row_is_run_once_before_any_twice():
    rows = list(PARTS["ptq"](3))
    seeds = [one.seed for one in in_order("ptq", rows)]
    assert seeds == sorted(seeds)


@pytest.mark.parametrize("part", PARTS)
def test_every_run_of_every_part_has_a_recipe_that_is_accepted(part):
    runs = [one for row in PARTS[part](2) for one in row.runs]
    assert runs
    assert all(len(one.key) == 16 for one in runs)


@pytest.mark.parametrize("part", ["families", "ablations"])
def test_each_rival_is_a_row_of_the_same_table(part):
    rows = list(PARTS[part](1))
    named = {(row.table, row.label) for row in rows}
    assert len(named) == len(rows)
    assert all((row.table, row.against) in named for row in rows if row.against is not None)


def test_a_model_for_one_family_is_compared_in_no_other():
    tables = {row.table for part in PARTS for row in PARTS[part](1) if row.table.startswith("digits-xnor")}
    assert tables == {"digits-xnor, binary_activation", "digits-xnor, sign_gradient"}


def test_of_a_slow_model_only_orders_that_papers_report_are_compared():
    rows = [row for part in ("families", "ablations") for row in PARTS[part](1) if "resnet20" in row.table]
    reported = [(row.table, row.label) for row in rows if row.expected]
    assert ("resnet20, ternary", "ttq") in reported
    rivals = [(row.table, row.against) for row in rows if row.expected]
    assert {(row.table, row.label) for row in rows} == {*reported, *rivals}


def test_an_unknown_setting_is_refused_before_anything_is_trained():
    with pytest.raises(ConfigError):
        _ = run(ternary="none").key


def record(one, *, baseline="b", **more):
    return {"key": one.key, "workload": one.workload.name, "baseline": {"key": baseline}, **more}


def test_what_was_added_is_finished_whoever_reads_it(tmp_path):
    path = tmp_path / "runs.jsonl"
    Journal(path).add(record(run()))
    assert set(Journal(path).finished()) == {run().key}


def test_a_line_that_a_kill_tore_is_left_out(tmp_path):
    path = tmp_path / "runs.jsonl"
    journal = Journal(path)
    journal.add(record(run()))
    path.write_text(path.read_text() + json.dumps(record(run(seed=1)))[:-9])
    assert set(journal.finished()) == {run().key}


def test_runs_of_an_earlier_baseline_do_not_count(tmp_path):
    journal = Journal(tmp_path / "runs.jsonl")
    journal.add(record(run(), baseline="old"))
    journal.add(record(run(seed=1), baseline="new"))
    assert set(journal.finished()) == {run(seed=1).key}


def test_a_run_that_one_process_makes_is_not_made_by_another(tmp_path):
    journal = Journal(tmp_path / "runs.jsonl")
    with journal.claimed(run().key) as mine, journal.claimed(run().key) as again:
        assert (mine, again) == (True, False)
    with journal.claimed(run().key) as mine:
        assert mine


def test_seconds_are_told_from_runs_of_the_same_workload(tmp_path):
    journal = Journal(tmp_path / "runs.jsonl")
    known = record(run(), rule=str(run().rule), steps=100, seconds_training=50.0, seconds_beside=4.0)
    assert journal.estimated_seconds(run(steps=200), [known]) == pytest.approx(4 + 200 * 0.5)
    assert journal.estimated_seconds(run(steps=200, batch_size=2), []) > 0


def test_a_random_rule_may_take_every_scheme():
    assert PolicyRule(space="digits", draw=1).schemes == tuple(SCHEMES.values())


def test_only_runs_that_differ_in_policy_alone_are_trained_together():
    runs = [run(uniform(scheme), steps=steps) for steps in (5, 6) for scheme in ("w1a8", "w1.58a8", "w4a8")]
    repeated = replace(runs[0], repeat=1)
    groups = groups_alike([*runs, repeated, replace(repeated, repeat=2)], 2)
    assert [len(group) for group in groups] == [2, 1, 2, 1, 1, 1]
    assert [group[0].settings["steps"] for group in groups[:4]] == [5, 5, 6, 6]
    assert {one.key for group in groups for one in group} > {one.key for one in runs}
