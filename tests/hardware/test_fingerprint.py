import subprocess
import sys

import pytest

from mpsearch.errors import FormatError
from mpsearch.hardware.fingerprint import MachineFingerprint, cache_sizes, probe_machine


def test_this_machine_has_a_fingerprint_that_survives_json():
    probed = probe_machine()
    assert probed == probe_machine()
    assert probed.cpu_model
    assert 1 <= probed.usable_cores <= probed.logical_cores
    assert probed.physical_cores <= probed.logical_cores
    assert "scalar" in probed.kernels
    assert MachineFingerprint.from_dict(probed.to_dict()) == probed


def test_a_forced_instruction_set_makes_another_machine(monkeypatch):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", "")
    free = probe_machine()
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", "scalar")
    forced = probe_machine()
    assert forced.kernels == ("scalar",)
    assert (free.kernels == ("scalar",)) == (not free.differences(forced))


def test_caches_are_read_from_sysfs_and_instruction_caches_are_left_out(tmp_path):
    for place, (kind, level, size) in enumerate(
        [("Data", "1", "48K"), ("Instruction", "1", "32K"), ("Unified", "2", "1M"), ("Unified", "3", "odd")]
    ):
        folder = tmp_path / f"index{place}"
        folder.mkdir()
        for name, text in (("type", kind), ("level", level), ("size", size)):
            (folder / name).write_text(text + "\n")
    assert cache_sizes(tmp_path) == (("L1d", 48 << 10), ("L2", 1 << 20))
    assert cache_sizes(tmp_path / "none") == ()


def test_the_cache_level_counts_the_caches_that_are_too_small(fingerprint):
    assert [fingerprint.cache_level(size) for size in (1, 32768, 32769, 1 << 30)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("field", "value"), [("cpu_model", 3), ("usable_cores", 1.5), ("kernels", "avx2"), ("caches_bytes", [])]
)
def test_a_field_of_the_wrong_type_is_a_format_error(fingerprint, field, value):
    with pytest.raises(FormatError):
        MachineFingerprint.from_dict({**fingerprint.to_dict(), field: value})


def test_profiles_open_without_torch_or_the_native_kernels():
    code = (
        "import sys; import mpsearch.hardware.profile, mpsearch.cost.cost_model; "
        "assert not {'torch', 'mpsearch.kernels._native'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
