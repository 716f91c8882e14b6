"""One suite that every runner passes."""

import os
import signal
import time

import pytest

from mpsearch.errors import ConfigError, TaskError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.local_runner import InProcessRunner, ProcessPoolRunner
from mpsearch.search.processors import worthwhile_threads
from mpsearch.search.space import TaskReference
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob
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
    return TrainingWork(
        reference=TaskReference(name=space.task.name, args=args), recipe=space.trial, seed=0, threads=1
    )


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

    def test_closing_twice_is_no_error(self, runner):
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


class TestProcessPoolRunner(RunnerConformance):
    def make(self, work):
        return ProcessPoolRunner(work, 2)

    def test_a_worker_that_is_killed_fails_its_trial_only_and_is_replaced(self, space, tmp_path):
        with ProcessPoolRunner(work_of(space, pause_s=0.3), 2) as runner:
            first = set(runner.process_ids)
            runner.submit(job(0, "w1a1", tmp_path))
            runner.submit(job(1, "w1a1", tmp_path))
            busy = wait_until_both_are_busy(runner)
            os.kill(busy[0].process.pid, signal.SIGKILL)
            found = outcomes(runner, 2)
            killed = [outcome for outcome in found.values() if outcome.failure]
            assert len(killed) == 1
            assert "SIGKILL (out of memory?)" in killed[0].failure
            assert len(first & set(runner.process_ids)) == 1
            runner.submit(job(2, "w8a8", tmp_path))
            assert outcomes(runner, 1)[2].failure is None

    def test_a_task_that_cannot_be_loaded_there_is_its_own_error(self, space):
        missing = TrainingWork(
            reference=TaskReference(name="no_such_module:task"), recipe=space.trial, seed=0, threads=1
        )
        with self.make(missing) as runner, pytest.raises(TaskError, match="no_such_module"):
            runner.wait()

    def test_a_task_that_cannot_be_sent_is_refused_with_a_way_out(self, space, tiny_task):
        held = TrainingWork(reference=space.task, recipe=space.trial, seed=0, threads=1, task=tiny_task)
        with pytest.raises(ConfigError, match="use one worker"):
            self.make(held)


def wait_until_both_are_busy(runner):
    """Submitted jobs are dealt out when a worker says that it has loaded; `wait` would also return then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for place, worker in enumerate(runner._workers):
            runner._hear(place, worker)
        runner._deal()
        busy = [worker for worker in runner._workers if worker.job is not None]
        if len(busy) == 2:
            return busy
        time.sleep(0.02)
    raise AssertionError("the workers did not start")
