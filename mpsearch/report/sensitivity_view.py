"""What each method of sensitivity says of the layers, and how well it ranks the trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.effect_text import choice_name
from mpsearch.report.fitted_table import Column, FittedTable
from mpsearch.report.shortened import shortened
from mpsearch.report.units import wait_text
from mpsearch.search.resolve import resolve
from mpsearch.search.run import Run
from mpsearch.search.sensitivity import SENSITIVITIES, Sensitivity
from mpsearch.search.sensitivity_agreement import SensitivityAgreement

Agreements = Mapping[str, SensitivityAgreement | None]
_LONGEST_NAME = 24


def sensitivity_view(run: Run, found: Mapping[str, Sensitivity], agreements: Agreements) -> RenderableType:
    """Two tables: the methods, best ranking first; and what the layers lose by the first of them."""
    methods = ranked(found, agreements)
    return Group(
        Text.assemble(("sensitivity", "bold"), "  how each method, before any trial, ranks what was scored"),
        _methods_table(found, agreements, methods),
        Text(),
        Text.assemble(
            (methods[0], "bold"), f"  {SENSITIVITIES[methods[0]].says}; one choice lowered, 1 = the most"
        ),
        _layers_table(run, found[methods[0]]),
    )


def ranked(found: Mapping[str, Sensitivity], agreements: Agreements) -> list[str]:
    """The methods, the highest rank correlation first; those without one last."""

    def key(method: str) -> float:
        agreement = agreements[method]
        return 2.0 if agreement is None else -agreement.spearman

    return sorted(found, key=key)


def sensitivity_json(
    run: Run, found: Mapping[str, Sensitivity], agreements: Agreements
) -> list[dict[str, Any]]:
    """One object a method, best ranking first.

    [{"method", "samples", "seconds", "added": {choice: {scheme: what it adds to the loss}}, "policies",
      "spearman", "spearman_interval": [low, high], "kendall", "kendall_interval"}]

    The last five are null where too few policies have a score.
    """
    choices = [choice.name for choice in resolve(run.space, run.model).choices]
    lines = []
    for method in ranked(found, agreements):
        agreement = agreements[method]
        lines.append(
            {
                "method": method,
                "samples": found[method].samples,
                "seconds": found[method].seconds,
                "added": {
                    choice: {scheme.name: value for scheme, value in found[method].added(choice).items()}
                    for choice in choices
                },
                **{
                    name: None if agreement is None else getattr(agreement, name)
                    for name in SensitivityAgreement.__slots__
                },
            }
        )
    return lines


def _methods_table(
    found: Mapping[str, Sensitivity], agreements: Agreements, methods: list[str]
) -> FittedTable:
    known = [agreements[method] for method in methods]
    return FittedTable(
        columns=[
            Column(title="method", cells=methods, justify="left"),
            Column(
                title="rank correlation",
                unit="Spearman, 95%",
                cells=["" if a is None else _of(a.spearman, a.spearman_interval) for a in known],
                justify="left",
            ),
            Column(
                title="pairs in order",
                unit="Kendall, 95%",
                cells=["" if a is None else _of(a.kendall, a.kendall_interval) for a in known],
                justify="left",
                importance=3,
            ),
            Column(
                title="policies", cells=["" if a is None else str(a.policies) for a in known], importance=2
            ),
            Column(title="samples", cells=[str(found[m].samples) for m in methods], importance=1),
            Column(title="took", cells=[wait_text(found[m].seconds) for m in methods], importance=4),
        ],
        rows=len(methods),
    )


def _of(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f}  {interval[0]:.2f} to {interval[1]:.2f}"


def _layers_table(run: Run, found: Sensitivity) -> FittedTable:
    choices = resolve(run.space, run.model).choices
    offered = [s for s in reversed(SCHEMES.values()) if any(s in choice.schemes for choice in choices)]
    added = [found.added(choice.name) for choice in choices]
    greatest = max((value for of_choice in added for value in of_choice.values()), default=0.0) or 1.0
    names = [shortened(choice_name(choice.name), _LONGEST_NAME) for choice in choices]
    return FittedTable(
        columns=[
            Column(title="layer", cells=names, justify="left"),
            *(
                Column(
                    title=scheme.name,
                    cells=["" if scheme not in of else _share(of[scheme] / greatest) for of in added],
                    importance=1 + place,
                )
                for place, scheme in enumerate(offered)
            ),
        ],
        rows=len(choices),
    )


def _share(value: float) -> str:
    return "0" if value == 0 else f"{value:.3f}" if value >= 0.0005 else "<.001"
