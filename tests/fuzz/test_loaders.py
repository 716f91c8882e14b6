"""Some hundred damaged files of each kind; `benchmarks/fuzz.py` reads a hundred thousand."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = ("space", "profile", "policy", "packed", "run", "study")
FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_touched_is_read(loader, name):
    found = loader(name)
    assert found.verdict(found.pristine).end == "read"


@pytest.mark.parametrize(
    ("name", "count"),
    [("space", 120), ("profile", 120), ("policy", 150), ("packed", 100), ("run", 100), ("study", 8)],
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused_by_a_typed_error(loader, name, count):
    found = loader(name)
    ends = Counter()
    for number in range(count):
        verdict = found.verdict(found.damaged(number), number)
        assert verdict.crash is None, f"{name}:{number} {verdict.crash}"
        ends[verdict.end] += 1
    assert len(ends) > 1  # the damage is neither nothing nor everything


def json_values():
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@pytest.mark.parametrize(("name", "file"), [("policy", "policy.json"), ("run", "run.json")])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused(loader, name, file, data):
    found = loader(name)
    document = json.loads(found.pristine[file])
    node = document
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(json_values())
    assert found.verdict({**found.pristine, file: json.dumps(document).encode()}).crash is None


# What the fuzzer has found ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[" * 20_000, "{a: " * 20_000, "- " * 20_000, "schema: " + "[" * 500_000])
def test_a_deeply_nested_space_is_refused_at_once(loader, text):
    """PyYAML takes time as the square of the depth: minutes for 20 KB."""
    assert loader("space").verdict({"space.yaml": text.encode()}).end == "ConfigError"


@pytest.mark.parametrize("number", ["0x" + "f" * 6000, "0b" + "1" * 20_000, "1" + ":59" * 3000, "9" * 5000])
def test_a_number_too_long_to_print_is_refused_in_a_space(loader, number):
    """Python refuses to print more than 4300 digits, and so the message failed that should have told."""
    found = loader("space")
    text = found.pristine["space.yaml"].decode().replace("schema: 1", f"schema: {number}")
    assert found.verdict({"space.yaml": text.encode()}).end == "ConfigError"


@pytest.mark.parametrize("name", ["profile", "run"])
def test_half_a_surrogate_pair_is_refused_where_it_is_read(loader, name):
    """No terminal and no file takes it: the traceback came when the run was printed or written again."""
    found = loader(name)
    document = json.loads(found.pristine["profile.json"])
    document["name"] = "\ud800"
    files = {**found.pristine, "profile.json": json.dumps(document).encode()}
    assert found.verdict(files).end == "FormatError"


def test_an_unknown_scheme_is_quoted_in_short(loader):
    found = loader("policy")
    document = json.loads(found.pristine["policy.json"])
    document["layers"] = dict.fromkeys(document["layers"], "w" * 100_000)
    assert found.verdict({"policy.json": json.dumps(document).encode()}).end == "FormatError"


def test_a_policy_that_is_none_is_quoted_in_short(loader):
    found = loader("policy")
    document = json.loads(found.pristine["policy.json"])
    document["layers"] = {**document["layers"], "l" * 100_000: 0}
    assert found.verdict({"policy.json": json.dumps(document).encode()}).end == "FormatError"


def test_layers_that_are_not_the_policys_are_quoted_in_short(loader):
    found = loader("packed")
    document = json.loads(found.pristine["manifest.json"])
    layer = next(iter(document["layers"]))
    document["layers"]["l" * 100_000] = document["layers"].pop(layer)
    assert (
        found.verdict({**found.pristine, "manifest.json": json.dumps(document).encode()}).end == "FormatError"
    )


def test_a_number_that_json_lacks_is_refused(loader):
    found = loader("packed")
    document = json.loads(found.pristine["manifest.json"])
    document["task"]["args"]["samples"] = float("-inf")
    assert (
        found.verdict({**found.pristine, "manifest.json": json.dumps(document).encode()}).end == "FormatError"
    )


def test_an_error_quotes_what_it_was_given_in_short(loader):
    """A profile with a key of 100 KB made an error of 200 KB."""
    found = loader("profile")
    document = json.loads(found.pristine["profile.json"])
    layer = next(entry["shape"]["layer"] for entry in document["measurements"] if entry["shape"].get("layer"))
    layer["[" * 100_000] = layer.pop("operator")
    assert found.verdict({"profile.json": json.dumps(document).encode()}).end == "FormatError"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("validation_samples",), 0),
        (("validation_samples",), 10**400),
        (("baseline", "score"), float("nan")),
        (("baseline", "costs", "latency_s"), -1.0),
        (("greatest_costs", "memory_bytes"), float("inf")),
        (("test_scores",), {"0": float("inf")}),
    ],
)
def test_numbers_that_no_search_writes_are_refused_in_run_json(loader, place, value):
    found = loader("run")
    document = json.loads(found.pristine["run.json"])
    *above, last = place
    node = document
    for key in above:
        node = node[key]
    node[last] = value
    files = {**found.pristine, "run.json": json.dumps(document).encode()}
    assert found.verdict(files).end == "FormatError"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", "4"),
        ("steps", -1),
        ("score", float("nan")),
        ("feasible", 1),
        ("started", None),
        ("seed", 2**80),
    ],
)
def test_a_trial_with_a_field_of_another_type_is_left_out_or_refused(loader, field, value):
    found = loader("run")
    first, rest = found.pristine["trials.jsonl"].split(b"\n", 1)
    line = json.dumps({**json.loads(first), field: value}).encode()
    files = {**found.pristine, "trials.jsonl": line + b"\n" + rest, "study.db": None}
    found.verdict(files)
    from mpsearch.search.run import load_run

    numbers = [record.number for record in load_run(found.folder).records]
    assert json.loads(first)["number"] not in numbers
    assert numbers


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE trial_user_attributes; CREATE VIEW trial_user_attributes AS WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS value_json, 'no' AS key, x AS trial_id FROM c",
        "ALTER TABLE trial_user_attributes RENAME COLUMN value_json TO odd; "
        "ALTER TABLE trial_user_attributes ADD COLUMN value_json TEXT "
        "GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL",
    ],
    ids=["a view that never ends", "a column of a gigabyte"],
)
@pytest.mark.parametrize("name", ["run", "study"])
def test_a_study_that_computes_is_refused(loader, tmp_path, name, statement):
    found = loader(name)
    database = tmp_path / "odd.db"
    database.write_bytes(found.pristine["study.db"])
    connection = sqlite3.connect(database)
    connection.executescript(statement)
    connection.close()
    assert found.verdict({**found.pristine, "study.db": database.read_bytes()}).end == "FormatError"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial_user_attributes SET value_json = 'x'",
        "UPDATE trial_user_attributes SET value_json = x'ff00'",
        "UPDATE trials SET state = 'x'",
        "DELETE FROM studies",
    ],
)
def test_a_study_with_rows_that_are_none_of_ours_is_refused(loader, tmp_path, statement):
    found = loader("study")
    database = tmp_path / "odd.db"
    database.write_bytes(found.pristine["study.db"])
    connection = sqlite3.connect(database)
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert found.verdict({**found.pristine, "study.db": database.read_bytes()}).end == "FormatError"


def test_the_fuzzer_notices_what_is_no_typed_error_and_what_takes_too_much(loader, monkeypatch):
    found = loader("policy")
    for harm in (lambda rng: {}["a"], lambda rng: bytearray(1 << 40)):
        monkeypatch.setattr(found, "_read", harm)
        assert found.verdict(found.pristine).end == "crash"


@pytest.mark.slow
def test_the_fuzzer_counts_every_input_once(tmp_path):
    counts = tmp_path / "counts.json"
    command = [sys.executable, str(FUZZ), "--inputs", "500", "--json", str(counts)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(counts.read_text())
    assert report["done"]
    assert {name: found["inputs"] for name, found in report["loaders"].items()} == dict.fromkeys(NAMES, 500)
