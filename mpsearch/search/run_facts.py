"""run.json: what a search knew before its first trial, and the test scores that it found at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mpsearch.errors import FormatError
from mpsearch.models.model_trace import ModelTrace
from mpsearch.precision.policy import is_width
from mpsearch.precision.scheme import SCHEMES, Scheme
from mpsearch.search.costs import Costs
from mpsearch.search.objective import Objective

FACTS_SCHEMA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScore:
    """The 32-bit model that every trial started from. `key` names its weights in the cache.

    `costs` are those of all layers at w32a32 in the same runtime; `test_score` is None until the search
    has ended. `compressed`: layer -> name of a scheme -> bytes of its weights as `compressed_weights` finds
    them, None in a run that knows no compressed size. `constant_loss`: see the function of that name; None
    where loss has been no objective.
    """

    key: str
    score: float
    loss: float
    costs: Costs
    test_score: float | None = None
    compressed: Mapping[str, Mapping[str, int]] | None = None
    constant_loss: float | None = None

    def of(self, objective: Objective) -> float:
        """Its score, its loss, or what it costs."""
        if objective.is_learnt:
            return self.loss if objective.name == "loss" else self.score
        return objective.of(self.costs)

    @property
    def compressed_weights(self) -> dict[str, dict[Scheme, int]] | None:
        """As `CostModel.with_compressed` takes them."""
        if self.compressed is None:
            return None
        return {
            layer: {SCHEMES[name]: size for name, size in sizes.items()}
            for layer, sizes in self.compressed.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` is its inverse."""
        fields = {**asdict(self), "costs": self.costs.to_dict()}
        optional = ("compressed", "constant_loss")
        return {name: value for name, value in fields.items() if name not in optional or value is not None}

    @classmethod
    def from_dict(cls, fields: Any) -> BaselineScore:
        """Raises: KeyError, TypeError or ValueError if it is not what `to_dict` writes."""
        test_score, constant_loss = fields["test_score"], fields.get("constant_loss")
        return cls(
            key=str(fields["key"]),
            score=float(fields["score"]),
            loss=float(fields["loss"]),
            costs=Costs.from_dict(fields["costs"]),
            test_score=None if test_score is None else float(test_score),
            compressed=None if fields.get("compressed") is None else _sizes(fields["compressed"]),
            constant_loss=None if constant_loss is None else float(constant_loss),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthFacts:
    """The model of one width, and what it scores at 32 bits."""

    baseline: BaselineScore
    model: ModelTrace


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What does not change while a search runs, but for `is_rejudged`.

    `baseline` and `model` are those of the width of reference where the space names widths, `other_widths`
    holds those of the others.

    `validation_samples` and `test_samples` are how many each score is the mean of, the latter None without a
    test split; `metric` is what the task calls its score. `test_scores`: trial number -> score on the test
    split. `is_rejudged`: a call made another front of trials that were there, whose weights were not all
    kept.
    """

    created: str
    version: str
    baseline: BaselineScore
    greatest_costs: Costs
    model: ModelTrace
    metric: str
    validation_samples: int
    test_samples: int | None
    test_scores: Mapping[int, float] = field(default_factory=dict)
    other_widths: Mapping[float, WidthFacts] = field(default_factory=dict)
    is_rejudged: bool = False

    @property
    def baselines(self) -> tuple[BaselineScore, ...]:
        """The reference first."""
        return (self.baseline, *(facts.baseline for facts in self.other_widths.values()))

    @property
    def models(self) -> tuple[ModelTrace, ...]:
        """The reference first."""
        return (self.model, *(facts.model for facts in self.other_widths.values()))

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` is its inverse."""
        return {
            "schema": FACTS_SCHEMA,
            "created": self.created,
            "version": self.version,
            "baseline": self.baseline.to_dict(),
            "greatest_costs": self.greatest_costs.to_dict(),
            "metric": self.metric,
            "validation_samples": self.validation_samples,
            "test_samples": self.test_samples,
            "test_scores": {str(number): score for number, score in self.test_scores.items()},
            "rejudged": self.is_rejudged,
            "model": self.model.to_dict(),
            "other_widths": [
                {"width": width, "baseline": facts.baseline.to_dict(), "model": facts.model.to_dict()}
                for width, facts in self.other_widths.items()
            ],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunFacts:
        """Raises: FormatError if it is not what `to_dict` writes."""
        try:
            test_samples = fields["test_samples"]
            found = cls(
                created=str(fields["created"]),
                version=str(fields["version"]),
                baseline=BaselineScore.from_dict(fields["baseline"]),
                greatest_costs=Costs.from_dict(fields["greatest_costs"]),
                model=ModelTrace.from_dict(fields["model"]),
                metric=str(fields["metric"]),
                validation_samples=int(fields["validation_samples"]),
                test_samples=None if test_samples is None else int(test_samples),
                test_scores={int(number): float(score) for number, score in fields["test_scores"].items()},
                other_widths={
                    width["width"]: WidthFacts(
                        baseline=BaselineScore.from_dict(width["baseline"]),
                        model=ModelTrace.from_dict(width["model"]),
                    )
                    for width in fields.get("other_widths", ())  # none in a run of an older mpsearch
                },
                is_rejudged=bool(fields.get("rejudged", False)),
            )
            found._check_numbers()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FormatError(
                f"run.json must be written by mpsearch; got an odd field: {error!r:.200}."
            ) from error
        return found

    def _check_numbers(self) -> None:
        """Raises: ValueError if a number is none that a search writes."""
        samples = [count for count in (self.validation_samples, self.test_samples) if count is not None]
        scores = [*self.test_scores.values()]
        for base in self.baselines:
            scores += [base.score, base.loss, *([] if base.test_score is None else [base.test_score])]
            if base.constant_loss is not None and not 0 < base.constant_loss < math.inf:
                raise ValueError("the loss of a constant answer must be finite and above 0")
        if not all(map(is_width, self.other_widths)):
            raise ValueError("a width must be a number above 0")
        if not all(1 <= count < 2**63 for count in samples) or not all(map(math.isfinite, scores)):
            raise ValueError("samples must be counted from 1, scores be finite")


def _sizes(compressed: Any) -> dict[str, dict[str, int]]:
    """Raises: KeyError, TypeError or ValueError if it is not layer -> scheme -> bytes."""
    found = {
        str(layer): {SCHEMES[name].name: int(size) for name, size in sizes.items()}
        for layer, sizes in compressed.items()
    }
    if not all(0 <= size < 2**63 for sizes in found.values() for size in sizes.values()):
        raise ValueError("a compressed size must be a count of bytes")
    return found


def installed_version() -> str:
    """Version of mpsearch, for the record; empty where it runs from a folder that was never installed."""
    try:
        return version("mpsearch")
    except PackageNotFoundError:
        return ""
