"""Several devices in one search."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import BudgetError, ConfigError, FormatError, RunError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search import known_costs
from mpsearch.search.budgets import Budgets
from mpsearch.search.engine import run_search
from mpsearch.search.events import Notice
from mpsearch.search.further_profiles import further_profiles, require_devices, with_devices
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.objective import MAX_OBJECTIVES, objective_named, objectives_named
from mpsearch.search.pick import pick_trial
from mpsearch.search.resolve import all_codes, cost_model_of, device_models, resolve
from mpsearch.search.run import load_run
from mpsearch.search.space_file import parse_space
from mpsearch.search.trial_filter import TrialFilter


def slower_profile(profile, name, factors):
    """As `profile`, but each scheme takes `factors` times as long as there."""
    measurements = []
    for place, measured in enumerate(profile.measurements):
        by = factors[place % len(factors)]
        measurements.append(
            replace(
                measured,
                latency_s=by * measured.latency_s,
                quartiles_s=tuple(by * quartile for quartile in measured.quartiles_s),
                p95_s=by * measured.p95_s,
                p99_s=by * measured.p99_s,
            )
        )
    return replace(profile, name=name, measurements=tuple(measurements))


@pytest.fixture
def pi5(profile):
    return slower_profile(profile, "pi5", (9.0, 2.0, 5.0))


@pytest.fixture
def search(space, tmp_path, profile, pi5, training):
    def call(**changes):
        arguments = {"space": space, "out": tmp_path / "run", "profile": [profile, pi5], "workers": 0}
        return run_search(**{**arguments, **changes})

    return call


@pytest.fixture
def known(space_of, trace, profile, pi5):
    space = space_of(
        layers='[{match: "[02]", schemes: [w1a1, w1.58a8, w8a8]}, {match: "*", schemes: [w4a8, w32a32]}]'
    )
    on_devices = device_models(space, trace, [pi5])
    return KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile), on_devices)


def every_cost(known):
    return np.concatenate([known.evaluate(codes) for codes in all_codes(known.resolved)])


def column(known, name):
    return [cost.name for cost in known.columns].index(name)


def test_costs_on_a_device_are_those_of_its_own_profile(known):
    codes = next(all_codes(known.resolved))
    for row in codes:
        policy = known.resolved.policy(row)
        costs = known.costs(policy)
        assert costs.on("pi5").latency_s == known.models[None]["pi5"].evaluate(policy).latency_s
        assert costs.latency_s == known.models[None][None].evaluate(policy).latency_s
        assert objective_named("latency@pi5").of(costs) != costs.latency_s


def test_extremes_on_each_device_are_the_least_and_greatest_of_all_policies(known):
    table = every_cost(known)
    for place, cost in enumerate(known.columns):
        assert known.range_of(cost).least == pytest.approx(table[:, place].min())
        assert known.range_of(cost).greatest == pytest.approx(table[:, place].max())


@pytest.mark.parametrize("enumerates", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_budgets_on_two_devices_are_refused_only_when_no_policy_meets_them(
    known, monkeypatch, enumerates, seed
):
    table = every_cost(known)
    if not enumerates:
        monkeypatch.setattr(known_costs, "ENUMERABLE", 0)
    places = [column(known, "latency"), column(known, "latency@pi5")]
    low, high = table[:, places].min(axis=0), table[:, places].max(axis=0)
    bounds = low + np.random.default_rng(seed).random(2) ** 2 * (high - low)
    budgets = Budgets.of({"latency": float(bounds[0]), "latency@pi5": float(bounds[1])})
    can_be_met = (table[:, places] <= bounds).all(axis=1).any()
    if can_be_met:
        known.require_reachable(budgets)
        found = known.random_feasible(np.random.default_rng(0), budgets, set())
        if found is not None:
            assert (known.evaluate(found[None])[0][places] <= bounds).all()
    elif enumerates:
        with pytest.raises(BudgetError):
            known.require_reachable(budgets)


def test_a_budget_out_of_reach_on_a_device_names_the_least_there(known):
    least = known.range_of(objective_named("latency@pi5")).least
    with pytest.raises(BudgetError, match=r"No policy meets latency@pi5 <= .*smallest reachable latency@pi5"):
        known.require_reachable(Budgets.of({"latency@pi5": 0.9 * least}))


def test_a_device_that_nothing_names_joins_the_objectives_with_a_notice(search):
    events = []
    run = search(on_event=events.append)
    assert [o.name for o in run.objectives] == ["accuracy", "latency", "memory", "latency@pi5"]
    assert any("latency@pi5 joins" in e.message for e in events if isinstance(e, Notice))
    assert run.devices == ("pi5",)
    assert all(r.costs.device_names == ("pi5",) for r in run.records)


def test_a_budget_on_a_device_refuses_policies_before_training_and_adds_no_objective(search, training):
    middle = search(trials=5).records[2].on("pi5").latency_s
    training.trained.clear()
    run = search(out="strict", trials=9, budgets={"latency@pi5": f"{middle!r}s"})
    assert [o.name for o in run.objectives] == ["accuracy", "latency", "memory"]
    sampled = [r for r in run.records if r.origin != "anchor"]
    assert sampled
    assert all(r.on("pi5").latency_s <= middle for r in sampled)
    assert run.front.best().record.on("pi5").latency_s <= middle


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_front_keeps_what_only_the_further_device_sets_apart(search):
    run = search(trials=30)
    plain = run_front_without(run, "latency@pi5")
    assert plain < set(run.front.numbers)


def run_front_without(run, name):
    fewer = replace(run.space, objectives=tuple(o for o in run.objectives if o.name != name))
    return set(replace(run, space=fewer).front.numbers)


def test_a_run_opens_and_goes_on_with_its_profiles(search, tmp_path, profile, pi5):
    before = search(trials=6)
    opened = load_run(tmp_path / "run")
    assert [p.to_dict() for p in opened.further_profiles] == [pi5.to_dict()]
    assert opened.records == before.records
    assert search(trials=8, profile=None).records[:6] == before.records
    assert len(search(trials=9, profile=[profile, pi5], budgets={"latency@pi5": "9s"}).records) == 9


def test_a_run_refuses_other_profiles(search, profile, pi5):
    search(trials=2)
    other = replace(pi5, created="2026-02-02T00:00:00+00:00")
    for given in ([profile], [profile, other], [profile, pi5, replace(pi5, name="third")]):
        with pytest.raises(RunError, match="A run keeps to its profiles"):
            search(trials=3, profile=given)


def test_one_seed_gives_one_search_on_several_devices(search, tmp_path):
    first, second = (search(out=tmp_path / name, trials=12) for name in "ab")
    assert [r.policy for r in first.records] == [r.policy for r in second.records]


def test_profiles_must_have_names_of_their_own(profile, pi5):
    with pytest.raises(ConfigError, match=r"two are called 'pi5'"):
        further_profiles([profile, pi5, pi5], None)
    with pytest.raises(ConfigError, match=r"two are called 'made-up'"):
        further_profiles([replace(profile, name="Made-up"), replace(pi5, name="made-up")], None)
    for name in ("my pi", "../pi", "", "pi@home", ".pi", "p" * 65, "pi/5"):
        with pytest.raises(ConfigError, match="A further profile must have a name"):
            further_profiles([profile, replace(pi5, name=name)], None)


def test_what_names_a_device_without_a_profile_is_refused(space_of):
    space = space_of(objectives='[accuracy, "latency@pi5"]')
    with pytest.raises(ConfigError, match=r"latency@pi5 needs the hardware profile 'pi5'.*none"):
        with_devices(space, [])
    with pytest.raises(ConfigError, match=r"energy@pi6 needs the hardware profile 'pi6'"):
        require_devices((), Budgets.parse({"energy@pi6": "1uJ"}), ["pi5"])


def test_a_space_names_devices_in_objectives_and_budgets(space_of):
    space = space_of(
        objectives='[accuracy, latency, "latency@pi5", memory]',
        budgets="{latency@pi5: 2ms, energy@pi5: 5uJ, latency: 400us}",
    )
    assert space.budgets.bounds() == {"latency": 4e-4, "energy@pi5": 5e-6, "latency@pi5": 2e-3}
    assert parse_space(space.to_yaml()) == space


@pytest.mark.parametrize(
    ("budgets", "told"),
    [
        ("{memory@pi5: 2KB}", r"unknown key `memory@pi5` in `budgets`"),
        ("{latnecy@pi5: 2ms}", r"unknown key `latnecy@pi5`"),
        ('{"latency@my pi": 2ms}', r"unknown key `latency@my pi`"),
        ("{latency@pi5: 2KB}", r"`budgets.latency@pi5`: A duration must be"),
    ],
)
def test_a_bad_budget_of_a_device_is_told_with_its_key(space_of, budgets, told):
    with pytest.raises(ConfigError, match=told):
        space_of(budgets=budgets)


@pytest.mark.parametrize("name", ["memory@pi5", "accuracy@pi5", "latency@", "latnecy@pi5", "latency@a@b"])
def test_only_latencies_and_energies_are_of_a_device(name):
    with pytest.raises(ConfigError):
        objective_named(name)


def test_more_objectives_than_a_hypervolume_can_be_of_are_refused():
    names = ["accuracy", "latency", "memory", *(f"latency@d{n}" for n in range(MAX_OBJECTIVES - 2))]
    with pytest.raises(ConfigError, match=r"at most 6 objectives; got 7.*Make some of them budgets"):
        objectives_named(names)


def test_budgets_of_devices_are_written_and_read_exactly():
    budgets = Budgets.parse({"latency@pi5": "2ms", "memory": "60KB", "energy@a.b-1": "5uJ"})
    assert Budgets.parse(budgets.texts()) == budgets == Budgets.of(budgets.bounds())
    assert budgets.with_bound("latency@pi5", None) == Budgets.of({"memory": 60e3, "energy@a.b-1": 5e-6})
    assert str(budgets) == "memory <= 60.0 KB, energy@a.b-1 <= 5.00 uJ, latency@pi5 <= 2.00 ms"


def test_filters_and_picks_know_the_devices_of_the_run(search):
    run = search(trials=12)
    middle = sorted(r.on("pi5").latency_s for r in run.front.records)[len(run.front) // 2]
    text = f"latency@pi5<={middle!r}s"
    micro = f"latency@pi5<{1e6 * middle:.6f}us"
    wanted = TrialFilter.parse(micro, run.layers, run.devices)
    kept = [r for r in run.records if wanted.keeps(run, r)]
    assert kept == [r for r in run.records if r.on("pi5").latency_s < float(f"{1e6 * middle:.6f}") * 1e-6]
    assert TrialFilter.parse(str(wanted), run.layers, run.devices) == wanted
    assert pick_trial(run, text).on("pi5").latency_s <= middle
    with pytest.raises(ConfigError, match=r"'latency@pi6'.*did you mean latency@pi5"):
        TrialFilter.parse("latency@pi6<1us", run.layers, run.devices)


def test_tables_hold_a_column_for_each_cost_on_a_device(search, tmp_path):
    run = search(trials=6)
    heading = (tmp_path / "run" / "front.csv").read_text().splitlines()[0].split(",")
    fields = [o.field for o in run.quantities.values()]
    assert heading[1 : 1 + len(fields)] == fields
    frame = run.trials
    assert frame["latency_s@pi5"].tolist() == [r.on("pi5").latency_s for r in run.records]


def test_a_record_of_other_devices_is_a_format_error(search, tmp_path):
    search(trials=3)
    folder = tmp_path / "run"
    facts = json.loads((folder / "run.json").read_text())
    facts["greatest_costs"]["devices"] = {}
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError, match="must have costs on the devices"):
        load_run(folder)


def test_a_device_name_in_run_json_never_leads_out_of_the_folder(search, tmp_path):
    search(trials=2)
    folder = tmp_path / "run"
    facts = json.loads((folder / "run.json").read_text())
    facts["greatest_costs"]["devices"] = {"../profile": facts["greatest_costs"]["devices"]["pi5"]}
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError):
        load_run(folder)


def test_a_stored_profile_of_another_name_is_a_format_error(search, tmp_path, pi5):
    search(trials=2)
    replace(pi5, name="pi6").save(tmp_path / "run" / "profiles" / "pi5.json")
    with pytest.raises(FormatError, match=r"must be the profile 'pi5'; it is 'pi6'"):
        load_run(tmp_path / "run")
    assert HardwareProfile.load(tmp_path / "run" / "profiles" / "pi5.json").name == "pi6"
