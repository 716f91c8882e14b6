"""What screens say of a run that was searched for several devices."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from mpsearch.errors import ConfigError
from mpsearch.report.compare_policies import policies_json, policies_view
from mpsearch.report.csv_report import csv_report
from mpsearch.report.explain_json import explain_json
from mpsearch.report.front_picture import axis_title
from mpsearch.report.front_plot import front_plot
from mpsearch.report.inspector.axes import following_axis
from mpsearch.report.json_report import json_report
from mpsearch.report.live_rows import cost_cell, shown_costs
from mpsearch.report.notebook import run_html
from mpsearch.report.page.page_data import PageData
from mpsearch.report.page.settings import commands, setting_groups
from mpsearch.report.pareto_table import pareto_table
from mpsearch.report.policy_view import policy_view
from mpsearch.report.run_heading import run_heading
from mpsearch.report.trial_selection import TrialSelection
from mpsearch.search.front_comparison import compare_fronts
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.layer_effects import layer_effects
from mpsearch.search.objective import objective_named, objectives_named
from mpsearch.search.reach import reach_of
from mpsearch.search.resolve import resolve

PI5 = objective_named("latency@pi5")


@pytest.fixture
def run(finished_run):
    """The run again, its policies timed on a second machine too, which favours other schemes."""
    slower = [
        replace(
            m,
            latency_s=by * m.latency_s,
            quartiles_s=tuple(by * q for q in m.quartiles_s),
            p95_s=by * m.p95_s,
            p99_s=by * m.p99_s,
        )
        for m in finished_run.profile.measurements
        for by in [7.0 if m.shape.scheme.weight_bits < 4 else 3.0]
    ]
    cpu = replace(finished_run.profile.fingerprint, cpu_model="Cortex-A76")
    pi5 = replace(finished_run.profile, name="pi5", measurements=tuple(slower), fingerprint=cpu)
    space = replace(
        finished_run.space, objectives=objectives_named(["accuracy", "latency", "memory", "latency@pi5"])
    )
    two = replace(finished_run, space=space, further_profiles=(pi5,))
    base = two.costs(two.records[5].policy)
    records = tuple(replace(r, costs=two.costs(r.policy)) for r in two.records)
    baseline = replace(two.baseline, costs=base)
    return replace(two, records=records, baseline=baseline, greatest_costs=base)


def text_of(renderable, width=200):
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(renderable)
    return console.export_text()


def test_the_table_has_a_column_for_each_device_at_80_columns_too(run):
    for width in (80, 200):
        assert "latency@pi5" in text_of(pareto_table(run), width)


def test_a_device_that_is_only_bounded_has_its_column_too(run):
    space = replace(run.space, objectives=objectives_named(["accuracy", "memory"]))
    bounded = replace(run, space=space).with_budgets(run.budgets.with_bound("energy@pi5", 1e-3))
    assert "energy@pi5" in text_of(pareto_table(bounded))
    assert "latency@pi5" not in text_of(pareto_table(bounded))


def test_the_heading_says_which_machine_stands_behind_the_name(run):
    text = text_of(run_heading(run))
    assert "@pi5" in text
    assert "Cortex-A76" in text


def test_a_policy_is_shown_layer_by_layer_on_each_device(run):
    record = run.front.records[0]
    text = text_of(policy_view(run, record))
    assert text.count("@pi5") >= 3  # its line, the column of the layers, the changes
    parts = run.cost_report(record.policy, "pi5")
    assert parts.latency_s == pytest.approx(record.on("pi5").latency_s)
    assert sum(layer.latency_s for layer in parts.layers) + parts.remainder_latency_s == pytest.approx(
        parts.latency_s
    )


def test_policies_are_compared_on_each_device(run):
    a, b = run.front.records[:2]
    assert "latency@pi5" in text_of(policies_view(run, [a, b]), 160)
    (change,) = policies_json(run, [a, b])["changes"]
    assert change["latency_s@pi5"] == PI5.of(b) - PI5.of(a)


def test_json_and_csv_hold_the_costs_on_each_device(run):
    report = json_report(run)
    assert report["objectives"][-1]["key"] == "latency_s@pi5"
    assert [t["latency_s@pi5"] for t in report["trials"]] == [
        PI5.of(run.trial(t["number"])) for t in report["trials"]
    ]
    assert report["baseline"]["energy_j@pi5"] == run.baseline.costs.on("pi5").energy_j
    rows = list(csv.DictReader(io.StringIO(csv_report(run))))
    assert float(rows[0]["latency_s@pi5"]) == PI5.of(run.trial(int(rows[0]["number"])))


def test_trials_are_sorted_by_a_device_and_an_unknown_one_is_refused(run):
    chosen = TrialSelection(sort="latency@pi5").of(run, [r for r in run.records if r.is_complete])
    assert [PI5.of(r) for r in chosen] == sorted(PI5.of(r) for r in chosen)
    with pytest.raises(ConfigError, match=r"sorted by .*latency@pi5.*; got 'latency@pi6'"):
        TrialSelection(sort="latency@pi6").of(run, run.records)


def test_a_plot_has_a_device_as_its_axis_and_refuses_an_unknown_one(run):
    assert "latency, predicted median, on pi5" in text_of(front_plot(run, x="latency@pi5"))
    with pytest.raises(ConfigError, match=r"latency@pi5.*; got 'latency@pi6'"):
        front_plot(run, x="latency@pi6")
    assert axis_title(objective_named("latency_p95@pi5"), "accuracy") == "latency, 95th percentile, on pi5"
    assert following_axis("energy", "accuracy", run.quantities) == "latency@pi5"


def test_live_rows_name_the_device_behind_its_cost(run):
    assert shown_costs(run.objectives)[-1] == PI5
    assert cost_cell(PI5, run.records[0]).endswith("@pi5")


def test_the_page_carries_every_device(run):
    data = PageData.of(run).to_json()
    assert data["objectives"]["latency@pi5"]["searched"]
    assert len(data["trials"]["values"]["latency@pi5"]) == len(data["trials"]["numbers"])
    assert "Machine of pi5" in [group.title for group in setting_groups(run)]
    assert commands(run)[0].line.count("--hw") == 2
    assert "latency@pi5" in run_html(run, heading=True)


def test_effects_of_layers_tell_what_they_save_on_each_device(run):
    effects = layer_effects(run)
    for effect in effects.effects:
        changed = {**effects.reference, **dict.fromkeys(effect.layers, effect.scheme)}
        after = run.cost_report(type(effects.reference)(changed), "pi5").latency_s
        before = run.cost_report(effects.reference, "pi5").latency_s
        assert effect.latency_saved_on["pi5"] == pytest.approx(before - after)
    told = explain_json(run, effects, effects.choices)["choices"][0]["effects"][0]
    assert "latency_saved_s@pi5" in told


def test_fronts_are_compared_on_a_device_only_where_it_is_the_same_machine(run):
    assert PI5 in compare_fronts([run, run]).objectives
    (pi5,) = run.further_profiles
    other = replace(pi5, fingerprint=replace(pi5.fingerprint, cpu_model="Cortex-A53"))
    against = compare_fronts([run, replace(run, further_profiles=(other,))])
    assert PI5 not in against.objectives
    assert any("behind @pi5 are of different machines" in why for why in against.obstacles)


def test_reach_tells_the_ends_on_each_device(run):
    known = KnownCosts.of_model(resolve(run.space, run.model), run.cost_model, run.device_models)
    found = {reach.cost.name: reach for reach in reach_of(known, run.budgets).costs}
    least = found["latency@pi5"]
    assert run.cost_report(least.least_policy, "pi5").latency_s == pytest.approx(least.least)
