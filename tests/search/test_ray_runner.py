"""Trials over Ray: the suite of every runner, and what nodes, actors and clusters add to it."""

import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpsearch.errors import ConfigError, RunError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.engine import run_search
from mpsearch.search.events import SearchStarted
from mpsearch.search.placement import Placement
from mpsearch.search.ray_cluster import RayCluster, read_authentication
from mpsearch.search.ray_runner import RayRunner
from mpsearch.search.trial_job import Outcome, TrialJob

pytestmark = pytest.mark.ray


def _beside(name):
    spec = importlib.util.spec_from_file_location(f"{name}_of_ray", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runners = _beside("test_runners")


@dataclass(frozen=True)
class Sleep:
    """Work that takes `seconds`, notes the actors that have begun it in `folder`, and says what it sees.

    What `waits` ends when the folder has a file `go`.
    """

    folder: Path
    seconds: float = 0.0
    waits: bool = False
    threads: int = 1

    def load(self):
        return self

    def run(self, job, on_step=None):
        with (self.folder / f"{job.number}.began").open("a") as file:
            file.write(f"{os.getppid()}\n")
        time.sleep(self.seconds)
        while self.waits and not (self.folder / "go").exists():
            time.sleep(0.02)
        job.weights.write_bytes(bytes([job.number]) * 1000)
        mapped = Path("/proc", str(os.getppid()), "maps").read_text()
        libraries = [name for name in ("_raylet", "libtorch") if name in mapped]
        seen = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "libraries of the actor": libraries}
        return Outcome(number=job.number, score=0.5, loss=0.1, seconds=self.seconds, steps=1, details=seen)


@pytest.fixture(scope="module")
def ray_place(tmp_path_factory):
    """Ray's files in a short folder of our own, its servers on loopback, and a token for its clusters."""
    from ray._private import ray_constants

    folder = Path("/tmp") / f"mps-{os.getpid()}"
    (folder / "ray").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "t" * 40)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("MPSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        read_authentication()
        yield folder
    read_authentication()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(ray_place):
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="class")
def kept(cluster):
    """Where the class keeps its one runner."""
    with contextlib.ExitStack() as scope:
        yield scope, {}


class TestRayRunner(runners.RunnerConformance):
    """On one runner: each new one starts a node's actor again, which takes a second."""

    @pytest.fixture
    def runner(self, kept, cluster, space):
        scope, opened = kept
        if "runner" not in opened:
            opened["runner"] = scope.enter_context(
                RayRunner(runners.work_of(space), Placement(ray=cluster.address))
            )
        return opened["runner"]

    def test_closing_twice_is_no_error(self, cluster, space):
        with RayRunner(runners.work_of(space), Placement(ray=cluster.address)) as runner:
            runner.close()


def job(number, folder):
    policy = PrecisionPolicy.uniform(runners.LAYERS, "w8a8")
    return TrialJob(number=number, policy=policy, weights=folder / f"{number}.safetensors")


def outcomes_of(runner, jobs):
    """Run all jobs; by number, and never two of one."""
    found, waiting = {}, list(jobs)
    while len(found) < len(jobs):
        while waiting and runner.running < runner.capacity:
            runner.submit(waiting.pop(0))
        for report in runner.wait():
            if isinstance(report, Outcome):
                assert report.number not in found
                found[report.number] = report
    return found


def begun(folder, number):
    """The actors that have begun a job, by their process ids."""
    file = folder / f"{number}.began"
    return file.read_text().split() if file.exists() else []


def lives(process):
    """By its id; one that ended and that nobody has asked for is none."""
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, what):
    deadline = time.monotonic() + 120  # each actor imports Ray Tune: seconds where the machine is busy
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(what)


def test_weights_come_back_to_the_machine_of_the_search_and_actors_need_no_torch(cluster, tmp_path):
    placement = Placement(ray=cluster.address, cpus_per_trial=0.5)
    with RayRunner(Sleep(tmp_path), placement) as runner:
        assert runner.capacity == 4
        found = outcomes_of(runner, [job(number, tmp_path) for number in range(12)])
    assert sorted(found) == list(range(12))
    for number in range(12):
        assert found[number].details["libraries of the actor"] == ["_raylet"]
        assert (tmp_path / f"{number}.safetensors").read_bytes() == bytes([number]) * 1000
    actors = {actor for number in range(12) for actor in begun(tmp_path, number)}
    assert len(actors) <= 4  # reused from trial to trial


def test_actors_import_what_the_program_does_not_what_lies_in_its_folder(cluster, tmp_path, monkeypatch):
    here = tmp_path / "checkout"
    (here / "mpsearch").mkdir(parents=True)
    (here / "mpsearch" / "__init__.py").write_text("raise ImportError('sources without built kernels')")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as of an installed command
    monkeypatch.chdir(here)
    with RayRunner(Sleep(tmp_path), Placement(ray=cluster.address, workers=1)) as runner:
        found = outcomes_of(runner, [job(0, tmp_path)])
    assert found[0].failure is None


def test_a_trial_whose_actor_is_killed_is_run_again_and_counted_once(cluster, tmp_path):
    with RayRunner(Sleep(tmp_path, waits=True), Placement(ray=cluster.address, workers=1)) as runner:
        runner.submit(job(0, tmp_path))
        wait_for(lambda: begun(tmp_path, 0), "the trial did not begin")
        os.kill(int(begun(tmp_path, 0)[0]), signal.SIGKILL)
        (tmp_path / "go").touch()
        found = outcomes_of(runner, [])
        while not found:
            found = {report.number: report for report in runner.wait() if isinstance(report, Outcome)}
        assert found[0].failure is None
        assert len(begun(tmp_path, 0)) == 2
        assert runner.running == 0


def test_trials_of_a_node_that_is_gone_are_run_elsewhere_none_twice(cluster, tmp_path):
    leaving = cluster.add_node(num_cpus=2, node_ip_address="127.0.0.1")
    try:
        with RayRunner(Sleep(tmp_path, waits=True), Placement(ray=cluster.address)) as runner:
            assert runner.capacity == 4
            for number in range(4):
                runner.submit(job(number, tmp_path))
            wait_for(lambda: all(begun(tmp_path, number) for number in range(4)), "not all trials began")
            actors = [begun(tmp_path, number)[0] for number in range(4)]
            cluster.remove_node(leaving, allow_graceful=False)
            wait_for(lambda: sum(map(lives, actors)) == 2, "the node's actors live on")
            (tmp_path / "go").touch()
            ended = []
            while len(ended) < 4:
                ended += [report for report in runner.wait() if isinstance(report, Outcome)]
            assert sorted(outcome.number for outcome in ended) == [0, 1, 2, 3]
            assert [outcome.failure for outcome in ended] == [None] * 4
            assert sum(len(begun(tmp_path, number)) for number in range(4)) > 4
            wait_for(lambda: runner.capacity == 2, "the node still counts")
    finally:
        if leaving in cluster.worker_nodes:
            cluster.remove_node(leaving)


def test_each_trial_sees_its_own_share_of_the_gpus(cluster, tmp_path):
    node = cluster.add_node(num_cpus=4, num_gpus=2, node_ip_address="127.0.0.1")
    try:
        placement = Placement(ray=cluster.address, gpus_per_trial=0.5)
        with RayRunner(Sleep(tmp_path, waits=True), placement) as runner:
            assert runner.capacity == 4
            for number in range(4):
                runner.submit(job(number, tmp_path))
            wait_for(lambda: all(begun(tmp_path, number) for number in range(4)), "not all trials began")
            (tmp_path / "go").touch()
            found = {}
            while len(found) < 4:
                found |= {report.number: report for report in runner.wait() if isinstance(report, Outcome)}
        assert sorted(outcome.details["gpus"] for outcome in found.values()) == ["0", "0", "1", "1"]
    finally:
        cluster.remove_node(node)


def test_closing_in_the_middle_of_a_trial_takes_seconds_and_leaves_nothing(cluster, tmp_path):
    runner = RayRunner(Sleep(tmp_path, seconds=60), Placement(ray=cluster.address))
    runner.submit(job(0, tmp_path))
    wait_for(lambda: begun(tmp_path, 0), "the trial did not begin")
    actor = Path("/proc") / begun(tmp_path, 0)[0]
    runner.close()
    wait_for(lambda: not actor.exists(), "the actor lives on")
    assert not [thread for thread in threading.enumerate() if thread.name == "ray-tune"]


class TwoSeeds:
    """In place of the comparison: after the uniform policies those of few bits are trained again."""

    def is_ready(self, state):
        return len(state.records) > 2

    def estimates(self, _state):
        return {}

    def choose(self, state, new):
        few_bits = (record for record in state.scores.records if not record.policy.is_full_precision)
        once = (record for record in few_bits if record.seeds < 2)
        return None if new is None else next(once, None)


def test_one_worker_over_ray_searches_as_one_without_repeats_too(
    cluster, space, profile, tmp_path, monkeypatch
):
    monkeypatch.setattr("mpsearch.search.engine.next_training_of", lambda *_: TwoSeeds())
    local = run_search(space, out=tmp_path / "local", profile=profile, trials=7, workers=1)
    over_ray = run_search(
        space, out=tmp_path / "ray", profile=profile, trials=7, workers=1, ray=cluster.address
    )
    said = [
        [(trial.number, trial.policy, trial.seed, trial.score, trial.loss) for trial in run.trainings]
        for run in (local, over_ray)
    ]
    assert said[0] == said[1]
    assert [seed for _, _, seed, _, _ in said[0]] == [0, 0, 0, 0, 0, 1, 1]
    assert said[0][1][1] == said[0][5][1]
    assert said[0][1][4] != said[0][5][4]


def test_a_search_says_how_many_trials_run_at_a_time_over_the_cluster(cluster, space, profile, tmp_path):
    events = []
    run_search(
        space,
        out=tmp_path / "ray",
        profile=profile,
        trials=1,
        workers=3,  # a node that another test has removed may be counted for a while
        ray=cluster.address,
        cpus_per_trial=0.5,
        on_event=events.append,
    )
    assert [event.workers for event in events if isinstance(event, SearchStarted)] == [3]


@pytest.mark.parametrize("share", [{"cpus_per_trial": 1e6}, {"gpus_per_trial": 1e6}])
@pytest.mark.parametrize("is_local", [True, False])
def test_what_no_node_holds_is_refused_before_anything_begins(
    request, space, profile, tmp_path, share, is_local
):
    address = "local" if is_local else request.getfixturevalue("cluster").address
    events = []
    with pytest.raises(RunError, match="must fit on one node"):
        run_search(space, out=tmp_path / "run", profile=profile, ray=address, on_event=events.append, **share)
    assert not events
    assert not (tmp_path / "run").exists()


def test_a_trial_larger_than_every_node_is_refused(cluster, tmp_path):
    with pytest.raises(RunError, match=r"asks for 64 processors and 0 GPUs.*--cpus-per-trial"):
        RayRunner(Sleep(tmp_path), Placement(ray=cluster.address, cpus_per_trial=64))


def test_another_version_on_a_machine_stops_the_search(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mpsearch.search.ray_runner.versions", lambda: {"Python": "3.1", "mpsearch": "another"}
    )
    with RayRunner(Sleep(tmp_path), Placement(ray=cluster.address)) as runner:
        runner.submit(job(0, tmp_path))
        with pytest.raises(RunError, match=r"must run the same.*Python 3.1, mpsearch another"):
            outcomes_of(runner, [job(1, tmp_path)])


def test_a_cluster_whose_token_is_not_here_says_so(cluster, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    read_authentication()
    try:
        with pytest.raises(RunError, match=r"asks for its token.*~/\.ray/auth_token"):
            RayCluster(cluster.address)
    finally:
        monkeypatch.undo()
        read_authentication()


def test_a_local_cluster_listens_on_loopback_alone_and_has_a_token(ray_place, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # what the user has set is not for this cluster
    with RayCluster("local"):
        places = listening_addresses()
        mode = os.environ["RAY_AUTH_MODE"]
    assert len(places) > 3
    assert {place for place in places if place not in LOOPBACK} == set()
    assert mode == "token"
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert not list(Path(tempfile.gettempdir()).glob(f"mpsearch-ray-{os.getpid()}-*"))


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def listening_addresses():
    """Of this process and all below it, as the kernel writes them."""
    listening = {}
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(file).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                listening[f"socket:[{words[9]}]"] = words[1].split(":")[0]
    found = []
    for process in family(os.getpid()):
        with contextlib.suppress(OSError):
            for file in (Path("/proc") / str(process) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    found.append(listening.get(str(file.readlink())))
    return [place for place in found if place is not None]


def family(ancestor):
    children = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(file.read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(file.parent.name))
    found, waiting = [], [ancestor]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("somewhere", ConfigError, "local, auto or HOST:PORT"),
        ("host:99999", ConfigError, "local, auto or HOST:PORT"),
        ("ray://host:10001", ConfigError, "ray start --address"),
        ("127.0.0.1:9", RunError, "ray start --head"),
    ],
)
def test_an_address_without_a_cluster_is_refused_with_the_next_step(address, error, said):
    with pytest.raises(error, match=said):
        RayCluster(address)


def test_auto_without_a_running_cluster_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", functools.cache(set))
    with pytest.raises(RunError, match="ray start --head"):
        RayCluster("auto")
