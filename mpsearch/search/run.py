"""A search that has run: its trials, its front, and what they were measured against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mpsearch.errors import ConfigError, ExportError, RunError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.model_trace import ModelTrace
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.constrained import total_excess
from mpsearch.search.costs import Costs
from mpsearch.search.front import Front, FrontPoint
from mpsearch.search.further_profiles import read_further
from mpsearch.search.kept_checkpoint import kept_checkpoint
from mpsearch.search.measured import MeasuredLatency, read_measured
from mpsearch.search.objective import Objective, all_objectives, objectives_named
from mpsearch.search.one_run import require_one_run
from mpsearch.search.overrides import Overrides
from mpsearch.search.pick import pick_trial
from mpsearch.search.reference_point import normalised_hypervolume, reference_point
from mpsearch.search.repeated_trials import pooled, trainings_of
from mpsearch.search.run_facts import FACTS_SCHEMA, BaselineScore, RunFacts, WidthFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.runs_near import runs_near
from mpsearch.search.seed_spread import samples_worth, seed_spread
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import load_stored_space
from mpsearch.search.stored_records import read_open
from mpsearch.search.trial_record import TrialRecord
from mpsearch.search.uncertainty import score_interval
from mpsearch.training.task_name import located

if TYPE_CHECKING:
    import pandas as pd

    from mpsearch.cost.cost_model import CostModel, CostReport


class Exporter(Protocol):
    """What `Run.export` calls: `mpsearch.export` lies above this package, so it is handed in."""

    def __call__(self, run: Run, record: TrialRecord, out: Path, *, format: str, **options: Any) -> Path: ...  # noqa: A002


class Viewer(Protocol):
    """Shows a run in a notebook, as HTML: `mpsearch.report` lies above this package, so it is handed in."""

    def __call__(self, run: Run, *, heading: bool) -> str: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a run folder holds. Made by `load_run`; `mpsearch.search` returns one.

    `records` are all finished trials in the order of their numbers, those of one policy as one (`pooled`);
    `feasible` is judged by budgets and overrides of `space`.
    `baseline`, `model`: at the width of reference where the space names widths; `other_widths` has those of
    the others.
    `greatest_costs`: the greatest reachable ones of the space, which place the reference point.
    `metric`: what the score is; it is the mean of that over `validation_samples`, the test score over
    `test_samples`. `test_scores`: trial number -> score on the test split, for the front, once the search
    has ended. `measured`: trial number -> latency as `mpsearch bench` measured it.
    `task`: only where the run was made in this process from Python objects; else it is loaded by
    `space.task`.
    """

    path: Path
    space: SearchSpace
    records: tuple[TrialRecord, ...]
    baseline: BaselineScore
    model: ModelTrace
    other_widths: Mapping[float, WidthFacts] = field(default_factory=dict)
    profile: HardwareProfile
    further_profiles: tuple[HardwareProfile, ...] = ()
    greatest_costs: Costs
    metric: str
    validation_samples: int
    test_samples: int | None = None
    test_scores: Mapping[int, float] = field(default_factory=dict)
    measured: Mapping[int, MeasuredLatency] = field(default_factory=dict)
    exporter: Exporter | None = None
    viewer: Viewer | None = None
    task: Any = None

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of the further profiles."""
        return tuple(profile.name for profile in self.further_profiles)

    @cached_property
    def quantities(self) -> dict[str, Objective]:
        """Name -> accuracy, loss and every cost, on each device: all that may be an objective of this run."""
        return all_objectives(self.devices, is_compressed=self.baseline.compressed is not None)

    @property
    def name(self) -> str:
        """Of its folder, also where that was given as `.`."""
        return self.path.resolve().name

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self.space.objectives

    @property
    def budgets(self) -> Budgets:
        return self.space.budgets

    @property
    def overrides(self) -> Overrides:
        return self.space.overrides

    @cached_property
    def trainings(self) -> tuple[TrialRecord, ...]:
        """All finished trials, each with its own score: repeats too."""
        return tuple(trainings_of(self.records))

    @cached_property
    def seed_spread(self) -> float | None:
        """As the function `seed_spread`."""
        return seed_spread(self.records, self.validation_samples)

    @property
    def layers(self) -> tuple[str, ...]:
        """What its policies name, in the order in which the model calls them."""
        return tuple(layer.name for layer in self.model.layers)

    @cached_property
    def front(self) -> Front:
        view = None if self.viewer is None else partial(self.viewer, self, heading=False)
        facts = (self.records, self.objectives, self.budgets, self.reference_point)
        return Front(*facts, self.export, view=view, overrides=self.overrides)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a finished trial; the columns are `FRAME_COLUMNS` of mpsearch.search.tables."""
        from mpsearch.search.tables import records_frame  # noqa: PLC0415 - pandas is slow to import

        return records_frame(self.records, self.front)

    @cached_property
    def open_numbers(self) -> tuple[int, ...]:
        """Trials that have begun and not ended: they run at this moment, or their search was killed.

        Raises: FormatError if the study is truncated or corrupt.
        """
        database = RunFolder(self.path).database
        ended = {training.number for training in self.trainings}
        begun = read_open(database) if database.exists() else ()
        return tuple(number for number in begun if number not in ended)

    def trial(self, number: int) -> TrialRecord:
        """The finished trial of that number; of a repeat, the one that it was pooled with.

        Raises: RunError if there is none.
        """
        for record in self.records:
            if number in (training.number for training in record.every_training):
                return record
        known = f"0 to {self.trainings[-1].number}" if self.trainings else "none"
        raise RunError(f"Trial {number} is not in {self.path}; it has {known}. `mpsearch pareto` lists them.")

    @property
    def reference_point(self) -> dict[str, float]:
        """As the function `reference_point`."""
        return reference_point(self.objectives, self.greatest_costs, self.baseline.constant_loss)

    @property
    def hypervolume(self) -> float:
        """Share that the front dominates of the box from `reference_point` to accuracy 1 at no cost.

        Of one objective: how much of the way from the reference to the ideal is done. 0 while budgets decide
        who is on the front and no trial meets them.
        """
        members = self.front.records
        deciding = self.front.deciding
        if deciding is not None and any(total_excess(record, deciding) > 0 for record in members):
            return 0.0
        return normalised_hypervolume(members, self.objectives, self.reference_point)

    def interval(self, record: TrialRecord) -> tuple[float, float]:
        """Where the record's score would lie on other validation samples, 95%; see `score_interval`.

        Once some policy is trained with several seeds: where the mean over all seeds would; `seed_spread`.
        NaN and NaN where the trial failed, or for a metric that leaves 0..1.
        """
        samples: float = self.validation_samples
        if self.seed_spread is not None:
            samples = samples_worth(self.validation_samples, record.seeds, self.seed_spread)
        return _interval(record.score, samples)

    def test_interval(self, number: int) -> tuple[float, float]:
        """As `interval`, for the score on the test split; NaN and NaN where there is none."""
        return _interval(self.test_scores.get(number), self.test_samples)

    @property
    def baselines(self) -> dict[float | None, BaselineScore]:
        """By width, the reference first; a run without widths has one, under None."""
        found: dict[float | None, BaselineScore] = {self._reference_width: self.baseline}
        found.update((width, facts.baseline) for width, facts in self.other_widths.items())
        return found

    def model_at(self, width: float | None) -> ModelTrace:
        """The layers of the model that policies of that width are for."""
        facts = None if width is None else self.other_widths.get(width)
        return self.model if facts is None else facts.model

    @property
    def _reference_width(self) -> float | None:
        return None if self.space.widths is None else self.space.widths.reference

    @property
    def cost_model(self) -> CostModel:
        """Costs of any policy of the space, from the run's own profile; at the width of reference."""
        return self.cost_model_at(self._reference_width)

    @property
    def device_models(self) -> dict[str, CostModel]:
        """As `cost_model`, of each further device."""
        return self.device_models_at(self._reference_width)

    def cost_model_at(self, width: float | None) -> CostModel:
        """Costs of the policies of that width, from the run's own profile."""
        from mpsearch.search.resolve import cost_model_of  # noqa: PLC0415 - only some commands need it

        if width not in self._cost_models:
            compressed = self.baselines.get(width, self.baseline).compressed_weights
            self._cost_models[width] = cost_model_of(
                self.space, self.model_at(width), self.profile, compressed
            )
        return self._cost_models[width]

    def device_models_at(self, width: float | None) -> dict[str, CostModel]:
        """As `cost_model_at`, of each further device."""
        from mpsearch.search.resolve import device_models  # noqa: PLC0415 - only some commands need it

        if width not in self._device_models:
            models = device_models(self.space, self.model_at(width), self.further_profiles)
            self._device_models[width] = models
        return self._device_models[width]

    @cached_property
    def _cost_models(self) -> dict[float | None, CostModel]:
        return {}

    @cached_property
    def _device_models(self) -> dict[float | None, dict[str, CostModel]]:
        return {}

    def cost_report(self, policy: PrecisionPolicy, device: str | None = None) -> CostReport:
        """Layer by layer, on the machine of the main profile or on a further device."""
        width = policy.width
        model = self.cost_model_at(width) if device is None else self.device_models_at(width)[device]
        return model.evaluate(policy)

    def costs(self, policy: PrecisionPolicy) -> Costs:
        """The totals, on all devices."""
        further = {device: self.cost_report(policy, device) for device in self.devices}
        return Costs.of(self.cost_report(policy), further)

    def checkpoint(self, number: int) -> Path:
        """The trained weights (safetensors) of a trial on the front.

        Raises: RunError if they are not there: they are kept for the front only, and a copy may lack them.
        """
        return kept_checkpoint(RunFolder(self.path), self.trial(number), self.front)

    def with_budgets(self, budgets: Budgets) -> Run:
        """The same run judged by other budgets, and by its overrides as before."""
        space = replace(self.space, budgets=budgets)
        judged = tuple(replace(record, feasible=space.admits(record)) for record in self.records)
        return replace(self, space=space, records=judged)

    def with_objectives(self, names: Sequence[str]) -> Run:
        """The same run with the front of other objectives.

        Raises: ConfigError as `objectives_named`, or if the run does not know one of them.
        """
        objectives = objectives_named(names)
        for objective in objectives:
            if objective.name not in self.quantities:
                raise ConfigError(
                    f"An objective must be one that every trial tells: {', '.join(self.quantities)}; got "
                    f"{objective.name}."
                )
        return replace(self, space=replace(self.space, objectives=objectives))

    def with_task_at(self, name: str) -> Run:
        """The same run with its task's code found by this name, seen from the current folder."""
        reference = replace(self.space.task, name=located(name, Path.cwd()))
        return replace(self, space=replace(self.space, task=reference))

    def export(
        self,
        pick: int | str | FrontPoint | TrialRecord,
        out: str | Path,
        *,
        format: str = "packed",  # noqa: A002
        **options: Any,
    ) -> Path:
        """Write one trial as a `packed` model or a `policy` file to `out`; return what was written.

        `pick`: a trial, its number, or what `pick_trial` takes, such as "knee" or "latency<300us".

        Raises: ExportError if it cannot be exported; RunError if the trial is not in the run; ConfigError
        if `pick` is none of these.
        """
        if self.exporter is None:
            raise ExportError(
                "A run opened by mpsearch.search.run cannot export. Open it with mpsearch.load_run()."
            )
        record = pick_trial(self, pick if isinstance(pick, (int, str)) else pick.number)
        return self.exporter(self, record, Path(out), format=format, **options)

    def _repr_html_(self) -> str | None:
        return None if self.viewer is None else self.viewer(self, heading=True)

    def __repr__(self) -> str:
        complete, stopped, failed = (
            sum(record.state == state for record in self.trainings)
            for state in ("complete", "stopped", "failed")
        )
        early = f"{stopped} stopped early, " if stopped else ""
        return (
            f"Run({str(self.path)!r}: {complete} trials, {early}{failed} failed, "
            f"{len(self.front)} on the front, hypervolume {self.hypervolume:.4f})"
        )


def _interval(score: float | None, samples: float | None) -> tuple[float, float]:
    if score is None or samples is None or not 0 <= score <= 1:
        return math.nan, math.nan
    return score_interval(score, samples)


def load_run(path: str | Path, *, exporter: Exporter | None = None) -> Run:
    """Open a run folder, finished or not; a search may be writing to it meanwhile.

    A run shared as its small files, without study.db, is read from trials.jsonl.

    Raises: RunError if there is no run, it cannot be read, or its first trial has not begun; FormatError
    if a file of it is truncated, corrupt or of a newer schema.
    """
    try:
        return _loaded(RunFolder(Path(path)), exporter)
    except OSError as error:  # a path too long, a file or folder without permission
        raise RunError(
            f"{path} must be the folder of a run, and readable; got: {error.strerror or error}. Check its "
            "name and permissions."
        ) from error


def _loaded(folder: RunFolder, exporter: Exporter | None) -> Run:
    path = folder.path
    if not folder.exists:
        if folder.has_begun:
            raise RunError(
                f"The search in {path} has not come to its first trial. Give its `mpsearch search` "
                "command again."
            )
        raise RunError(
            f"{path} must be the folder of a run; it has no {folder.facts_file.name}.{runs_near(folder.path)}"
        )
    space = load_stored_space(folder.space_file)
    facts = RunFacts.from_dict(folder.read_json(folder.facts_file, schema=FACTS_SCHEMA))
    records = tuple(folder.read_records())
    require_one_run(folder, space, facts, records)
    run = Run(
        path=folder.path,
        space=space,
        records=pooled(records),
        baseline=facts.baseline,
        model=facts.model,
        other_widths=facts.other_widths,
        profile=HardwareProfile.load(folder.profile_file),
        further_profiles=read_further(folder, facts.greatest_costs.device_names),
        greatest_costs=facts.greatest_costs,
        metric=facts.metric,
        validation_samples=facts.validation_samples,
        test_samples=facts.test_samples,
        test_scores=facts.test_scores,
        measured=read_measured(folder.measured_file),
        exporter=exporter,
    )
    return run.with_budgets(space.budgets)
