"""The bars of the kernels, and what a run of benchmarks/kernels.py reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
_BYTE_SCHEMES = ("w1.58a8", "w4a8", "w8a8")
_ALL = ("w1a1", "w1a8", *_BYTE_SCHEMES)
_BINARY_CONVS = ("conv 3x3 56^2 x 64", "conv 3x3 28^2 x 128", "conv 3x3 14^2 x 256", "conv 3x3 7^2 x 512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    text: str
    reached: float
    least: float

    def __str__(self) -> str:
        verdict = "met" if self.reached >= self.least else f"MISSED by {1 - self.reached / self.least:.1%}"
        return f"{self.text:66} {self.reached:8.3f} of {self.least:6.3f}  {verdict}"


class _Run:
    def __init__(self, records: list[Record]) -> None:
        self._by_key = {(r["kernel"], r["scheme"], r["shape"]): r for r in records}
        self.shapes = list(dict.fromkeys(r["shape"] for r in records))

    def fraction(self, scheme: str, shape: str) -> float | None:
        record = self._by_key.get(("product", scheme, shape))
        return None if record is None else record["fraction_of_peak"]

    def speed_up(self, kernel: str, scheme: str, shape: str, rival: str) -> float | None:
        record = self._by_key.get((kernel, scheme, shape))
        return None if record is None else record[f"torch_{rival}_latency_s"] / record["latency_s"]

    def layer_over_product(self, scheme: str, shape: str) -> float | None:
        product = self._by_key.get(("product", scheme, shape))
        return (
            None
            if product is None
            else product["latency_s"] / self._by_key["layer", scheme, shape]["latency_s"]
        )


def print_bars(records: list[Record], thread_efficiency: dict[str, float]) -> None:
    """One line per bar; without those whose shapes were not measured or whose peak is unknown here."""
    run = _Run(records)
    rows: list[tuple[str, float | None, float]] = []
    rows += [(f"{s} GEMM 1024^3, of peak", run.fraction(s, "gemm 1024^3"), 0.90) for s in _BYTE_SCHEMES]
    rows.append(("w1a1 GEMM 1024^3, of peak", run.fraction("w1a1", "gemm 1024^3"), 0.88))
    rows += [(f"w1a1 {name}, of peak", run.fraction("w1a1", name), 0.85) for name in _BINARY_CONVS]
    rows += [
        (f"{s} GEMV 4096^2, of min(peak, bandwidth)", run.fraction(s, "gemv 4096^2"), 0.75) for s in _ALL
    ]
    rows += [(f"{s} GEMM 128^3, of peak", run.fraction(s, "gemm 128^3"), 0.70) for s in _ALL]
    wide = "gemm 512x4096x4096"
    for scheme, least in (("w1a1", 20.0), ("w1.58a8", 4.3), ("w4a8", 4.3)):
        rows.append((f"{scheme} {wide}, x torch fp32", run.speed_up("product", scheme, wide, "fp32"), least))
    ternary = ("w1.58a8", "gemv 4096^2")
    rows.append(("w1.58a8 GEMV 4096^2, x torch fp32", run.speed_up("layer", *ternary, "fp32"), 15.0))
    rows.append(("w1.58a8 GEMV 4096^2, x torch int8", run.speed_up("layer", *ternary, "int8"), 2.5))
    for scheme in _ALL:
        rows += _worst_of(run, scheme, 0.95 if scheme == "w8a8" else 1.0)
    for scheme in _ALL:
        shape = "conv 3x3 28^2 x 128"
        rows.append(
            (f"{scheme} product / layer, conv 28^2 x 128", run.layer_over_product(scheme, shape), 1 / 1.25)
        )
    rows += [(f"{name}, of two processes", reached, 0.90) for name, reached in thread_efficiency.items()]
    for text, reached, least in rows:
        if reached is not None:
            print(Bar(text=text, reached=reached, least=least))


def _worst_of(run: _Run, scheme: str, least: float) -> list[tuple[str, float | None, float]]:
    """The shapes on which torch's int8 comes closest: the product beside its operator, layer beside layer."""
    rows: list[tuple[str, float | None, float]] = []
    for kernel in ("product", "layer"):
        ratios = {shape: run.speed_up(kernel, scheme, shape, "int8") or 0.0 for shape in run.shapes}
        ordered = sorted(ratios, key=ratios.__getitem__)
        missed = [shape for shape in ordered if ratios[shape] < least]
        rows += [
            (f"{scheme} {kernel}, x torch int8, {shape}", ratios[shape], least)
            for shape in missed or ordered[:1]
        ]
    return rows
