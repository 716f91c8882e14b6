"""How far the order of a run's scores can be trusted, in words."""

from __future__ import annotations

from mpsearch.search.score_ranking import ScoreRanking


def tau_text(ranking: ScoreRanking) -> str:
    """As in "tau 0.81 (0.72 to 0.88)"."""
    measured = ranking.measured
    return f"tau {measured.tau:.2f} ({measured.low:.2f} to {measured.high:.2f})"


def ranking_text(ranking: ScoreRanking | None) -> str:
    """As in "200 steps rank 48 random policies of this model like 2000 do: tau 0.81 (0.72 to 0.88)"."""
    if ranking is None:
        return "not measured for this task and recipe"
    measured = ranking.measured
    text = (
        f"{measured.steps} steps rank {measured.policies} random policies of this model like "
        f"{measured.long_steps} do: {tau_text(ranking)}"
    )
    if ranking.differing:
        text += f"; measured with other {', '.join(ranking.differing)}"
    return text
