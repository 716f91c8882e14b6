"""How a model will run: in one compiled plan, or in torch, and what keeps it there."""

from __future__ import annotations

from rich.text import Text

from mpsearch.models.model_trace import ModelTrace

SHOWN_REASONS = 4


def execution_line(model: ModelTrace) -> Text | None:
    """None for a trace of which neither is known."""
    if model.graph is not None:
        return Text("runs compiled: layers and all operators between them in one plan", "dim")
    if not model.eager_reasons:
        return None
    shown = "; ".join(model.eager_reasons[:SHOWN_REASONS])
    left = len(model.eager_reasons) - SHOWN_REASONS
    more = f"; and {left} more" if left > 0 else ""
    return Text(
        f"runs in torch, with packed layers inside, since no compiled plan takes {shown}{more}", "yellow"
    )
