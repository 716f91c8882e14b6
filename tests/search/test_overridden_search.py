"""A search under overrides: from the first trial on, or from the call that brings them."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpsearch.errors import BudgetError, ConfigError, RunError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search import known_costs
from mpsearch.search.budgets import Budgets
from mpsearch.search.engine import run_search
from mpsearch.search.events import Notice, SearchStarted
from mpsearch.search.history import run_history
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.narrowing import narrowed
from mpsearch.search.overrides import Overrides
from mpsearch.search.proposer import Proposer
from mpsearch.search.resolve import Choice, ResolvedSpace, all_codes, cost_model_of
from mpsearch.search.run import load_run
from mpsearch.search.samplers import SAMPLERS
from mpsearch.search.search_target import search_target
from mpsearch.search.trial_record import TrialRecord

# What is on the front without them, all at 8 bits, is not allowed; what that beats, all at 32, is.
WITHOUT_8_BITS = Overrides.parse(None, ["*=w8a8"])
ASKED = Overrides.parse(["0=w8a8"], ["[24]=w1a1,w1.58a8"])


@pytest.fixture
def search(space, tmp_path, profile, training):
    """`run_search` on the tiny space with training faked; keyword arguments replace the defaults."""

    def call(**changes):
        arguments = {"space": space, "out": tmp_path / "run", "profile": profile, **changes}
        return run_search(**arguments)

    return call


def policies(run):
    return [record.policy for record in run.records]


def kept_weights(run):
    return {int(path.stem) for path in (run.path / "checkpoints").iterdir()}


def test_no_trial_is_against_the_overrides_and_the_first_are_as_uniform_as_they_may_be(search):
    run = search(overrides=ASKED, trials=9)
    assert all(ASKED.allows(policy) for policy in policies(run))
    assert [(r.origin, *r.policy.names().values()) for r in run.records[:3]] == [
        ("anchor", "w8a8", "w32a32", "w32a32"),
        ("anchor", "w8a8", "w8a8", "w8a8"),
        ("anchor", "w8a8", "w4a8", "w4a8"),
    ]
    assert len(set(policies(run))) == 9


def test_what_the_overrides_leave_is_exhausted_and_said(search):
    events = []
    run = search(overrides=ASKED, trials=50, on_event=events.append)
    assert len(run.records) == 9
    assert events[-1].reason == "exhausted"
    assert events[-1].message == (
        "Every policy with 0 pinned to w8a8; [24] without w1a1, w1.58a8 has been tried: 9 trials."
    )
    (started,) = (event for event in events if isinstance(event, SearchStarted))
    assert (started.policies, started.overrides) == (9, ASKED)


def test_a_policy_with_every_layer_pinned_is_one_trial(search):
    run = search(overrides=Overrides.parse(["*=w4a8"]), trials=5)
    assert [policy.uniform_scheme for policy in policies(run)] == [SCHEMES["w4a8"]]


def test_budgets_and_overrides_hold_together(search):
    run = search(overrides=Overrides.parse(["0=w8a8"]), budgets={"memory": "1000B"}, trials=40)
    proposed = [r for r in run.records if r.origin != "anchor"]
    assert proposed
    assert all(r.policy["0"].name == "w8a8" and r.memory_bytes <= 1000 for r in proposed)
    assert all(r.policy["0"].name == "w8a8" for r in run.records)


def test_budgets_that_only_the_overrides_put_out_of_reach_are_refused_before_any_training(search, training):
    with pytest.raises(BudgetError, match=r"No policy with \* pinned to w8a8 meets memory <= 600 B"):
        search(overrides=Overrides.parse(["*=w8a8"]), budgets={"memory": "600B"})
    assert training.trained == []
    assert search(budgets={"memory": "600B"}, trials=1).records


def test_overrides_that_do_not_fit_are_refused_before_the_machine_is_measured(search, tmp_path, monkeypatch):
    monkeypatch.delattr("mpsearch.search.preparation.profile_machine")
    with pytest.raises(ConfigError, match="`pin conv=w8a8` matches none"):
        search(profile=None, overrides=Overrides.parse(["conv=w8a8"]))
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_under_overrides_and_judges_what_it_has_by_them(search):
    before = search(trials=12)
    after = search(trials=18, overrides=ASKED)
    assert after.records[:12] == tuple(
        record if ASKED.allows(record.policy) else replaced(record, feasible=False)
        for record in before.records
    )
    assert {r.feasible for r in after.records[:12]} == {True, False}
    assert all(r.feasible and ASKED.allows(r.policy) for r in after.records[12:])
    assert [r.number for r in after.records] == list(range(18))
    assert after.reference_point == before.reference_point
    assert all(ASKED.allows(point.policy) for point in after.front)
    assert ASKED.allows(after.front.knee().policy)
    assert ASKED.allows(after.front.best().policy)
    assert load_run(after.path).overrides == ASKED


def replaced(record, **changes):
    values = {name: getattr(record, name) for name in TrialRecord.__slots__}
    return TrialRecord(**{**values, **changes})


def test_overrides_that_are_lifted_leave_the_run_as_if_they_had_never_been(search):
    before = search(trials=12)
    search(trials=12, overrides=ASKED)
    after = search(trials=12)
    assert after.records == before.records
    assert after.front.numbers == before.front.numbers
    assert after.hypervolume == before.hypervolume
    assert set(before.front.numbers) <= kept_weights(after)


def test_every_trial_on_the_front_has_weights_whenever_it_came_there(search, training):
    search(trials=12)
    events = []
    training.trained.clear()
    run = search(trials=12, overrides=WITHOUT_8_BITS, on_event=events.append)
    again = [e.message for e in events if isinstance(e, Notice) and "trained again" in e.message]
    assert len(training.trained) == len(again) > 0
    assert "Trial 0 is trained again for its weights" in again[0]
    assert set(run.front.numbers) <= kept_weights(run)
    training.trained.clear()
    assert search(trials=12, overrides=WITHOUT_8_BITS).front.numbers == run.front.numbers
    assert training.trained == []


def test_time_that_is_over_leaves_weights_for_the_next_call(search, training):
    search(trials=12)
    training.trained.clear()
    assert search(trials=12, overrides=WITHOUT_8_BITS, timeout_s=1e-9).records
    assert training.trained == []
    search(trials=12, overrides=WITHOUT_8_BITS)
    assert training.trained


def test_a_trial_that_scores_otherwise_when_it_is_trained_again_is_told(search, training, answer_with):
    search(trials=12)
    training.answer = lambda place, policy: answer_with(0.123)
    events = []
    search(trials=12, overrides=WITHOUT_8_BITS, on_event=events.append)
    warned = [e.message for e in events if isinstance(e, Notice) and e.is_warning]
    assert warned
    assert all("scored 0.1230 when it was trained again" in message for message in warned)


def test_the_history_ends_in_the_hypervolume_of_what_competes(search):
    search(trials=12)
    run = search(trials=15, overrides=ASKED)
    history = run_history(run)
    assert history[-1].hypervolume == run.hypervolume
    volumes = [point.hypervolume for point in history]
    assert volumes == sorted(volumes)


def test_where_no_trial_is_allowed_yet_the_front_is_that_of_all(search):
    before = search(trials=1)
    after = search(trials=1, overrides=Overrides.parse(["0=w4a8"]))
    assert after.front.numbers == before.front.numbers == (0,)
    assert not after.records[0].feasible
    with pytest.raises(BudgetError, match="No finished trial meets 0 pinned to w4a8"):
        after.front.best()


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_search_in_pieces_under_overrides_equals_one_in_one_go(search, tmp_path, sampler):
    asked = {"overrides": Overrides.parse(["0=w8a8"]), "sampler": sampler, "budgets": {"memory": "1900B"}}
    whole = search(out=tmp_path / "whole", trials=14, **asked)
    for trials in (3, 11, 14):
        pieces = search(out=tmp_path / "pieces", trials=trials, **asked)
    assert policies(pieces) == policies(whole)
    assert len(whole.records) == 14


def test_a_trial_that_was_interrupted_is_not_begun_again_against_new_overrides(search, training):
    def answer(place, policy):
        if place == 7:
            raise KeyboardInterrupt

    training.answer = answer
    with pytest.raises(KeyboardInterrupt):
        search()
    lost = training.trained[7]
    taken = lost["0"].name
    training.answer = None
    run = search(overrides=Overrides.parse(None, [f"0={taken}"]))
    assert lost not in policies(run)[7:]
    assert all(policy["0"].name != taken for policy in policies(run)[7:])
    assert len(run.records) == 12


def test_a_pin_of_one_layer_of_a_group_pins_all_of_it_and_says_so(search, space_of):
    events = []
    space = space_of(
        layers='[{match: "[02]", schemes: [w1a1, w4a8, w8a8], group: a}, {match: "*", schemes: [w4a8, w8a8]}]'
    )
    run = search(space=space, overrides=Overrides.parse(["2=w4a8"]), trials=5, on_event=events.append)
    assert {(policy["0"].name, policy["2"].name) for policy in policies(run)} == {("w4a8", "w4a8")}
    told = [event.message for event in events if isinstance(event, Notice)]
    assert "2 shares one scheme with 0: `pin 2=w4a8` holds for all of them." in told


def test_overrides_of_the_space_are_joined_and_freed(search, space_of):
    own = space_of(overrides="{pin: {0: w8a8}, forbid: {2: [w1a1]}}")
    run = search(space=own, overrides=Overrides.parse(["4=w4a8"]), free=["0"], trials=3)
    assert run.overrides == Overrides.parse(["4=w4a8"], ["2=w1a1"])
    with pytest.raises(ConfigError, match="`free 7` matches none"):
        search(space=own, free=["7"], trials=3)


def test_a_run_named_by_its_folder_goes_on_as_it_was_called_last(search, tmp_path):
    search(overrides=ASKED, budgets={"memory": "2000B"}, trials=4)
    target = search_target(tmp_path / "run")
    run = search(space=target.space, out=target.folder(None), profile=None, trials=6)
    assert len(run.records) == 6
    assert run.overrides == ASKED
    assert run.budgets.memory_bytes == 2000


def test_a_run_goes_on_in_its_own_folder_only(search, tmp_path, monkeypatch):
    search(trials=1)
    target = search_target(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert target.folder("run") == tmp_path / "run"
    with pytest.raises(ConfigError, match=r"as --out. Leave --out out, or search anew by .*space.yaml"):
        target.folder(tmp_path / "elsewhere")


def test_a_folder_that_is_no_run_is_told_from_a_space(search, tmp_path, monkeypatch, profile):
    search(trials=1)
    with pytest.raises(RunError, match=r"is a folder without a run. Runs in .*: run"):
        search_target(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert search_target("digits").run is None
    profile.save(tmp_path / "digits2" / "profile.json")
    with pytest.raises(RunError, match=r"not come to its first trial. Give its space, with --out digits2"):
        search_target("digits2")
    with pytest.raises(ConfigError, match="Did you mean 'digits'"):
        search_target("digit")


@pytest.fixture
def model(space, trace, profile):
    return cost_model_of(space, trace, profile)


allowed_schemes = st.lists(
    st.sampled_from([s for s in SCHEMES.values() if s.name != "w1a8"]), min_size=1, max_size=5, unique=True
).map(lambda chosen: tuple(s for s in SCHEMES.values() if s in chosen))
patterns = st.sampled_from(["0", "2", "4", "[02]", "*"])


def resolved_of(schemes, grouped):
    groups = [("0", "2"), ("4",)] if grouped else [("0",), ("2",), ("4",)]
    choices, pinned = [], {}
    for layers, allowed in zip(groups, schemes, strict=False):
        if len(allowed) == 1:
            pinned |= dict.fromkeys(layers, allowed[0])
        else:
            choices.append(Choice(name="+".join(layers), layers=layers, schemes=allowed))
    return ResolvedSpace(layers=("0", "2", "4"), choices=tuple(choices), pinned=pinned)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(
    schemes=st.tuples(allowed_schemes, allowed_schemes, allowed_schemes),
    grouped=st.booleans(),
    pins=st.dictionaries(patterns, st.sampled_from(list(SCHEMES.values())), max_size=1),
    forbidden=st.dictionaries(patterns, allowed_schemes, max_size=2),
    share=st.floats(0, 1),
    sampler=st.sampled_from(["tpe", "nsga2", "random"]),
    seed=st.integers(0, 3),
    enumerates=st.booleans(),
)
def test_no_proposal_is_ever_against_overrides_or_budgets(
    space, model, schemes, grouped, pins, forbidden, share, sampler, seed, enumerates
):
    resolved = resolved_of(schemes, grouped)
    asked = Overrides(pins=pins, forbidden=forbidden)
    try:
        allowed = KnownCosts.of_model(narrowed(resolved, asked), model)
    except ConfigError:
        return
    known = KnownCosts.of_model(resolved, model)
    codes = np.concatenate(list(all_codes(allowed.resolved)))
    memory = np.sort(allowed.evaluate(codes)[:, 3])
    budgets = Budgets(memory_bytes=float(memory[round(share * (len(memory) - 1))]))
    proposer = Proposer(
        known,
        allowed,
        objectives=space.objectives,
        budgets=budgets,
        overrides=asked,
        sampler=SAMPLERS[sampler],
        seed=seed,
    )
    met = {
        policy
        for policy in map(allowed.resolved.policy, codes)
        if known.costs(policy).memory_bytes <= budgets.memory_bytes
    }
    found = []
    with pytest.MonkeyPatch.context() as patch:
        if not enumerates:
            patch.setattr(known_costs, "ENUMERABLE", 0)
        for number in range(8):
            begun, refused = proposer.propose(number)
            assert all(refusal.violations["memory"] > 0 for refusal in refused)
            if begun is None:
                break
            found.append(begun.policy)
            proposer.finish(record_of(begun, known))
    assert set(found) <= met
    assert len(set(found)) == len(found) == min(8, len(met))


def record_of(begun, known):
    bits = [scheme.weight_bits for scheme in begun.policy.values()]
    return TrialRecord(
        number=begun.number,
        policy=begun.policy,
        state="complete",
        score=math.fsum(bits) / (32 * len(bits)),
        loss=0.1,
        costs=known.costs(begun.policy),
        feasible=True,
        seconds=0.1,
        steps=1,
        seed=0,
        origin=begun.origin,
        started="2026-01-01T00:00:00+00:00",
        ended="2026-01-01T00:00:01+00:00",
    )
