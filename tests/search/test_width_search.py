import json
from dataclasses import replace
from pathlib import Path

import pytest

from mpsearch.errors import ConfigError, FormatError, RunError
from mpsearch.export.exporters import export_trial
from mpsearch.export.manifest import Manifest
from mpsearch.export.packed_file import read_packed
from mpsearch.export.packed_model import model_from_packed
from mpsearch.export.policy_file import PolicyFile
from mpsearch.export.task_of_model import trusted_task
from mpsearch.search.engine import run_search
from mpsearch.search.events import StageStarted
from mpsearch.search.layer_effects import layer_effects
from mpsearch.search.planning import plan_search
from mpsearch.search.preparation import traced_task
from mpsearch.search.run import load_run
from mpsearch.search.tables import front_csv
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_filter import TrialFilter
from mpsearch.search.trial_job import TrialJob
from mpsearch.search.width_tasks import load_tasks
from mpsearch.training.baseline import trained_baseline

TASK_FILE = Path(__file__).with_name("tiny_task.py")
WIDTHS = (0.5, 1, 2)


@pytest.fixture
def search(wide_space, tmp_path, wide_profile):
    def call(**changes):
        return run_search(
            **{"space": wide_space, "out": tmp_path / "run", "profile": wide_profile, **changes}
        )

    return call


def outcomes(run):
    return [(r.policy, r.score, r.costs, r.origin) for r in run.records]


def test_each_width_is_tried_on_its_own_model_from_its_own_baseline(wide_space, wide_traced, tmp_path):
    loaded = TrainingWork(space=wide_space, threads=1).load()
    anchor = wide_traced.resolved.anchors()[0]
    sizes = {}
    for width, task in loaded.tasks.items():
        assert task.train is loaded.tasks[1].train
        assert task.args["width"] == width
        baseline = trained_baseline(task)
        assert loaded.baselines[width].key == baseline.key
        weights = tmp_path / f"{width}.safetensors"
        outcome = loaded.run(TrialJob(number=0, policy=anchor.at_width(width), weights=weights))
        assert outcome.failure is None
        assert outcome.score == baseline.validation_score  # 32 bits everywhere: the baseline itself
        sizes[width] = weights.stat().st_size
    assert sizes[0.5] < sizes[1] < sizes[2]


def test_a_search_over_widths_is_recorded_resumed_and_read_again(search, tmp_path):
    events = []
    whole = search(out=tmp_path / "whole", trials=12, on_event=events.append)
    stages = [e.detail for e in events if isinstance(e, StageStarted) and e.stage == "baseline"]
    assert stages == [f"32-bit baseline at width {width}" for width in ("1", "0.5", "2")]
    assert [r.policy.width for r in whole.records[:9]] == [0.5, 1, 2] * 3
    assert {r.origin for r in whole.records[9:]} <= {"sampler", "random"}
    assert set(whole.baselines) == set(WIDTHS)
    assert whole.baselines[1] is whole.baseline
    assert all(base.test_score is not None for base in whole.baselines.values())
    for record in whole.records:
        assert whole.costs(record.policy) == record.costs

    search(trials=4)
    search(trials=10)
    resumed = search(trials=12)
    assert outcomes(resumed) == outcomes(whole)
    again = load_run(tmp_path / "run")
    assert outcomes(again) == outcomes(whole)
    assert again.baselines == resumed.baselines

    with pytest.raises(RunError, match=r"another search: widths differs"):
        search(space=replace(resumed.space, widths=None), profile=None)


def test_what_is_exported_holds_the_width(search, tmp_path):
    run = search(trials=9)
    record = next(record for record in run.front.records if record.policy.width != 1)
    written = export_trial(run, record, tmp_path / "packed")
    manifest = Manifest.load(written / "manifest.json")
    assert manifest.task_args == {"width": record.policy.width}
    assert manifest.model_fingerprint == run.model_at(record.policy.width).fingerprint
    assert manifest.check.agreement == 1
    task = trusted_task(manifest, written, run.space.task.name)
    assert model_from_packed(read_packed(written), task).model(*task.example_inputs).shape == (1, 3)

    policy = PolicyFile.load(export_trial(run, record, tmp_path / "policy.json", format="policy"))
    assert policy.policy == record.policy
    assert policy.model_fingerprint == manifest.model_fingerprint


def test_tables_filters_and_effects_know_the_width(search, training):
    run = search(trials=60, sampler="random")
    wide = [r.number for r in run.records if r.policy.width == 2]
    kept = TrialFilter.parse("width=2x", run.layers)
    assert [r.number for r in run.records if kept.keeps(run, r)] == wide
    frame = run.trials
    assert frame.loc[frame["width"] == 2, "number"].tolist() == wide
    heading, *rows = (line.split(",") for line in front_csv(run.records).splitlines())
    widths = {int(row[heading.index("number")]): row[heading.index("width")] for row in rows}
    assert widths == {r.number: f"{r.policy.width}" for r in run.records}

    effects = layer_effects(run, run.records[wide[0]].policy)
    assert effects.reference.width == 2
    assert effects.fit.trials == len(wide)
    assert effects.reference_costs == run.records[wide[0]].costs
    tried = [record.policy.width for record in run.records]
    assert layer_effects(run).reference.width == max(WIDTHS, key=tried.count)


def test_a_record_of_a_width_that_the_space_lacks_is_damage(search, training, tmp_path):
    run = search(trials=3)
    (run.path / "study.db").unlink()
    lines = [json.loads(line) for line in (run.path / "trials.jsonl").read_text().splitlines()]
    lines[1]["width"] = 7
    (run.path / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(FormatError, match=r"widths of its space.yaml; trial 1 has width 7: all-w32a32"):
        load_run(run.path)


def test_a_run_whose_facts_lack_a_width_is_damage(search, training):
    run = search(trials=3)
    facts = json.loads((run.path / "run.json").read_text())
    assert facts["other_widths"].pop()["width"] == 2
    (run.path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(FormatError, match=r"a model for each width of the space .* it has 0\.5 beside"):
        load_run(run.path)


@pytest.mark.parametrize(
    ("widths", "told"),
    [
        ("[1, 1.01]", r"Every width must give another model; 1 and 1\.01 give the same"),
        ("{argument: depth, values: [1, 2]}", "no.* argument 'depth'|unexpected keyword"),
    ],
)
def test_widths_that_the_task_cannot_have_are_refused(space_of, widths, told):
    with pytest.raises(ConfigError, match=told):
        traced_task(space_of(widths=widths), None, lambda _: None)


def test_widths_that_change_more_than_sizes_are_refused(space_of, tmp_path):
    source = (
        "from dataclasses import replace\n"
        + TASK_FILE.read_text()
        + (
            "def deep(width=1):\n"
            "    model = build_model(0.0) if width == 1 else nn.Sequential(nn.Flatten(), build_model(0.0))\n"
            "    return replace(tiny_task(), build_model=lambda: model)\n"
        )
    )
    (tmp_path / "deep.py").write_text(source)
    space = space_of(task=f'{{name: "{tmp_path / "deep.py"}:deep"}}', widths="[1, 2]")
    with pytest.raises(ConfigError, match="must have the same layers at every width; at 2 and 1"):
        traced_task(space, None, lambda _: None)


def test_a_task_in_memory_has_no_widths(wide_space, tiny_task):
    with pytest.raises(ConfigError, match="Widths need a task by name"):
        load_tasks(wide_space, tiny_task)


def test_a_plan_counts_prices_and_times_all_widths(wide_space, wide_profile):
    plan = plan_search(wide_space, profile=wide_profile)
    assert plan.reach.policies == 81
    assert list(plan.traces) == [1, 0.5, 2]
    told = plan.to_dict()
    weights = [width["weights"] for width in told["widths"]]
    assert [width["width"] for width in told["widths"]] == list(WIDTHS)
    assert weights == sorted(weights)
    assert plan.reach.costs[0].least_policy.width == 0.5
    assert plan.reach.costs[0].greatest_policy.width == 2
    latency = told["costs"]["latency_s"]
    assert (latency["least_width"], latency["greatest_width"]) == (0.5, 2)
    assert any(part.name == "9 uniform policies" for part in plan.time.parts)
