"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SPACE = """
schema: 1
task: {name: digits}
layers:
  - match: "*"
    schemes: [w1.58a8, w8a8, w32a32]
trial: {steps: 4, high_bit_steps: 2, batch_size: 50, calibration_samples: 50, bn_samples: 100}
search: {trials: 5, seed: 0}
"""


def mpsearch(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpsearch", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """A folder with a finished run under runs/tiny, made by the command itself."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(SPACE)
    done = mpsearch(
        "search", "tiny.yaml", "--out", "runs/tiny", cwd=folder, MPSEARCH_CACHE=str(folder / "cache")
    )
    assert done.returncode == 0, done.stderr
    (folder / "search.out").write_text(done.stdout)
    (folder / "search.err").write_text(done.stderr)
    return folder


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; sys.argv = ['mpsearch', '--help']\n"
        "from mpsearch.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'pandas', 'ray', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pareto", "nowhere"], "RunError: nowhere"),
        (["search", "digitz"], "Did you mean"),
        (["search", "digits", "--resume", "--out", "nowhere"], "--resume needs a run"),
        (["search", "digits", "--resume", "--out", "."], "--resume needs a run"),
        (["pareto", "n" * 300], "File name too long"),
        (["profile", "--out", "n" * 300], "File name too long"),
        (["search", "digits", "--max-memory", "60"], "ConfigError: A size must be"),
        (["search", "digits", "--timeout", "soon"], "ConfigError: A duration must be"),
        (["profile", "--no-grid"], "ConfigError: A profile needs something to measure"),
        (["bench", "nowhere"], "FormatError: nowhere"),
        (["export", "nowhere", "--pick", "7"], "RunError: nowhere"),
    ],
)
def test_an_error_is_one_line_with_exit_code_2_and_no_traceback(arguments, said, tmp_path):
    done = mpsearch(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["--debug", "pareto", "nowhere"], ["pareto", "nowhere", "--debug"]])
def test_debug_shows_the_traceback(arguments, tmp_path):
    done = mpsearch(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "RunError" in done.stderr


def test_a_wrong_option_is_exit_code_2_too(tmp_path):
    assert mpsearch("pareto", "--jsno", cwd=tmp_path).returncode == 2


def test_a_search_tells_its_events_line_by_line_and_ends_with_the_front_and_the_next_step(searched):
    told = (searched / "search.err").read_text()
    assert "\x1b" not in told
    trials = re.findall(r"^ +\d+:\d\d  trial +(\d+) +(\d+)/5 ", told, re.MULTILINE)
    assert [(int(number), int(finished)) for number, finished in trials] == [(k, k + 1) for k in range(5)]
    answer = (searched / "search.out").read_text()
    for word in ("hypervolume", "accuracy", "knee", "next  mpsearch export runs/tiny"):
        assert word in answer


def test_the_same_search_again_trains_nothing_and_shows_the_same_front(searched):
    done = mpsearch(
        "search",
        "tiny.yaml",
        "--out",
        "runs/tiny",
        "--resume",
        cwd=searched,
        MPSEARCH_CACHE=str(searched / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert "5 already there" in done.stderr
    assert done.stdout == (searched / "search.out").read_text()


@pytest.mark.usefixtures("_children_hear_ctrl_c")
def test_an_interrupted_search_says_where_its_trials_are_and_goes_on(searched):
    command = ["search", "tiny.yaml", "--trials", "400", "--out", "runs/stopped"]
    environment = {"OMP_NUM_THREADS": "1", "MPSEARCH_CACHE": str(searched / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mpsearch", *command],
        cwd=searched,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if re.match(r" +\d+:\d\d  trial +3 ", line):
                process.send_signal(signal.SIGINT)
                break
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, "".join(told) + rest
    assert "the same command goes on" in rest
    assert "Traceback" not in rest
    again = mpsearch(
        *command[:3], "6", *command[4:], cwd=searched, MPSEARCH_CACHE=environment["MPSEARCH_CACHE"]
    )
    assert again.returncode == 0, again.stderr
    assert "0 already there" not in again.stderr


def test_pareto_json_is_one_object_with_the_contract_on_a_clean_stdout(searched):
    done = mpsearch("pareto", "runs/tiny", "--json", cwd=searched)
    report = json.loads(done.stdout)
    assert done.stderr == ""
    keys = {"schema", "objectives", "reference_point", "hypervolume", "baseline", "trials", "knee"}
    assert keys <= set(report)
    fields = {
        "number",
        "policy",
        "accuracy",
        "latency_s",
        "memory_bytes",
        "energy_j",
        "feasible",
        "on_front",
        "seconds",
    }
    assert all(fields <= set(trial) for trial in report["trials"])
    assert len(report["trials"]) == 5


def test_pareto_csv_has_a_line_a_trial(searched):
    assert len(mpsearch("pareto", "runs/tiny", "--csv", cwd=searched).stdout.splitlines()) == 6


@pytest.mark.parametrize("arguments", [["--json"], ["--csv"], []])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_an_answer_that_cannot_be_written_is_an_error_of_one_line(searched, arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mpsearch", "pareto", "runs/tiny", *arguments],
            cwd=searched,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("StorageError: Standard output")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_an_output_that_is_closed_from_the_start_is_written_to_nowhere(tmp_path, closed):
    command = f"{shlex.quote(sys.executable)} -m mpsearch space list {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--json"], ["--csv"], []])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(searched, arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "mpsearch", "pareto", "runs/tiny", *arguments],
        cwd=searched,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    process.stdout = None
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (1, "")


def test_a_profile_that_lacks_layers_names_the_users_own_command(searched):
    document = json.loads((searched / "runs" / "tiny" / "profile.json").read_text())
    document["measurements"] = document["measurements"][:1]
    (searched / "few.json").write_text(json.dumps(document))
    done = mpsearch("search", "tiny.yaml", "--hw", "few.json", "--out", "runs/few", cwd=searched)
    assert done.returncode == 2
    assert "Add it: mpsearch profile --space tiny.yaml --out few.json\n" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_the_front_is_shown_in_any_encoding(searched, encoding):
    done = mpsearch("pareto", "runs/tiny", cwd=searched, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "hypervolume" in done.stdout


def test_show_lists_every_layer(searched):
    done = mpsearch("show", "runs/tiny", "1", cwd=searched)
    for word in ("conv1", "fc2", "total", "outside of layers"):
        assert word in done.stdout


def test_an_exported_model_runs_and_agrees_with_its_trial(searched):
    exported = mpsearch("export", "runs/tiny", "--pick", "smallest", "--out", "packed", cwd=searched)
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.splitlines()[-1].endswith("mpsearch bench packed")
    done = mpsearch("bench", "packed", "--json", cwd=searched)
    report = json.loads(done.stdout)
    keys = {
        "predicted_latency_s",
        "measured_latency_s",
        "quartiles_s",
        "torch_fp32_latency_s",
        "max_abs_error",
    }
    assert keys | {"agreement", "threads", "n_samples"} <= set(report)
    assert report["agreement"] >= 0.99
    shown = mpsearch("bench", "packed", cwd=searched)
    assert "against the prediction" in shown.stdout


def test_a_policy_is_exported_by_condition(searched):
    done = mpsearch(
        "export", "runs/tiny", "--pick", "accuracy>=0", "--format", "policy", "--out", "p.json", cwd=searched
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((searched / "p.json").read_text())["schema"] == 1


@pytest.mark.parametrize("pick", ["fastets", "latency<5", "colour<3", "accuracy>1.5"])
def test_a_pick_that_is_none_is_refused_with_the_rule(searched, pick):
    done = mpsearch("export", "runs/tiny", "--pick", pick, cwd=searched)
    assert done.returncode == 2
    assert "ConfigError" in done.stderr


def test_a_space_is_shown_with_its_defaults_and_where_its_layers_are_told(searched):
    done = mpsearch("space", "show", "tiny.yaml", cwd=searched)
    for word in ("distillation_weight", "w1.58a8, w8a8, w32a32", "next  mpsearch plan tiny.yaml"):
        assert word in done.stdout
    assert "digits" in mpsearch("space", "list", cwd=searched).stdout


def test_a_plan_tells_the_layers_and_takes_the_runs_own_profile(searched):
    done = mpsearch("plan", "tiny.yaml", "--no-time", "--max-memory", "1MB", cwd=searched)
    assert done.returncode == 0, done.stderr
    for word in ("conv1", "policies", "stays 32-bit", "normalization", "runs compiled", "from profile"):
        assert word in done.stdout
    assert "next  mpsearch search tiny.yaml --max-memory 1MB\n" in done.stdout


def test_a_plan_that_no_policy_can_meet_is_exit_code_1(searched):
    done = mpsearch("plan", "tiny.yaml", "--max-memory", "1KB", "--json", cwd=searched)
    assert done.returncode == 1
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert (report["feasible"], report["time"]) == (False, None)
    assert "smallest reachable memory" in report["problem"]


def test_a_damaged_packed_model_is_refused(searched, tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema": 1')
    done = mpsearch("bench", str(tmp_path), cwd=searched)
    assert (done.returncode, "FormatError" in done.stderr) == (2, True)


def test_doctor_names_the_kernel_of_every_scheme(tmp_path):
    done = mpsearch("doctor", cwd=tmp_path, MPSEARCH_DATA="")
    assert done.returncode == 0
    for word in ("torch", "ray", "w1a1", "w8a8", "exact against numpy", "MPSEARCH_DATA"):
        assert word in done.stdout


def test_doctor_ends_with_exit_code_1_where_no_kernel_can_run(tmp_path):
    done = mpsearch("doctor", "--json", cwd=tmp_path, MPSEARCH_FORCE_ISA="avx9")
    assert done.returncode == 1
    assert json.loads(done.stdout)["is_broken"] is True


@pytest.fixture
def copied(searched, tmp_path) -> Path:
    """A folder with a copy of the run, to go on with, and its 32-bit weights."""
    shutil.copytree(searched / "runs" / "tiny", tmp_path / "tiny")
    return tmp_path


def test_a_run_goes_on_by_its_folder_under_overrides(searched, copied):
    done = mpsearch(
        "search", "tiny", "--trials", "7", "--pin", "fc1=w8a8", "--forbid", "conv*=w1.58a8", cwd=copied,
        MPSEARCH_CACHE=str(searched / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 already there" in done.stderr
    report = json.loads(mpsearch("pareto", "tiny", "--json", cwd=copied).stdout)
    added = [trial for trial in report["trials"] if trial["number"] >= 5]
    assert len(added) == 2
    assert {trial["policy"]["fc1"] for trial in added} == {"w8a8"}
    assert "w1.58a8" not in {trial["policy"][f"conv{n}"] for trial in added for n in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "tiny", "--pin", "fc3=w8a8"], "Did you mean 'fc"),
        (["search", "tiny", "--pin", "fc1"], "ConfigError: `pin` must be a layer or a glob"),
        (["search", "tiny", "--out", "other"], "ConfigError: A run goes on in its own folder"),
        (["search", "tiny", "--hw", "tiny/other.json"], "A run keeps to one profile"),
        (["search", "."], "is a folder without a run. Runs in .: tiny"),
        (["bench", "tiny", "--pick", "knees"], "ConfigError: A pick must be one of"),
        (["bench", ".", "--pick", "knee"], "ConfigError: --pick chooses trials of a run"),
    ],
)
def test_what_a_run_cannot_be_asked_is_refused_in_one_line(copied, arguments, said):
    profile = json.loads((copied / "tiny" / "profile.json").read_text())
    (copied / "tiny" / "other.json").write_text(json.dumps({**profile, "name": "other"}))
    done = mpsearch(*arguments, cwd=copied)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_trials_of_a_run_are_timed_and_kept(copied):
    done = mpsearch("bench", "tiny", "--pick", "knee", "--pick", "0", "--pick", "0", "--json", cwd=copied)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kept"] is True
    numbers = [trial["number"] for trial in report["trials"]]
    assert len(numbers) == len(set(numbers)) <= 2
    assert 0 in numbers
    assert done.stderr.count("predicted") == len(numbers)
    lines = (copied / "tiny" / "measured.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == numbers
    assert "measured" in mpsearch("pareto", "tiny", cwd=copied).stdout


def test_timing_that_is_interrupted_keeps_what_it_has(copied, monkeypatch):
    # In this process: the second trial is where it stops.
    import typer

    from mpsearch.cli.bench import bench
    from mpsearch.export import measure

    begun = []
    packed = measure._packed

    def second_is_interrupted(run, record, task, threads):
        begun.append(record.number)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return packed(run, record, task, threads)

    monkeypatch.setattr(measure, "_packed", second_is_interrupted)
    with pytest.raises(typer.Exit) as ended:
        bench(copied / "tiny", pick=["0", "1"])
    assert ended.value.exit_code == 130
    lines = (copied / "tiny" / "measured.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0]


def test_what_cannot_be_kept_is_shown_and_that_is_said(copied):
    (copied / "tiny" / "measured.jsonl").symlink_to(copied / "nowhere" / "file")  # for root too
    done = mpsearch("bench", "tiny", "--pick", "0", "--json", cwd=copied)
    assert done.returncode == 0, done.stderr
    assert "What is measured is shown, not kept: " in done.stderr
    report = json.loads(done.stdout)
    assert (report["kept"], len(report["trials"])) == (False, 1)
