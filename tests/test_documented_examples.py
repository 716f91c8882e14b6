from pathlib import Path

import pytest

import mpsearch

ROOT = Path(__file__).resolve().parents[1]


def test_the_documented_task_searches_and_exports(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MPSEARCH_CACHE", str(tmp_path / "cache"))
    run = mpsearch.search("docs/examples/tumours.yaml", trials=7, out=tmp_path / "run", progress=False)
    assert len(run.trials) == 7
    assert run.front.knee().accuracy > 0.9
    packed = run.front.knee().export(tmp_path / "packed", format="packed")
    assert (packed / "manifest.json").exists()


@pytest.mark.parametrize("space", sorted(ROOT.glob("search_spaces/*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_space_is_valid_and_found_by_its_name(space):
    assert mpsearch.load_space(space.stem).name == space.stem


@pytest.mark.parametrize("profile", sorted(ROOT.glob("hw_profiles/*.json")), ids=lambda path: path.stem)
def test_every_shipped_profile_opens(profile):
    assert mpsearch.HardwareProfile.load(profile).measurements
