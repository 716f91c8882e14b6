"""What stays at 32 bits in a model, and why."""

from __future__ import annotations

from rich.text import Text

from mpsearch.models.model_trace import ModelTrace


def unquantized_text(model: ModelTrace) -> Text:
    """What stays 32-bit, grouped by the reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for module in model.unquantized:
        reasons.setdefault((module.type_name, module.reason), []).append(module.name)
    text = Text("stays 32-bit", "bold")
    for (type_name, reason), names in reasons.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        text.append(f"\n  {type_name} ", "not bold")
        text.append(f"({shown}): {reason}", "dim not bold")
    return text
