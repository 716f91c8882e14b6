"""Joules of a layer, from published energies of operations and of bytes moved."""

from __future__ import annotations

from mpsearch.hardware.energy_table import EnergyTable
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import Scheme


def call_energy_j(shape: LayerShape, scheme: Scheme, *, layer_bytes: int, table: EnergyTable) -> float:
    """Energy of one call of one layer.

    E = MACs e_mac(scheme) + layer_bytes e_dram + (inputs activation_bits / 8 + 4 outputs) e_cache

    Assumes that weights, scales and bias are read from DRAM once a call, and that each input (at the
    scheme's activation bits) and each output (float32) goes through the cache once. What stays 32-bit
    outside the layers is the same for every policy and is left out.

    A MAC is charged by its scheme alone, also where our kernel computes it otherwise: a depthwise layer at
    w1a1 is charged XNOR energy, although the kernel multiplies bytes there (nine bits to a filter are
    too few to be worth packing). The figure is that of an accelerator with the scheme's own operators. What a
    layer computes beside its scheme (`Extra`) is a few operations an input or output, and is not charged; the
    bytes of its scales are.

    Units: joules.
    Source: the figures and their sources are in `hardware/energy_table.py`.
    """
    cache_bytes = shape.input_count * scheme.activation_bits / 8 + 4 * shape.output_count
    return (
        shape.macs * table.mac_j(scheme)
        + layer_bytes * table.dram_byte.energy_j
        + cache_bytes * table.cache_byte.energy_j
    )
