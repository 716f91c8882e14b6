"""The tables of docs/search.md follow from the results files, and hold what these say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from search_figures import figures
from search_live_judge import judged_lines, key_of
from search_live_judge import printed as printed_live
from search_page import NOTHING, PAGE, TABLES, fronts, read_results, renewed_page
from search_text import printed

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import scheme_named
from mpsearch.search.objective import objectives_named


def front_line(sampler, trials, **fields):
    """One line of results: trials to 99%."""
    return {
        "table": "t",
        "sampler": sampler,
        "seeds": 20,
        "proxy": "ptq" if sampler == "mpsearch" else "none",
        "objectives": ["accuracy", "latency"],
        "costs": "measured",
        "cost_tables": 1,
        "is_noisy": True,
        "fidelities": [],
        "repeats": True,
        "goal": "front",
        "most_trials": 400,
        "trials_to": {"0.95": 5.0, "0.98": 9.0, "0.99": trials, "0.995": None},
        "trials_to_quartiles": {share: [7.0, None] for share in ("0.95", "0.98", "0.99", "0.995")},
        "clairvoyant_trials_to": {"0.95": 2.0, "0.98": 4.0, "0.99": 6.0, "0.995": 9.0},
        "seconds_to": dict.fromkeys(("0.95", "0.98", "0.99", "0.995"), trials),
        "seconds_in_all": 500.0,
        "hypervolume_after_25": 0.991,
        "chosen_hypervolume_after_25": 0.985,
        "chosen_hypervolume_after_60": 0.992,
        "regret_under_budgets": [0.0, 0.1, 0.2, 0.3, None],
        "curve": [0.5, 0.9, 0.99],
        "ask_ms": 12.0,
    } | fields


@pytest.fixture
def found():
    return {
        "replayed": [
            front_line("mpsearch", 20.0),
            front_line("random", None),
            front_line("nsga2-20", 290.0),
            front_line("tpe-multivariate", 120.0),
            front_line("proxy-front", 30.0),
            front_line("mpsearch", 35.0, proxy="reversed"),
            front_line("mpsearch", 18.0, is_noisy=False),
            front_line("mpsearch", 22.0, costs="drawn", cost_tables=16),
            front_line("mpsearch", 30.0, costs="engine", proxy="engine", fidelities=[1.0]),
            front_line("mpsearch", 9.0, costs="engine", proxy="engine", fidelities=[0.0, 0.25, 1.0]),
            front_line("mpsearch", None, goal="budgets", trials_to_answer=4.0)
            | {"trials_to_answer_quartiles": [2.0, 7.0], "trials_to_answer_by_budget": [4.0] * 5},
        ],
        "live": [],
        "model": [],
        "sensitivities": [],
    }


def test_bars_say_met_missed_or_open_where_a_rival_ran_out_of_trials(found):
    (*_, row) = TABLES["bars"](found).splitlines()
    assert row == (
        "| t | 20 (7 to more) | 6 | > 20.0: met | 14.5: missed |  | 6.0: met | 1.5: missed, proxy-front | "
        "99.10%: met | 98.50%: missed |"
    )
    few = [line | {"most_trials": 200} for line in found["replayed"]]
    assert "| > 10.0: open |" in TABLES["bars"]({"replayed": few, "live": []})


def test_further_bars_judge_a_wrong_proxy_the_slowest_answer_and_fidelities(found):
    (*_, row) = TABLES["further"](found).splitlines()
    assert row == "| t | 3.4: met |  | 4: met | 0.30: met |"
    slow = [
        line | {"trials_to_answer_by_budget": [4.0, None]} if line["goal"] == "budgets" else line
        for line in found["replayed"]
        if line["fidelities"] != [1.0]
    ]
    assert TABLES["further"]({"replayed": slow}).endswith("| 3.4: met |  | > 400: missed | open |")


def test_one_that_was_stopped_too_early_may_be_the_best_other_and_leaves_the_claim_open(found):
    ended = front_line("proxy-front", None, most_trials=30)  # it had no more policies
    stopped = front_line("evolution", None, most_trials=100)  # whatever it would be given today
    lines = [*found["replayed"][:4], ended]
    assert "| 6.0: met, tpe-multivariate |" in TABLES["bars"]({"replayed": lines})
    assert "| > 5.0: met, evolution |" in TABLES["bars"]({"replayed": [*lines, stopped]})
    assert "| 1.5: missed, evolution |" in TABLES["bars"](
        {"replayed": [*lines, front_line("evolution", 30.0), front_line("gp", None, most_trials=25)]}
    )
    slow = [line | {"trials_to": line["trials_to"] | {"0.99": 55.0}} for line in lines[:1]]
    assert "| > 1.8: open, evolution |" in TABLES["bars"]({"replayed": [*slow, *lines[1:], stopped]})


def test_our_row_comes_first_then_the_others_by_their_trials(found):
    rows = [line.split(" | ")[0] for line in TABLES["trials"](found).splitlines()[2:7]]
    assert rows == ["| mpsearch", "| proxy-front", "| tpe-multivariate", "| nsga2-20", "| random"]


def test_ablations_name_what_is_unusual(found):
    text = TABLES["ablations"](found)
    assert "mpsearch, reversed proxy | 35" in text
    assert "mpsearch, no noise | 18" in text
    assert "proxy-front" not in text


def fidelities(whole, several, in_all):
    return {
        "replayed": [
            front_line("mpsearch", whole, fidelities=[1.0]),
            front_line("mpsearch", several, fidelities=[0.25, 1.0], seeds=3, seconds_in_all=in_all),
            front_line("mpsearch", 20.0),
        ]
    }


@pytest.mark.parametrize(
    ("whole", "several", "in_all", "row", "verdict"),
    [
        (30.0, 9.0, 500.0, "30 | 9.0 | 0.30", "0.30: met"),
        (30.0, 12.0, 500.0, "30 | 12 | 0.40", "0.40: missed"),
        (30.0, None, 12.0, "30 | > 12 | > 0.40", "> 0.40: missed"),
        (30.0, None, 9.0, "30 | > 9.0 | > 0.30", "> 0.30: open"),
        (None, 9.0, 500.0, "> 500 | 9.0 | ", "open"),
    ],
)
def test_fidelities_are_a_ratio_of_seconds_at_least_that_of_all_where_they_never_got_there(
    whole, several, in_all, row, verdict
):
    found = fidelities(whole, several, in_all)
    assert f"| t | mpsearch | 20 / 3 | {row} |" in TABLES["fidelities"](found)
    assert TABLES["further"](found).endswith(f"| {verdict} |")


def test_repeats_are_compared_with_none_in_the_whole_engine_in_full():
    lines = [
        front_line("mpsearch", 40.0, fidelities=[1.0]),
        front_line("mpsearch", 30.0, fidelities=[1.0], repeats=False, chosen_hypervolume_after_60=0.995),
        front_line("mpsearch", 9.0, fidelities=[0.25, 1.0]),
    ]
    (*_, row) = TABLES["repeats"]({"replayed": lines}).splitlines()
    assert row == "| t | 20 / 20 | 40 (7 to more) | 30 (7 to more) | 99.20% | 99.50% |"
    assert TABLES["repeats"]({"replayed": lines[::2]}) == NOTHING
    assert "| 40 | 9.0 | 0.23 |" in TABLES["fidelities"]({"replayed": lines})


def test_other_tables_hold_their_lines(found):
    assert "| mpsearch | 22 (7 to more) |" in TABLES["drawn"](found)
    assert "| mpsearch | 4 (2 to 7) |" in TABLES["answers"](found)
    assert "| t | 5 | 9 | 20 | > 400 | 12 |" in TABLES["shares"](found)
    assert "| mpsearch | 0.00, 0.10, 0.20, 0.30, none |" in TABLES["regret"](found)
    assert "| random | never |" in TABLES["seconds"](found)
    assert TABLES["live"](found) == NOTHING


def test_a_terminal_shows_each_goal_and_kind_of_costs_in_a_block_of_its_own(found):
    lines = [line | {"proxy_seconds": 0.0} for line in found["replayed"]]
    titles = [block.splitlines()[0] for block in printed(lines).split("\n\n")]
    assert "t: front, 16 drawn cost tables (accuracy, latency)" in titles
    assert "t: budgets, measured costs (accuracy, latency)" in titles


def test_the_figure_is_svg_and_the_same_again(found):
    (picture,) = figures(fronts(found)).values()
    assert ET.fromstring(picture).tag.endswith("svg")
    assert figures(fronts(found))["search-curves.svg"] == picture
    assert figures([]) == {}


def test_the_page_holds_the_tables_of_the_results_files():
    page = PAGE.read_text(encoding="utf-8")
    assert renewed_page(page, read_results()) == page
    assert all(f"<!-- table: {name} -->" in page for name in TABLES)


def test_a_block_is_made_anew_and_nothing_else(found):
    page = "before\n<!-- table: live -->\nold\n<!-- end of table -->\nafter"
    assert renewed_page(page, found) == page.replace("old", NOTHING)


class MadeUpRun:
    """What judging needs of a run."""

    def __init__(self, records):
        self.records = self.trainings = records
        self.front = self
        self.objectives = objectives_named(["accuracy", "latency"])
        self.space = type("Space", (), {"trial": type("Recipe", (), {"steps": 100})})


class MadeUpRecord:
    def __init__(self, scheme, accuracy, latency_s):
        self.policy = PrecisionPolicy({"layer": scheme_named(scheme)})
        self.accuracy = accuracy
        self.costs = type("Costs", (), {"latency_s": latency_s})
        self.seconds = 3.0


class MadeUpJudge:
    recipe = type("Recipe", (), {"steps": 400})

    def __init__(self, scores):
        self._scores = scores

    def scores(self):
        return self._scores

    def left(self, run):
        return sum(key_of(record.policy) not in self._scores for record in run.records)


def test_live_fronts_are_judged_by_the_longer_training_alone():
    lucky, good = MadeUpRecord("w1a1", 0.99, 2.0), MadeUpRecord("w8a8", 0.80, 1.0)
    runs = {("tpe", 0): MadeUpRun([lucky]), ("mpsearch", 0): MadeUpRun([good])}
    judge = MadeUpJudge({key_of(lucky.policy): 0.7, key_of(good.policy): 0.9})
    tpe, ours = judged_lines(runs, judge)
    assert (tpe["hypervolume"], ours["hypervolume"]) == (0.0, 1.0)
    assert (tpe["front_dominated_by_others"], ours["front_dominated_by_others"]) == (1, 0)
    assert ours["score_gain"] == pytest.approx(0.1)
    assert "mpsearch" in printed_live([tpe, ours])


def test_a_live_front_that_is_not_wholly_judged_is_left_out():
    one = MadeUpRecord("w1a1", 0.99, 2.0)
    assert judged_lines({("tpe", 0): MadeUpRun([one])}, MadeUpJudge({})) == []
