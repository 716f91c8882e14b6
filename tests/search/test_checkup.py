"""The check-up: what it finds, and what it advises."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from mpsearch.kernels.native import available_isas
from mpsearch.report.doctor_view import CheckupView
from mpsearch.search import checkup_machine, checkup_software
from mpsearch.search.checkup import Checkup, Finding, Section
from mpsearch.search.checkup_machine import kernel_section, noise_findings
from mpsearch.search.checkup_software import cache_finding, library_section, place_section, torch_section


def named(section, name):
    return next(finding for finding in section.findings if finding.name == name)


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize("isa", available_isas())
def test_every_kernel_is_computed_and_agrees_with_its_reference(isa, monkeypatch):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", isa)
    section = kernel_section()
    for scheme in ("w1a1", "w1a8", "w1.58a8", "w4a8", "w8a8"):
        assert named(section, scheme).state == "ok"
        assert named(section, scheme).value.startswith(f"{isa}, exact")
    assert "forced" in named(section, "chosen").value


def test_a_kernel_that_is_wrong_breaks_the_check(monkeypatch):
    def wrong(layer, x):
        return np.zeros((1, 9, 7, 20), np.float32)

    monkeypatch.setattr(checkup_machine, "run_reference", wrong)
    finding = named(kernel_section(), "w8a8")
    assert finding.state == "broken"
    assert "differ from the reference" in finding.value


def test_a_forced_instruction_set_that_is_not_there_breaks_it_and_the_advice_names_those_that_are(
    monkeypatch,
):
    monkeypatch.setenv("MPSEARCH_FORCE_ISA", "avx9")
    (finding,) = kernel_section().findings
    assert finding.state == "broken"
    assert "scalar" in finding.advice


def test_the_best_kernel_is_chosen_and_the_others_can_be_forced(monkeypatch):
    monkeypatch.delenv("MPSEARCH_FORCE_ISA", raising=False)
    best, *others = available_isas()
    value = named(kernel_section(), "chosen").value
    assert value.startswith(f"{best}, the best")
    assert all(isa in value for isa in others)


def test_what_makes_timings_noisy_is_read_from_the_system(tmp_path):
    write(tmp_path, "proc/loadavg", "99.5 1 1 1/1 1")
    write(tmp_path, "proc/cpuinfo", "processor: 0\nflags : fpu hypervisor avx2\n")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    write(tmp_path, "sys/devices/system/cpu/cpufreq/boost", "1\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    found = {finding.name: finding for finding in noise_findings(tmp_path)}
    assert found["load"].state == "note"
    assert "99.5" in found["load"].value
    assert "powersave" in found["clock"].value
    assert "1.5 processors" in found["limit"].value
    assert set(found) == {"load", "clock", "turbo", "limit", "virtual"}


def test_a_quiet_machine_has_nothing_to_tell(tmp_path):
    write(tmp_path, "proc/loadavg", "0.00 0 0 1/1 1")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000")
    assert [(finding.name, finding.state) for finding in noise_findings(tmp_path)] == [
        ("load", "ok"),
        ("clock", "ok"),
    ]


def test_a_library_that_is_missing_is_told_with_what_it_is_for(monkeypatch):
    libraries = {"no-such-thing": ("no_such_thing", "wonders", False), "numpy": ("numpy", "everything", True)}
    monkeypatch.setattr(checkup_software, "LIBRARIES", libraries)
    missing = named(library_section(), "no-such-thing")
    assert (missing.state, missing.advice) == ("missing", "pip install no-such-thing")
    assert "wonders" in missing.value
    assert named(library_section(), "numpy").state == "ok"


def test_every_library_is_one_that_the_package_asks_for():
    assert all(finding.state == "ok" for finding in library_section().findings)


def test_data_that_is_missing_is_told_with_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MPSEARCH_DATA", str(tmp_path))
    missing = named(place_section(), "task cifar10")
    assert missing.state == "missing"
    assert "train.parquet" in missing.advice
    for name in ("train", "test"):
        write(tmp_path, f"cifar10/{name}.parquet", "")
    assert named(place_section(), "task cifar10").state == "ok"
    monkeypatch.setenv("MPSEARCH_DATA", str(tmp_path / "nowhere"))
    assert named(place_section(), "MPSEARCH_DATA").state == "missing"
    monkeypatch.delenv("MPSEARCH_DATA")
    assert named(place_section(), "task cifar10").state == "missing"


def test_the_cache_is_measured_and_must_be_writable(tmp_path):
    assert "nothing in it yet" in cache_finding(tmp_path / "new").value
    write(tmp_path, "baselines/a.safetensors", "x" * 2000)
    assert "2.00 KB in 1 files" in cache_finding(tmp_path).value
    assert cache_finding(tmp_path / "baselines/a.safetensors/below").state == "broken"


def test_torch_tells_its_build_and_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    section = torch_section()
    assert named(section, "torch").state == "ok"
    assert "OMP_NUM_THREADS is 7" in named(section, "threads").value


def checkup(*states):
    advice = {"ok": None, "fact": None}
    findings = [
        Finding(name=f"n{place}", value="v" * 60, state=state, advice=advice.get(state, f"do {state}"))
        for place, state in enumerate(states)
    ]
    return Checkup(sections=(Section(title="Things", findings=tuple(findings)),))


def shown(view, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


def test_only_what_is_broken_breaks_it_and_the_worst_comes_first():
    assert not checkup("ok", "fact", "note", "missing").is_broken
    found = checkup("note", "missing", "broken")
    assert found.is_broken
    assert [finding.advice for finding in found.to_do] == ["do broken", "do missing", "do note"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_is_shown_at_any_width_with_what_to_do_at_the_end(width):
    text = shown(CheckupView(checkup("ok", "broken", "note")), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.index("do broken") > text.rindex("n2")
    assert "Everything is there" in shown(CheckupView(checkup("ok", "fact")), width)


def test_it_is_whole_as_json():
    told = json.loads(json.dumps(checkup("ok", "missing").to_dict()))
    assert told["is_broken"] is False
    assert [finding["state"] for finding in told["sections"]["things"]] == ["ok", "missing"]
