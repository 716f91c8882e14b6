"""The budget options that several commands take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.search.budgets import Budgets

_PANEL = "Budgets"
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory", metavar="SIZE", help="At most that size: 60KB, 1.5MB.", rich_help_panel=_PANEL
    ),
]
MaxLatency = Annotated[
    list[str] | None,
    typer.Option(
        "--max-latency",
        metavar="TIME",
        help="At most that long: 400us, 2ms; on a further device: pi5=2ms. Can be repeated.",
        rich_help_panel=_PANEL,
    ),
]
MaxLatencyP95 = Annotated[
    list[str] | None,
    typer.Option(
        "--max-latency-p95",
        metavar="TIME",
        help="95 of 100 calls at most that long.",
        rich_help_panel=_PANEL,
    ),
]
MaxLatencyP99 = Annotated[
    list[str] | None,
    typer.Option(
        "--max-latency-p99",
        metavar="TIME",
        help="99 of 100 calls at most that long.",
        rich_help_panel=_PANEL,
    ),
]
MaxEnergy = Annotated[
    list[str] | None,
    typer.Option(
        "--max-energy", metavar="ENERGY", help="At most that much: 5uJ; pi5=9uJ.", rich_help_panel=_PANEL
    ),
]
MaxCompressedSize = Annotated[
    str | None,
    typer.Option(
        "--max-compressed-size",
        metavar="SIZE",
        help="At most that size with compressed weights: 40KB.",
        rich_help_panel=_PANEL,
    ),
]
MaxLoss = Annotated[
    str | None,
    typer.Option(
        "--max-loss", metavar="LOSS", help="At most that loss on validation: 0.25.", rich_help_panel=_PANEL
    ),
]
MinAccuracy = Annotated[
    str | None,
    typer.Option(
        "--min-accuracy", metavar="SHARE", help="At least that: 0.9 or 90%.", rich_help_panel=_PANEL
    ),
]


Objectives = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="What it is for: accuracy,latency; latency alone, with --min-accuracy.",
        show_default="the space's, or the run's",
    ),
]


def objective_names(given: str | None) -> list[str] | None:
    """Of `accuracy, latency`; None where nothing was given."""
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


def budgets_from(
    *,
    max_memory: str | None,
    max_latency: list[str] | None,
    max_latency_p95: list[str] | None,
    max_latency_p99: list[str] | None,
    max_energy: list[str] | None,
    max_compressed_size: str | None,
    max_loss: str | None,
    min_accuracy: str | None,
) -> Budgets:
    """Raises: ConfigError if one is not a quantity of its kind, or is there twice."""
    from mpsearch.search.budgets import Budgets

    texts = {
        "memory": max_memory,
        "compressed_size": max_compressed_size,
        "loss": max_loss,
        "accuracy": min_accuracy,
    }
    repeatable = {
        "latency": max_latency,
        "latency_p95": max_latency_p95,
        "latency_p99": max_latency_p99,
        "energy": max_energy,
    }
    for kind, values in repeatable.items():
        for value in values or ():
            device, _, bound = value.rpartition("=")
            name = f"{kind}@{device}" if device else kind
            if name in texts:
                raise ConfigError(
                    f"A budget must be given once; got {name} <= {texts[name]} and {bound}. Leave one out."
                )
            texts[name] = bound
    return Budgets.parse(texts)
