"""What a run writes down of what it rests on, before its first trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpsearch.cost.layer_terms import CompressedWeights
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.preparation import TracedTask
from mpsearch.search.resolve import full_precision_costs
from mpsearch.search.run_facts import BaselineScore, RunFacts, WidthFacts, installed_version
from mpsearch.search.trial_record import now_utc
from mpsearch.search.width_tasks import Baselines


def new_facts(
    traced: TracedTask,
    profile: HardwareProfile,
    further: Sequence[HardwareProfile],
    *,
    known: KnownCosts,
    baselines: Baselines,
    compressed: Mapping[float | None, CompressedWeights],
) -> RunFacts:
    """The models and their 32-bit baselines, `compressed` by width; the widths' reference comes first."""
    (_, first), *others = {
        width: WidthFacts(
            baseline=BaselineScore(
                key=baselines[width].key,
                score=baselines[width].validation_score,
                loss=baselines[width].validation_loss,
                costs=full_precision_costs(trace, profile, further, compressed.get(width)),
                compressed={
                    layer: {scheme.name: size for scheme, size in of_layer.items()}
                    for layer, of_layer in compressed[width].items()
                },
            ),
            model=trace,
        )
        for width, trace in traced.traces.items()
    }.items()
    return RunFacts(
        created=now_utc(),
        version=installed_version(),
        baseline=first.baseline,
        greatest_costs=known.greatest_costs(),
        model=first.model,
        metric=traced.task.metric_name,
        validation_samples=len(traced.task.validation),
        test_samples=None if traced.task.test is None else len(traced.task.test),
        other_widths={width: found for width, found in others if width is not None},
    )
