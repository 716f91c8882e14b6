"""Energy of a multiply-accumulate and of a byte moved, each figure with its source."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from mpsearch.errors import ConfigError, FormatError
from mpsearch.hardware.json_fields import number, object_of, text
from mpsearch.precision.scheme import SCHEMES, Scheme

HOROWITZ = "Horowitz, ISSCC 2014, fig. 1.1.9 (45 nm, 0.9 V)"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFigure:
    """One figure and where it comes from.

    Units: energy_j in joules (per multiply-accumulate or per byte).
    Raises: ConfigError if it is not a finite number >= 0.
    """

    energy_j: float
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.energy_j) and self.energy_j >= 0):
            raise ConfigError(f"An energy must be finite and at least 0 J; got {self.energy_j}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyTable:
    """Joules per multiply-accumulate by scheme name, and per byte from DRAM and through the cache.

    Raises: ConfigError if a scheme is missing or unknown.
    """

    mac: dict[str, EnergyFigure]
    dram_byte: EnergyFigure
    cache_byte: EnergyFigure

    def __post_init__(self) -> None:
        if set(self.mac) != set(SCHEMES):
            raise ConfigError(f"An energy table must name the schemes {list(SCHEMES)}; got {list(self.mac)}.")

    def mac_j(self, scheme: Scheme) -> float:
        return self.mac[scheme.name].energy_j

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Any) -> EnergyTable:
        """Raises: FormatError if it is not what `to_dict` writes."""
        fields = object_of(value, {"mac", "dram_byte", "cache_byte"}, "An energy table")
        macs = object_of(fields["mac"], set(SCHEMES), "`mac`")
        try:
            return cls(
                mac={name: _figure(macs[name]) for name in SCHEMES},
                dram_byte=_figure(fields["dram_byte"]),
                cache_byte=_figure(fields["cache_byte"]),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error


def _figure(value: Any) -> EnergyFigure:
    fields = object_of(value, {"energy_j", "source"}, "An energy figure")
    return EnergyFigure(
        energy_j=number(fields["energy_j"], "`energy_j`"), source=text(fields["source"], "`source`")
    )


def horowitz_table() -> EnergyTable:
    """The default table.

    Sums below 32 bits are kept in int32, so every integer scheme pays an int32 add (0.1 pJ).
    A chip of today takes less; the ratios between the rows are what the table is for.

    Source: Horowitz 2014, "Computing's energy problem (and what we can do about it)",
    doi:10.1109/ISSCC.2014.6757323. What it does not list says so in its `source`.
    """
    pj = 1e-12
    add_only = f"{HOROWITZ}: int32 add 0.1; the product with a weight of -1, 0 or 1 is an add or subtract"
    return EnergyTable(
        mac={
            "w1a1": EnergyFigure(
                energy_j=(0.05 + 0.1 + 0.1) / 32 * pj,
                source="unsourced estimate: XNOR 0.05 and popcount 0.1 per 32-bit word, plus the int32 add "
                f"0.1 of {HOROWITZ}, shared by 32 products",
            ),
            "w1a8": EnergyFigure(energy_j=0.1 * pj, source=add_only),
            "w1.58a8": EnergyFigure(energy_j=0.1 * pj, source=add_only),
            "w4a8": EnergyFigure(
                energy_j=0.2 * pj,
                source=f"derived from {HOROWITZ}: half an int8 multiply (half the partial products) 0.1, "
                "int32 add 0.1",
            ),
            "w8a8": EnergyFigure(energy_j=0.3 * pj, source=f"{HOROWITZ}: int8 multiply 0.2, int32 add 0.1"),
            "w32a32": EnergyFigure(energy_j=4.6 * pj, source=f"{HOROWITZ}: fp32 multiply 3.7, fp32 add 0.9"),
        },
        dram_byte=EnergyFigure(
            energy_j=160 * pj,
            source=f"{HOROWITZ}: DRAM 1.3 to 2.6 nJ per 64 bits; 640 pJ per 32 bits as widely quoted from it",
        ),
        cache_byte=EnergyFigure(energy_j=2.5 * pj, source=f"{HOROWITZ}: 20 pJ per 64 bits of a 32 KB cache"),
    )
