"""A plan of a tiny search: real steps, nothing trained, nothing written."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from mpsearch.cost.cost_model import CostModel
from mpsearch.errors import TrialError, UnmeasuredError
from mpsearch.report.plan_view import plan_view
from mpsearch.search import planning, quick_profile, sensitivity_timing
from mpsearch.search.budgets import Budgets
from mpsearch.search.overrides import Overrides
from mpsearch.search.planning import plan_search
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.sensitivity import SENSITIVITIES, Sensitivity, SensitivityMethod, WidthSensitivity
from mpsearch.search.sensitivity_file import write_sensitivity
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.recipe import BaselineRecipe


@pytest.fixture
def plan(space, profile):
    return plan_search(space, source="tiny.yaml", profile=profile)


def part(plan, name):
    return next(part for part in plan.time.parts if part.name == name)


def test_it_tells_layers_policies_costs_and_time(plan):
    assert plan.reach.policies == 5**3
    assert [reach.cost.name for reach in plan.reach.costs] == [
        "latency", "latency_p95", "latency_p99", "memory", "energy",
    ]  # fmt: skip
    assert plan.full_precision.latency_s == pytest.approx(plan.reach.costs[0].greatest)
    assert plan.time.trials == 12
    assert 0 < plan.time.total.least_s <= plan.time.total.likely_s <= plan.time.total.most_s
    assert plan.profile.origin == "given"
    assert part(plan, "profile").span.likely_s == 0


def test_it_is_whole_as_json(plan):
    told = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert [layer["name"] for layer in told["layers"]] == list(plan.resolved.layers)
    assert set(told["costs"]) == {"latency_s", "latency_p95_s", "latency_p99_s", "memory_bytes", "energy_j"}
    assert told["time"]["likely_s"] == plan.time.total.likely_s
    assert told["feasible"] is True


def test_a_baseline_that_is_not_cached_is_estimated_and_not_trained(space, profile, tmp_path, tiny_module):
    epochs = BaselineRecipe(epochs=40, batch_size=32)
    task = dataclasses.replace(tiny_module.tiny_task(), baseline=epochs)
    found = plan_search(space, task=task, profile=profile)
    assert part(found, "32-bit baseline").span.likely_s > 0
    assert "120 steps" in part(found, "32-bit baseline").detail
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_baseline_in_the_cache_costs_nothing(space, profile, tiny_task):
    trained_baseline(tiny_task)
    found = plan_search(space, task=tiny_task, profile=profile)
    assert part(found, "32-bit baseline").span.likely_s == 0


def named(space, **search):
    return dataclasses.replace(space, search=dataclasses.replace(space.search, **search))


@pytest.mark.parametrize("method", SENSITIVITIES)
def test_finding_out_what_layers_lose_is_part_of_the_time(space, profile, tiny_module, monkeypatch, method):
    monkeypatch.setattr(sensitivity_timing, "BUDGET_S", 0.0)
    pause_s = 0.02
    slow = plan_search(named(space, sensitivity=method), task=tiny_module.tiny_task(pause_s), profile=profile)
    found = part(slow, "sensitivity")
    # Calibration and score of all but the highest policy; else two batches of validation samples, or steps.
    least = {"loss": 12 * 2, "supernet": 8 * 3}.get(method, 2)
    assert least * pause_s < found.span.likely_s < slow.time.total.likely_s
    assert found.detail == f"once: {SENSITIVITIES[method].says}"
    shown = Console(file=io.StringIO(), width=120)
    shown.print(plan_view(slow))
    assert re.search(r"^sensitivity +\S+.*once: ", shown.file.getvalue(), re.MULTILINE)


def test_what_is_left_of_a_method_is_taken_to_go_on_as_it_began(monkeypatch):
    now = iter([0.0, 1.0, 2.0, 5.0, 7.0, 9.0])

    def measure(_probe, on_progress):
        for done, what in enumerate(["calibrating", "a", "b", "c", "d"]):
            on_progress(10 * done, 100, what)
        raise AssertionError("was not stopped")

    monkeypatch.setattr(sensitivity_timing.time, "perf_counter", lambda: next(now))
    monkeypatch.setitem(SENSITIVITIES, "made up", SensitivityMethod(measure=measure, says=""))
    span = sensitivity_timing.sensitivity_span("made up", [None])
    assert span.likely_s == pytest.approx(7 + 70 * 0.25)
    assert (span.least_s, span.most_s) == (pytest.approx(7 + 70 * 0.225), pytest.approx(7 + 70 * 0.275))


def test_a_sampler_that_does_not_listen_and_a_run_that_knows_take_no_such_time(
    space, profile, tiny_task, tmp_path
):
    for deaf in (named(space, sampler="tpe"), named(space, sensitivity="none")):
        parts = plan_search(deaf, task=tiny_task, profile=profile).time.parts
        assert "sensitivity" not in {part.name for part in parts}
    baseline = trained_baseline(tiny_task)
    width = WidthSensitivity(width=None, baseline=baseline.key, loss=0.5, added={})
    found = Sensitivity(method="loss", samples=60, seconds=1.0, widths=(width,))
    write_sensitivity(RunFolder(tmp_path / "run"), found)
    known = plan_search(space, task=tiny_task, profile=profile, stored=RunFolder(tmp_path / "run"))
    assert (part(known, "sensitivity").span.likely_s, part(known, "sensitivity").detail) == (0, "is there")


def test_a_method_that_fails_is_told_and_takes_no_time(space, profile, monkeypatch):
    def measure(_probe, _on_progress):
        raise TrialError("no loss")

    monkeypatch.setitem(SENSITIVITIES, "loss", SensitivityMethod(measure=measure, says=""))
    found = part(plan_search(space, profile=profile), "sensitivity")
    assert (found.span.likely_s, found.detail) == (0, "loss failed: no loss")


def test_a_slower_task_is_told_to_take_longer(space, profile, tiny_module, plan):
    slow = plan_search(space, task=tiny_module.tiny_task(pause_s=0.02), profile=profile)
    trials = slow.time.parts[-2].span
    assert trials.least_s > 6 * 5 * 0.02
    assert trials.likely_s > plan.time.parts[-2].span.likely_s


def test_a_space_with_fewer_policies_than_trials_is_searched_to_its_end(space_of, profile):
    few = space_of(layers='[{match: "*", group: all, schemes: [w1a1, w8a8]}]')
    found = plan_search(few, profile=profile)
    assert (found.reach.policies, found.time.trials) == (2, 2)


def test_overrides_leave_fewer_policies_and_are_told_where_they_change_nothing(space, profile):
    overrides = Overrides.parse(["0=w8a8"], ["2=w1a8"])
    found = plan_search(dataclasses.replace(space, overrides=overrides), profile=profile, with_time=False)
    assert found.reach.policies == 5**2
    assert set(found.resolved.pinned) == {"0"}
    assert any("changes nothing" in remark for remark in found.remarks)


def test_budgets_out_of_reach_are_told_and_no_time_is_wasted_on_training(space, profile, monkeypatch):
    monkeypatch.setattr(planning, "time_trials", None)
    strict = dataclasses.replace(space, budgets=Budgets(memory_bytes=1.0))
    found = plan_search(strict, profile=profile)
    assert not found.reach.is_feasible
    assert found.time is None


def test_interpolated_latencies_are_told(space, profile, monkeypatch):
    monkeypatch.setattr(CostModel, "interpolated_layers", property(lambda model: ("0", "2")))
    found = plan_search(space, profile=profile, with_time=False)
    assert found.profile.interpolated_layers == 2
    console = Console(file=io.StringIO(), width=100)
    console.print(plan_view(found))
    assert "the latency of 2 layers is interpolated from other shapes" in console.file.getvalue()


def test_without_a_profile_latency_is_measured_quickly(space):
    found = plan_search(space, with_time=False)
    assert found.profile.origin == "quick"
    assert 0 < found.reach.costs[0].least < found.reach.costs[0].greatest


def test_where_a_pass_is_long_memory_and_energy_are_told_without_latency(space, monkeypatch):
    monkeypatch.setattr(quick_profile, "LONGEST_PASS_S", 0.0)
    found = plan_search(space)
    assert [reach.cost.name for reach in found.reach.costs] == ["memory", "energy"]
    assert found.unknown_costs == ("latency",)
    assert found.full_precision is None
    assert found.time is not None


def test_the_profile_of_a_run_that_would_go_on_is_taken(space, profile, tmp_path):
    profile.save(tmp_path / "profile.json")
    found = plan_search(space, stored=RunFolder(tmp_path), with_time=False)
    assert (found.profile.origin, found.profile.name) == ("run", "made up")


def test_a_profile_that_lacks_a_layer_is_refused_as_in_a_search(space, profile):
    few = dataclasses.replace(profile, measurements=profile.measurements[:1])
    with pytest.raises(UnmeasuredError):
        plan_search(space, profile=few)


def test_several_workers_share_the_work(space, profile, monkeypatch):
    monkeypatch.setattr(planning, "usable_cpus", lambda: [0, 1, 2, 3])
    several = dataclasses.replace(space, search=dataclasses.replace(space.search, workers=2))
    found = plan_search(several, profile=profile)
    assert found.time.workforce.lanes == 2
    assert found.time.workforce.threads == 1


def test_a_policy_that_breaks_is_told_and_the_rest_is_timed(space, profile, tiny_module):
    def loss(output, targets):
        return output.sum() * (float("nan") if output.requires_grad else 1)  # in training only

    task = dataclasses.replace(tiny_module.tiny_task(), loss=loss, pretrained=True)
    found = plan_search(space, task=task, profile=profile)
    assert found.time.failures
    assert "finite" in found.time.failures[0]
