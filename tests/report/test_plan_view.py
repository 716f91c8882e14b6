"""The plan as a user sees it: what it must say at any width."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from mpsearch.models.model_trace import ModelTrace, UnquantizedModule
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.report.histogram import histogram_text
from mpsearch.report.plan_view import plan_view, span_text
from mpsearch.search.budgets import Budgets
from mpsearch.search.estimate import Span, TimeEstimate, TimePart, Workforce
from mpsearch.search.objective import COSTS
from mpsearch.search.reach import BINS, CostReach, Share, SpaceReach
from mpsearch.search.resolve import resolve
from mpsearch.search.search_plan import PlannedProfile, SearchPlan
from mpsearch.search.space_file import parse_space

SPACE = """
schema: 1
name: digits
task: {name: digits, args: {model: cnn}}
layers:
  - {match: "block.*", group: middle, schemes: [w1a1, w8a8, w32a32]}
  - {match: "head.*", pin: w8a8}
  - {match: "*", schemes: [w1.58a8, w8a8]}
objectives: [accuracy, latency, memory]
budgets: {memory: 60KB, latency: 20us, accuracy: 90%}
"""


def shown(view, width, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(view)
    return console.file.getvalue()


@pytest.fixture
def plan_of(finished_run):
    """A function: a plan with made-up costs, some of its fields replaced."""
    model: ModelTrace = finished_run.model
    space = parse_space(SPACE)
    names = [layer.name for layer in model.layers]
    low = PrecisionPolicy.uniform(names, SCHEMES["w1a1"])
    high = PrecisionPolicy.uniform(names, FULL_PRECISION)

    def reach(name, *, met=120, examined=400, is_exact=True, bound=None, is_whole=True):
        cost = next(cost for cost in COSTS if cost.name == name)
        size = 1e4 if cost.unit == "B" else 1e-5
        within = None if bound is None else Share(examined=examined, met=met, is_exact=is_exact)
        return CostReach(
            cost=cost, least=size, least_policy=low, greatest=9 * size, greatest_policy=high,
            is_exact=is_whole,
            histogram=(0.5, *[0.0] * (BINS - 2), 0.5), bound=bound, within=within,
        )  # fmt: skip

    def build(*, problem=None, costs=None, together=None, profile=None, time=None, remarks=()):
        told = costs or (reach("latency", bound=2e-5), reach("memory", bound=6e4), reach("energy"))
        return SearchPlan(
            space=space,
            source="digits",
            traces={None: model},
            resolved=resolve(space, model),
            remarks=remarks,
            profile=profile or PlannedProfile(origin="quick", name="now", seconds=1.2),
            reach=SpaceReach(
                policies=400,
                choices=4,
                costs=told,
                together=together or Share(examined=400, met=60, is_exact=True),
                problem=problem,
            ),
            full_precision=finished_run.baseline.costs,
            time=time,
        )

    build.reach = reach
    return build


def estimate(failures=()):
    parts = (
        TimePart(name="task", span=Span.exactly(3), detail="load"),
        TimePart(
            name="40 more trials", span=Span(least_s=60, likely_s=90, most_s=200), detail="200 steps each"
        ),
    )
    return TimeEstimate(
        parts=parts, workforce=Workforce(workers=2, threads=1, cpus=4), trials=40, failures=failures
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_it_fits_and_tells_all_parts_at_any_width(plan_of, width):
    text = shown(plan_view(plan_of(time=estimate())), width)
    assert max(map(len, text.splitlines())) <= width
    for word in (
        "conv1",
        "pinned",
        "stays 32-bit",
        "policies",
        "latency",
        "Budgets",
        "Time",
        "40 more trials",
    ):
        assert word in text


def test_colour_says_nothing_new(plan_of):
    from rich.text import Text

    view = plan_view(plan_of(time=estimate()))
    coloured = shown(view, 100, force_terminal=True, color_system="truecolor")
    assert Text.from_ansi(coloured).plain.split() == shown(view, 100).split()


def test_shares_of_all_policies_are_counted_and_of_draws_have_an_interval(plan_of):
    counted = shown(plan_view(plan_of()), 120)
    assert "30.0% of the policies (120 of 400)" in counted
    assert "15.0% of the policies (60 of 400)" in counted
    draws = plan_of.reach("latency", bound=2e-5, is_exact=False, examined=60_000, met=6_000)
    none = plan_of.reach("memory", bound=6e4, is_exact=False, examined=60_000, met=0)
    text = shown(plan_view(plan_of(costs=(draws, none))), 120)
    assert "10.0% of the policies (9.8% – 10.2%, from 60,000 at random)" in text
    assert "fewer than 0.0064% of the policies (none of 60,000 at random)" in text


def test_what_is_out_of_reach_is_told_with_the_least_that_is_not(plan_of):
    far = plan_of.reach("latency", bound=1e-6, met=0)
    text = shown(plan_view(plan_of(costs=(far,), problem="No policy meets latency <= 1 us: why")), 100)
    assert "out of reach: 10.0 µs, with xxxxx" in text
    assert "No search would begin. No policy meets latency ≤ 1 µs: why" in text


def test_accuracy_is_known_only_after_training(plan_of):
    assert "accuracy ≥ 90.00%  known only after training" in shown(plan_view(plan_of()), 100)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"loss": "0.25"}, "loss ≤ 0.25 known only after training"),
        ({"compressed_size": "1KB"}, "compressed size ≤ 1.00 KB known once the 32-bit weights are trained"),
    ],
)
def test_no_profile_is_asked_for_what_none_tells(plan_of, budget, told):
    plan = plan_of()
    asked = dataclasses.replace(plan, space=dataclasses.replace(plan.space, budgets=Budgets.parse(budget)))
    assert told in " ".join(shown(plan_view(asked), 100).split())
    assert asked.unknown_costs == ()


def test_bounds_that_no_policy_need_reach_are_marked_as_bounds(plan_of):
    text = shown(plan_view(plan_of(costs=(plan_of.reach("memory", is_whole=False),))), 120)
    assert "≥ 10.0 KB" in text
    assert "no policy lies outside" in text


def test_without_a_profile_it_says_what_is_unknown_and_how_to_measure_it(plan_of):
    profile = PlannedProfile(origin="none", why="one pass takes long")
    text = shown(plan_view(plan_of(costs=(plan_of.reach("memory", bound=6e4),), profile=profile)), 120)
    assert "latency: not known yet, one pass takes long" in text
    assert "mpsearch profile --space digits" in text
    assert "known only with a profile" in text


def test_a_profile_of_another_machine_is_told(plan_of):
    profile = PlannedProfile(origin="given", name="pi", threads=4, differences=("cpu",))
    assert "latencies on 4 threads from profile 'pi', of another machine" in shown(
        plan_view(plan_of(profile=profile)), 120
    )


def test_the_time_has_a_range_and_its_assumption_on_workers(plan_of):
    text = shown(plan_view(plan_of(time=estimate(failures=("all-w1a1: NaN",)))), 200)
    assert "about 1m 33s (1m 03s – 3m 23s)" in text
    assert "taken as 1.8 times as fast as one at a time, which is not measured" in text
    assert "a short trial failed, all-w1a1: NaN" in text


def test_a_busy_machine_is_told_since_it_makes_all_of_it_slower(plan_of):
    busy = dataclasses.replace(plan_of(time=estimate()), load=3.2, cores=2)
    assert "others compute on this machine (load 3.2 on 2 cores)" in shown(plan_view(busy), 120)
    quiet = dataclasses.replace(busy, load=0.2)
    assert "others compute" not in shown(plan_view(quiet), 120)


def test_a_batch_is_told_to_take_less_than_trials_one_by_one(plan_of):
    alone = plan_of(time=estimate())
    assert "one by one" not in shown(plan_view(alone), 120)
    search = dataclasses.replace(alone.space.search, batch=8)
    together = dataclasses.replace(alone, space=dataclasses.replace(alone.space, search=search))
    assert "for trials one by one: batches of 8 take less" in shown(plan_view(together), 120)


def test_a_span_without_ends_is_one_duration():
    assert span_text(Span.exactly(3)) == "3 s"


def test_remarks_and_the_reasons_for_32_bit_are_there(plan_of, finished_run):
    assert isinstance(finished_run.model.unquantized[0], UnquantizedModule)
    text = shown(plan_view(plan_of(remarks=("`pin fc=w8a8` changes nothing",))), 100)
    assert "changes nothing" in text
    assert "not a layer of weights" in text


def test_a_histogram_shows_every_share_and_no_empty_part():
    shares = [0.0, 0.001, 0.0, 0.999]
    assert histogram_text(shares, 4).plain == " ▁ █"
    assert histogram_text(shares, 4, is_ascii=True).plain == " _ @"
    assert histogram_text(shares, 2).plain == "▁█"
    assert histogram_text([], 5).plain == ""


def test_what_lies_beyond_the_budget_is_dim():
    text = histogram_text([0.25] * 4, 4, inside=0.5)
    assert [str(span.style) for span in text.spans] == ["cyan", "cyan", "dim", "dim"]
