"""Everything that the page shows, as plain data: computed once, then laid out and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.front_picture import axis_title
from mpsearch.report.page.breakdown import Breakdown
from mpsearch.report.page.headline import Headline, headline
from mpsearch.report.page.sensitivity import Sensitivity
from mpsearch.report.page.settings import Command, SettingGroup, commands, setting_groups
from mpsearch.report.page.trial_columns import TrialColumns, rounded
from mpsearch.report.precision_strip import SYMBOLS, scheme_colour, scheme_meaning
from mpsearch.search.history import HistoryPoint, run_history
from mpsearch.search.run import Run


@dataclass(frozen=True, kw_only=True)
class PageData:
    """A run as the page shows it; `layers` in the order of their calls."""

    run: Run
    layers: tuple[str, ...]
    headline: Headline
    trials: TrialColumns
    breakdown: Breakdown
    sensitivity: Sensitivity
    history: tuple[HistoryPoint, ...]
    settings: tuple[SettingGroup, ...]
    commands: tuple[Command, ...]

    @classmethod
    def of(cls, run: Run) -> PageData:
        layers = run.layers
        history = run_history(run)
        return cls(
            run=run,
            layers=layers,
            headline=headline(run, history),
            trials=TrialColumns.of(run, layers),
            breakdown=Breakdown.of(run, layers),
            sensitivity=Sensitivity.of(run),
            history=history,
            settings=setting_groups(run),
            commands=commands(run),
        )

    def to_json(self) -> dict[str, Any]:
        """What the scripts of the page read. Base units: shares of 1, seconds, bytes, joules."""
        run = self.run
        base = run.baseline
        return {
            "run": str(run.path),
            "metric": run.metric,
            "objectives": {
                name: {
                    "title": axis_title(objective, run.metric),
                    "unit": objective.unit,
                    "maximize": objective.direction == "maximize",
                    "searched": objective in run.objectives,
                }
                for name, objective in run.quantities.items()
            },
            "bounds": run.budgets.bounds(),
            "schemes": [
                {"name": scheme.name, "letter": SYMBOLS[scheme.name], "colour": scheme_colour(scheme),
                 "meaning": scheme_meaning(scheme)}
                for scheme in SCHEMES.values()
            ],
            "layers": [{"name": name, "kind": run.model.layer(name).kind} for name in self.layers],
            "baseline": {"accuracy": base.score} | {
                name: base.of(objective)
                for name, objective in run.quantities.items() if name != "accuracy"
            },
            "trials": self.trials.to_json(),
            "breakdown": self.breakdown.to_json(),
            "effects": self.sensitivity.to_json(self.layers),
            "measured": [
                {
                    "number": number,
                    "predicted": rounded(run.trial(number).latency_s),
                    "latency": rounded(measured.latency_s),
                    "low": rounded(measured.quartiles_s[0]),
                    "high": rounded(measured.quartiles_s[1]),
                }
                for number, measured in sorted(run.measured.items())
            ],
            "history": {
                "trials": [point.trials for point in self.history],
                "numbers": [point.number for point in self.history],
                "seconds": [rounded(point.search_s) for point in self.history],
                "hypervolume": [rounded(point.hypervolume) for point in self.history],
            },
        }  # fmt: skip
