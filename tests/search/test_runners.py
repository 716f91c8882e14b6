"""One suite that every runner passes."""

import importlib
import multiprocessing.connection
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cloudpickle
import pytest

from mpsearch.errors import ConfigError, RunError, StorageError, TaskError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.local_runner import InProcessRunner, ProcessPoolRunner
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.processors import worthwhile_threads
from mpsearch.search.space import TaskReference
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob
from mpsearch.search.worker_process import WorkerProcess
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.weights_file import read_weights

LAYERS = ("0", "2", "4")


def job(number, scheme, folder):
    return TrialJob(
        number=number,
        policy=PrecisionPolicy.uniform(LAYERS, scheme),
        weights=folder / f"{number}.safetensors",
    )


def outcomes(runner, count):
    found = []
    while len(found) < count:
        found += [report for report in runner.wait() if isinstance(report, Outcome)]
    return {outcome.number: outcome for outcome in found}


def work_of(space, **args):
    reference = TaskReference(name=space.task.name, args=args)
    return TrainingWork(space=replace(space, task=reference), threads=1)


def test_small_models_train_on_one_thread_and_large_ones_on_more():
    assert worthwhile_threads(3_000_000, 50) == 1
    assert worthwhile_threads(41_000_000, 128) == 5


class RunnerConformance:
    """What any runner promises. A subclass makes one with `make(work)`."""

    def make(self, work):
        raise NotImplementedError

    @pytest.fixture
    def runner(self, space):
        with self.make(work_of(space)) as runner:
            yield runner

    def test_a_job_comes_back_with_its_score_and_leaves_its_weights(self, runner, tmp_path):
        assert runner.running == 0
        runner.submit(job(3, "w8a8", tmp_path))
        assert runner.running == 1
        outcome = outcomes(runner, 1)[3]
        assert runner.running == 0
        assert outcome.failure is None
        assert 0 <= outcome.score <= 1
        assert outcome.steps == 1
        _, described = read_weights(tmp_path / "3.safetensors")
        assert described["policy"] == dict.fromkeys(LAYERS, "w8a8")

    def test_the_score_of_a_policy_does_not_depend_on_the_runner(self, runner, space, tmp_path):
        runner.submit(job(0, "w1.58a8", tmp_path))
        there = outcomes(runner, 1)[0]
        here = InProcessRunner(work_of(space).load(), 1)
        here.submit(job(1, "w1.58a8", tmp_path))
        assert outcomes(here, 1)[1].score == there.score

    def test_a_lower_fidelity_trains_a_share_of_the_steps(self, runner, tmp_path):
        runner.submit(job(0, "w1a1", tmp_path))
        assert outcomes(runner, 1)[0].steps == 2
        runner.submit(replace(job(1, "w1a1", tmp_path), share=0.5))
        assert outcomes(runner, 1)[1].steps == 1

    def test_it_runs_as_many_jobs_as_come(self, runner, tmp_path):
        schemes = ["w1a1", "w4a8", "w8a8", "w32a32"]
        found, waiting = {}, [job(number, scheme, tmp_path) for number, scheme in enumerate(schemes)]
        while len(found) < len(schemes):
            while waiting and runner.running < runner.capacity:
                runner.submit(waiting.pop(0))
            found |= {report.number: report for report in runner.wait() if isinstance(report, Outcome)}
        assert sorted(found) == [0, 1, 2, 3]
        assert all(outcome.failure is None for outcome in found.values())

    def test_a_job_that_raises_fails_alone_with_its_reason(self, runner, tmp_path):
        bad = TrialJob(
            number=0, policy=PrecisionPolicy({"no such layer": "w8a8"}), weights=tmp_path / "x.safetensors"
        )
        runner.submit(bad)
        assert "no such layer" in outcomes(runner, 1)[0].failure
        runner.submit(job(1, "w8a8", tmp_path))
        assert outcomes(runner, 1)[1].failure is None

    def test_closing_twice_is_no_error(self, space):
        runner = self.make(work_of(space))
        runner.close()
        runner.close()


class TestInProcessRunner(RunnerConformance):
    def make(self, work):
        return InProcessRunner(work.load(), work.threads)

    def test_steps_are_told_as_they_are_made(self, space, tmp_path):
        told = []
        runner = InProcessRunner(work_of(space).load(), 1, told.append)
        runner.submit(job(5, "w1a1", tmp_path))
        outcomes(runner, 1)
        assert told[-1] == StepReport(number=5, step=2, total=2, loss=told[-1].loss)


class TestBatchedInProcessRunner(RunnerConformance):
    """Four jobs are trained together."""

    def make(self, work):
        return InProcessRunner(work.load(), work.threads, batch=4)

    def test_jobs_of_a_batch_score_as_alone_and_leave_their_weights(self, space, tmp_path):
        told, schemes = [], ["w1a1", "w1.58a8", "w8a8", "w32a32"]
        together = InProcessRunner(work_of(space).load(), 1, told.append, batch=4)
        for number, scheme in enumerate(schemes):
            together.submit(job(number, scheme, tmp_path))
        assert together.running == together.capacity == 4
        found = {outcome.number: outcome for outcome in together.wait()}
        alone = work_of(space).load()
        for number, scheme in enumerate(schemes):
            expected = alone.run(job(number + 10, scheme, tmp_path))
            assert found[number].steps == expected.steps
            assert found[number].loss == pytest.approx(expected.loss, rel=1e-3)
            _, described = read_weights(tmp_path / f"{number}.safetensors")
            assert described["policy"] == dict.fromkeys(LAYERS, scheme)
        assert {report.number for report in told} == {0, 1, 2}  # 32 bits are not trained

    def test_jobs_of_several_fidelities_may_come_in_one_batch(self, space, tmp_path):
        runner = InProcessRunner(work_of(space).load(), 1, batch=4)
        runner.submit(job(0, "w1a1", tmp_path))
        runner.submit(replace(job(1, "w1a1", tmp_path), share=0.5))
        assert {outcome.number: outcome.steps for outcome in runner.wait()} == {0: 2, 1: 1}

    def test_what_one_pass_has_found_is_told_before_the_next_pass(self, space, tmp_path):
        first, second = job(0, "w1a1", tmp_path), replace(job(1, "w1a1", tmp_path), share=0.5)
        told = iter(work_of(space).load().run_together([first, second]))
        assert next(told).number == 0
        assert first.weights.exists()
        assert not second.weights.exists()
        assert next(told).number == 1

    def test_a_bad_policy_fails_alone_in_its_batch(self, space, tmp_path):
        runner = InProcessRunner(work_of(space).load(), 1, batch=4)
        runner.submit(job(0, "w4a8", tmp_path))
        runner.submit(
            TrialJob(number=1, policy=PrecisionPolicy({"none": "w8a8"}), weights=tmp_path / "x.safetensors")
        )
        found = {outcome.number: outcome for outcome in runner.wait()}
        assert found[0].failure is None
        assert "none" in found[1].failure


@dataclass(frozen=True)
class OddWork:
    """Work without torch; `act` is what each job does, sent by value."""

    act: Callable[[TrialJob], float]
    threads: int = 1

    def load(self):
        return self

    def run(self, job, on_step=None):
        return Outcome(number=job.number, score=self.act(job), loss=0.0)

    def run_together(self, jobs, on_report=None):
        return (self.run(job) for job in jobs)


class TestProcessPoolRunner(RunnerConformance):
    def make(self, work):
        return ProcessPoolRunner(work, 2)

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls, space):
        """One for all that is promised: torch takes its time to load."""
        with ProcessPoolRunner(work_of(space), 2) as runner:
            yield runner

    @pytest.fixture(autouse=True)
    def _work_is_sent_by_value(self):
        """Pytest does not import tests as modules that a worker could find."""
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])

    def after(self, act, tmp_path, **fields):
        """The outcome of a job whose work does `act`, and of a sane one after it in the same runner."""

        def odd_at_first(job):
            return act(job) if job.number == 0 else 0.5

        with ProcessPoolRunner(OddWork(odd_at_first), 1) as runner:
            runner.submit(replace(job(0, "w8a8", tmp_path), **fields))
            odd = outcomes(runner, 1)[0]
            runner.submit(job(1, "w8a8", tmp_path))
            assert outcomes(runner, 1)[1].score == 0.5
        return odd

    def test_a_worker_that_is_killed_fails_its_trial_only_and_is_replaced(self, tmp_path):
        with ProcessPoolRunner(OddWork(lambda job: time.sleep(1) or 0.5), 2) as runner:
            first = process_ids(runner)
            runner.submit(job(0, "w1a1", tmp_path))
            runner.submit(job(1, "w1a1", tmp_path))
            os.kill(wait_until_both_are_busy(runner)[0].pid, signal.SIGKILL)
            found = outcomes(runner, 2)
            killed = [outcome for outcome in found.values() if outcome.failure]
            assert len(killed) == 1
            assert "SIGKILL (out of memory?)" in killed[0].failure
            assert len(first & process_ids(runner)) == 1
            runner.submit(job(2, "w8a8", tmp_path))
            assert outcomes(runner, 1)[2].failure is None

    def test_a_trial_that_hangs_is_ended_at_its_limit(self, tmp_path):
        odd = self.after(lambda job: time.sleep(3600), tmp_path, limit_s=0.3)
        assert odd.failure == (
            "TrialError: The trial must end within its time limit of 300 ms; it had not, and was ended. "
            "Allow more by --trial-timeout, or train fewer steps."
        )

    def test_a_trial_within_its_limit_is_not_ended(self, tmp_path):
        assert self.after(lambda job: 0.25, tmp_path, limit_s=60).score == 0.25

    def test_user_code_that_exits_fails_its_trial_only(self, tmp_path):
        assert self.after(lambda job: sys.exit("enough"), tmp_path).failure == "SystemExit: enough"

    def test_a_crash_in_native_code_fails_its_trial_only(self, tmp_path):
        odd = self.after(lambda job: os.kill(os.getpid(), signal.SIGSEGV), tmp_path)
        assert re.fullmatch(
            r"TrialError: The worker process was ended by SIGSEGV in `.*`, test_runners.py line \d+.",
            odd.failure,
        )

    def test_a_process_that_ends_itself_tells_its_last_words(self, tmp_path):
        def last_words(job):
            os.write(2, "Grüße: the last straw\n".encode())
            os._exit(3)

        odd = self.after(last_words, tmp_path)
        assert odd.failure == "TrialError: The worker process ended with exit code 3: Grüße: the last straw."

    def test_what_the_system_killed_for_memory_says_so(self, tmp_path, monkeypatch):
        counter = tmp_path / "memory.events"
        counter.write_text("low 0\noom_kill 4\n")
        monkeypatch.setattr("mpsearch.search.worker_death._counters", lambda: (tmp_path / "none", counter))

        def die_for_memory(_):
            counter.write_text("low 0\noom_kill 5\n")
            os.kill(os.getpid(), signal.SIGKILL)

        odd = self.after(die_for_memory, tmp_path)
        assert "The system was out of memory and ended the worker process (SIGKILL)" in odd.failure

    def test_prints_of_user_code_do_not_reach_the_terminal(self, tmp_path, capfd):
        assert self.after(lambda job: sys.stdout.write("noise\n" * 100_000) and 0.75, tmp_path).score == 0.75
        assert capfd.readouterr() == ("", "")

    def test_processes_that_user_code_started_end_with_the_worker(self, tmp_path):
        def start_another(job):
            child = subprocess.Popen(["sleep", "3600"])
            (tmp_path / "child").write_text(str(child.pid))
            return 0.5

        self.after(start_another, tmp_path)
        child = int((tmp_path / "child").read_text())
        wait_until_gone([child])

    def test_each_job_of_a_batch_that_kills_its_worker_is_run_again_alone(self, tmp_path):
        def die_of_the_second(job):
            return os.kill(os.getpid(), signal.SIGKILL) if job.number == 1 else len(list(tmp_path.iterdir()))

        with ProcessPoolRunner(OddWork(die_of_the_second), 1, batch=3) as runner:
            for number in range(3):
                runner.submit(job(number, "w8a8", tmp_path))
            assert runner.running == runner.capacity == 3
            found = outcomes(runner, 3)
            assert runner.running == 0
        assert "SIGKILL" in found[1].failure
        assert found[0].failure is None
        assert found[2].failure is None

    def test_what_has_ended_of_a_batch_is_told_while_the_rest_runs(self, tmp_path):
        def wait_if_second(job):
            ends = time.monotonic() + 10 * (job.number == 1)
            while time.monotonic() < ends and not (tmp_path / "go").exists():
                time.sleep(0.01)
            return 0.5

        with ProcessPoolRunner(OddWork(wait_if_second), 1, batch=2) as runner:
            runner.submit(job(0, "w8a8", tmp_path))
            runner.submit(job(1, "w8a8", tmp_path))
            assert [report.number for report in runner.wait()] == [0]
            assert runner.running == 1
            (tmp_path / "go").touch()
            assert [report.number for report in runner.wait()] == [1]

    def test_a_batch_is_shared_out_among_idle_workers(self, tmp_path):
        with ProcessPoolRunner(OddWork(lambda job: os.getpid()), 2, batch=8) as runner:
            while not all(worker.is_ready for worker in runner._workers):
                for worker in runner._workers:
                    worker.wait()
                    worker.hear()
            for number in range(4):
                runner.submit(job(number, "w8a8", tmp_path))
            found = outcomes(runner, 4)
        assert len({outcome.score for outcome in found.values()}) == 2

    def test_the_program_that_searches_is_not_run_again_by_its_workers(self, tmp_path):
        """As `multiprocessing` would where a script lacks `if __name__ == "__main__"`."""
        script = tmp_path / "script.py"
        script.write_text(
            "from dataclasses import dataclass\n"
            "from pathlib import Path\n"
            "from mpsearch.precision.policy import PrecisionPolicy\n"
            "from mpsearch.search.local_runner import ProcessPoolRunner\n"
            "from mpsearch.search.trial_job import Outcome, TrialJob\n"
            "print('begun')\n"
            "class Work:\n"
            "    threads = 1\n"
            "    def load(self):\n"
            "        return self\n"
            "    def run(self, job, on_step=None):\n"
            "        return Outcome(number=job.number, score=0.5)\n"
            "with ProcessPoolRunner(Work(), 1) as runner:\n"
            "    policy = PrecisionPolicy({'fc': 'w8a8'})\n"
            "    runner.submit(TrialJob(number=0, policy=policy, weights=Path('w')))\n"
            "    print(runner.wait()[0].score)\n"
        )
        ran = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.stdout, ran.stderr) == ("begun\n0.5\n", "")

    def test_weights_that_cannot_be_written_stop_the_search(self, tmp_path):
        def full(_):
            raise StorageError("The disk is full.")

        with ProcessPoolRunner(OddWork(full), 1) as runner:
            runner.submit(job(0, "w8a8", tmp_path))
            with pytest.raises(StorageError, match="The disk is full"):
                runner.wait()

    def test_workers_end_with_the_process_that_made_them(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "import time\n"
            "from mpsearch.search.local_runner import ProcessPoolRunner\n"
            "class Work:\n"
            "    threads = 1\n"
            "    def load(self):\n"
            "        print('loaded', flush=True)\n"
            "        time.sleep(3600)\n"
            "runner = ProcessPoolRunner(Work(), 2)\n"
            "print(*(worker.pid for worker in runner._workers), flush=True)\n"
            "time.sleep(3600)\n"
        )
        with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as driver:
            workers = [int(number) for number in driver.stdout.readline().split()]
            assert all(is_running(worker) for worker in workers)
            driver.kill()
        assert len(workers) == 2
        wait_until_gone(workers)

    def test_workers_that_never_start_end_the_search_with_their_last_words(self, tmp_path):
        with ProcessPoolRunner(Unloadable(), 1) as runner:
            runner.submit(job(0, "w8a8", tmp_path))
            with pytest.raises(RunError, match="no such library"):
                runner.wait()

    def test_a_task_that_cannot_be_loaded_there_is_its_own_error(self, space):
        nowhere = replace(space, task=TaskReference(name="no_such_module:task"))
        missing = TrainingWork(space=nowhere, threads=1)
        with self.make(missing) as runner, pytest.raises(TaskError, match="no_such_module"):
            runner.wait()

    def test_a_task_of_functions_that_have_no_module_is_sent_by_value(self, tiny_task, space, tmp_path):
        def build():
            return tiny_task.build_model()

        local = replace(tiny_task, build_model=build)
        work = replace(work_of(space), tasks={None: local}, baselines={None: trained_baseline(local)})
        with self.make(work) as runner:
            runner.submit(job(0, "w8a8", tmp_path))
            assert outcomes(runner, 1)[0].failure is None

    def test_what_a_worker_cannot_import_stops_the_search_with_a_way_out(self, tmp_path, monkeypatch):
        (tmp_path / "only_here.py").write_text("def act(job):\n    return 0.5\n")
        monkeypatch.syspath_prepend(tmp_path)
        work = OddWork(importlib.import_module("only_here").act)
        packed = PackedWork.of(work)
        monkeypatch.undo()
        with closing(packed):
            worker = WorkerProcess(packed, threads=1)
            multiprocessing.connection.wait(worker.sources[:1])
            with pytest.raises(ConfigError, match=r"only_here.*workers=0"):
                worker.hear()

    def test_a_task_that_cannot_be_sent_is_refused_with_a_way_out(self):
        with pytest.raises(ConfigError, match="workers=0"):
            self.make(OddWork(threading.Lock().acquire))


class Unloadable:
    threads = 1

    def load(self):
        os.write(2, b"no such library\n")
        os._exit(1)


def is_running(process_id):
    try:
        return "Z" not in Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def process_ids(runner):
    return {worker.pid for worker in runner._workers}


def wait_until_gone(process_ids):
    deadline = time.monotonic() + 30
    while any(map(is_running, process_ids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, process_ids))


def wait_until_both_are_busy(runner):
    """Submitted jobs are dealt out when a worker says that it has loaded; `wait` would also return then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for worker in runner._workers:
            worker.hear()
        runner._deal()
        busy = [worker for worker in runner._workers if worker.jobs]
        if len(busy) == 2:
            return busy
        time.sleep(0.02)
    raise AssertionError("the workers did not start")
