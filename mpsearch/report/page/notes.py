"""What a reader should know before trusting a number of the page."""

from __future__ import annotations

from mpsearch.report.ranking_text import ranking_text
from mpsearch.report.units import counted
from mpsearch.search.run import Run
from mpsearch.search.score_ranking import score_ranking


def _seeds_note(run: Run) -> str:
    if run.seed_spread is None:
        return ". They do not cover the seed of the training: each policy was trained once."
    repeated = sum(record.seeds > 1 for record in run.records)
    policies = "one policy" if repeated == 1 else f"{repeated} policies"
    return f" and the seed of the training, as far as {policies} with several seeds tell."


def honest_notes(run: Run) -> tuple[str, ...]:
    """One sentence or two each; only those that hold for this run."""
    recipe = run.space.trial
    profile = run.profile
    notes = [
        f"{run.metric.capitalize()} is on the {run.validation_samples} samples of the validation split. The "
        "search chose among its trials by it, so the best of many look a little better than they are.",
        f"± and thin bars are 95% intervals (Wilson) for the choice of samples{_seeds_note(run)} Two trials "
        "scored on the same samples differ by less noise than their intervals suggest.",
        _test_note(run),
        f"A trial is a short fine-tune of at most {recipe.steps} steps from the 32-bit model. Trained for "
        "longer, a policy may score differently. " + _ranking_note(run),
        "Latency is predicted: sums of what the operators took when they were timed alone on "
        f"{counted(profile.threads, 'thread')} of {profile.fingerprint.cpu_model}, one sample at a time. "
        + (
            f"{len(run.measured)} policies were also measured end to end."
            if run.measured
            else "No policy of this run has been measured end to end."
        ),
        "Memory counts what a packed model stores, exactly. Energy is a table of published costs per "
        "operation and byte, not a measurement: compare with it, do not plan a battery by it.",
        "The knee is the point of the front from which each step loses more than it gains, in shares of the "
        "box that the hypervolume measures. It is a suggestion; your budgets know better.",
    ]
    widths = run.baselines if run.records else ()
    models = [run.cost_model_at(width) for width in widths]
    interpolated = [*dict.fromkeys(layer for model in models for layer in model.interpolated_layers)]
    if interpolated:
        some = ", ".join(interpolated[:4]) + (" and others" if len(interpolated) > 4 else "")
        notes.append(
            f"Latencies of {some} were interpolated between measured sizes, at least at one precision."
        )
    return tuple(note for note in notes if note)


def _ranking_note(run: Run) -> str:
    ranking = score_ranking(run.space)
    if ranking is None:
        return "How well trials of this task rank policies as long fine-tunes do has not been measured."
    return f"How well they rank policies all the same was measured: {ranking_text(ranking)}."


def _test_note(run: Run) -> str:
    if not run.test_scores:
        return (
            "Nothing here was scored on a test split: that happens once, for the front, when a search ends."
        )
    return (
        f"The test column ({run.test_samples} samples) was scored once, for the front, when the search had "
        "ended. It chose nothing, so it is the fairer number."
    )
