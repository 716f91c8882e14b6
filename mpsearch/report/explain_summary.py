"""What the effects of the layers come to, in sentences, and the command that acts on them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from fnmatch import fnmatchcase

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.report.effect_text import (
    change_words,
    choice_name,
    cost_text,
    effect_words,
    saved_words,
    scheme_words,
)
from mpsearch.report.facts_grid import FactsGrid
from mpsearch.report.units import factor_text
from mpsearch.search.layer_effects import ChoiceVerdict, LayerEffect, LayerEffects
from mpsearch.search.run import Run

_SENTENCES = 3
_MOST_FLAGS = 4
_MORE_TRIALS = 20


def explain_summary(effects: LayerEffects, choices: Sequence[ChoiceVerdict]) -> RenderableType:
    """Most saved for least accuracy; what must stay; what would have to be tried; how good the fit is."""
    facts: list[tuple[str, Text | str]] = []
    facts += _labelled("go low", _best_savings(effects, choices))
    facts += _labelled("stay high", _must_stay(choices))
    facts += _labelled("unclear", _unclear(choices))
    if effects.together is not None and len(choices) == len(effects.choices):
        facts.append(("together", _together(effects)))
    facts.append(("fit", _fit(effects)))
    facts.append(("note", Text(_CAVEAT, "dim")))
    parts: list[RenderableType] = [FactsGrid(facts)]
    if effects.fit.warning:
        parts.insert(0, Text(f"Warning: {effects.fit.warning}", "bold yellow"))
    return Group(*parts)


_CAVEAT = (
    "An interval holds a layer's own effect with 95%. A single training strays further, most where scores "
    "are of few samples: --json and wide tables say how far. What is saved is exact, by the run's profile."
)


def next_command(run: Run, effects: LayerEffects) -> Text:
    """The search goes on without what surely costs too much; or, where nothing does, simply goes on."""
    words = ["mpsearch", "search", str(run.path)]
    for choice, _ in _barred(effects.choices)[:_MOST_FLAGS]:
        costly = ",".join(effect.scheme.name for effect in choice.lower if effect.verdict == "costly")
        for pattern in _patterns(run, choice):
            words += ["--forbid", f"{pattern}={costly}"]
    settled = [
        (choice, choice.can_go_to)
        for choice in effects.choices
        if choice.can_go_to is not None and choice.can_go_to is choice.lower[-1]
    ]
    if len(words) == 3 and settled:
        choice, effect = max(settled, key=lambda pair: _share_saved(effects, pair[1]))
        for pattern in _patterns(run, choice):
            words += ["--pin", f"{pattern}={effect.scheme}"]
    words += ["--trials", str(len(run.trainings) + _MORE_TRIALS)]
    return Text.assemble(("next  ", "bold"), (shlex.join(words), "cyan"))


def _patterns(run: Run, choice: ChoiceVerdict) -> list[str]:
    """What names the layers of a choice and no others: the globs of its group, where they do, else each."""
    if len(choice.layers) == 1:
        return [choice.layers[0]]
    globs = [rule.match for rule in run.space.layers if choice.choice == f"group:{rule.group}"]
    matched = {layer.name for layer in run.model.layers if any(fnmatchcase(layer.name, g) for g in globs)}
    return globs if matched == set(choice.layers) else list(choice.layers)


def _labelled(label: str, lines: Sequence[Text]) -> list[tuple[str, Text | str]]:
    return [(label if not place else "", line) for place, line in enumerate(lines)]


def _best_savings(effects: LayerEffects, choices: Sequence[ChoiceVerdict]) -> list[Text]:
    safe = [choice.can_go_to for choice in choices if choice.can_go_to is not None]
    if not safe:
        return [Text("No layer surely loses less than the limit at a lower precision.")]
    safe.sort(key=lambda effect: -_share_saved(effects, effect))
    lines = [effect_words(effect) for effect in safe[:_SENTENCES]]
    if len(safe) > _SENTENCES:
        lines.append(Text(f"and {len(safe) - _SENTENCES} more can go lower", "dim"))
    return lines


def _share_saved(effects: LayerEffects, effect: LayerEffect) -> float:
    costs = effects.reference_costs
    return effect.memory_saved_bytes / costs.memory_bytes + effect.latency_saved_s / costs.latency_s


def _must_stay(choices: Sequence[ChoiceVerdict]) -> list[Text]:
    barred = _barred(choices)
    lines = []
    for choice, effect in barred[:_SENTENCES]:
        line = Text.assemble((choice_name(choice.choice), "bold"), f": not below {choice.not_below}; ")
        line.append(f"{scheme_words(effect.scheme)} costs ").append(cost_text(effect), "red").append(
            " points"
        )
        lines.append(line)
    if len(barred) > _SENTENCES:
        lines.append(Text(f"and {len(barred) - _SENTENCES} more must not go to their lowest", "dim"))
    return lines


def _barred(choices: Sequence[ChoiceVerdict]) -> list[tuple[ChoiceVerdict, LayerEffect]]:
    """With its highest scheme that surely costs more, each choice that has one; the costliest first."""
    barred = [
        (choice, next(effect for effect in choice.lower if effect.verdict == "costly"))
        for choice in choices
        if choice.not_below is not None
    ]
    return sorted(barred, key=lambda pair: pair[1].accuracy_change)


def _unclear(choices: Sequence[ChoiceVerdict]) -> list[Text]:
    """What a few more trials would tell, the most saved first."""
    open_effects = [effect for choice in choices for effect in choice.lower if effect.verdict == "unclear"]
    if not open_effects:
        return []
    askable = [effect for effect in open_effects if effect.trials_needed is not None]
    askable.sort(key=lambda effect: (effect.trials_needed or 0, -effect.memory_saved_bytes))
    lines = []
    for effect in askable[:_SENTENCES]:
        count = effect.trials_needed
        lines.append(
            Text.assemble(
                (choice_name(effect.choice), "bold"), f" at {effect.scheme}: ", (cost_text(effect), "yellow"),
                f" points; about {count} more trial{'s' if count != 1 else ''} much like it would tell",
            )
        )  # fmt: skip
    rest = len(open_effects) - len(lines)
    if rest:
        more = " more" if lines else ""
        lines.append(Text(f"{rest}{more} cannot be told apart from the limit yet", "dim"))
    return lines


def _together(effects: LayerEffects) -> Text:
    joint = effects.together
    assert joint is not None
    costs = effects.reference_costs
    smaller = costs.memory_bytes / (costs.memory_bytes - joint.memory_saved_bytes)
    faster = costs.latency_s / (costs.latency_s - joint.latency_saved_s)
    is_within = -joint.interval[0] < effects.tolerance
    text = Text("lowering all of them at once ")
    text.append(change_words(joint), "green" if is_within else "yellow")
    text.append(f" and {saved_words(joint)}: {factor_text(smaller)} smaller, {factor_text(faster)} faster")
    return text.append(
        f"; trial {joint.trial} is just that" if joint.trial is not None else "; not trained yet"
    )


def _fit(effects: LayerEffects) -> str:
    fit = effects.fit
    return (
        f"explains {100 * max(fit.explained, 0):.0f}% of the variance of scores it was not shown, rank "
        f"correlation {fit.rank_correlation:.2f}; off by {100 * fit.residual:.2f} points, where drawing "
        f"{fit.samples} samples alone gives {100 * fit.sampling:.2f}; effects add up in the {fit.scale}"
    )
