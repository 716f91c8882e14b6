import pytest

from mpsearch.errors import ConfigError, FormatError
from mpsearch.hardware.energy_table import EnergyFigure, EnergyTable, horowitz_table
from mpsearch.precision.scheme import SCHEMES


def test_fewer_bits_never_cost_more_energy():
    table = horowitz_table()
    energies = [table.mac_j(scheme) for scheme in SCHEMES.values()]
    assert energies == sorted(energies)


def test_published_figures_are_summed_as_their_sources_say():
    table = horowitz_table()
    assert table.mac_j(SCHEMES["w32a32"]) == pytest.approx(4.6e-12)
    assert table.mac_j(SCHEMES["w8a8"]) == pytest.approx(0.3e-12)
    assert 4 * table.dram_byte.energy_j == pytest.approx(640e-12)
    assert 8 * table.cache_byte.energy_j == pytest.approx(20e-12)


def test_every_figure_has_a_source_and_the_unsourced_one_says_so():
    table = horowitz_table()
    assert all("Horowitz" in figure.source for figure in (*table.mac.values(), table.dram_byte))
    assert [name for name, figure in table.mac.items() if "unsourced" in figure.source] == ["w1a1"]


def test_a_table_survives_json():
    table = horowitz_table()
    assert EnergyTable.from_dict(table.to_dict()) == table


def test_a_missing_scheme_and_a_negative_energy_are_refused():
    fields = horowitz_table().to_dict()
    del fields["mac"]["w4a8"]
    with pytest.raises(FormatError, match="w4a8"):
        EnergyTable.from_dict(fields)
    with pytest.raises(ConfigError, match="at least 0 J"):
        EnergyFigure(energy_j=-1.0, source="")
