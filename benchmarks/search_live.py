"""A space too large for a table: ResNet-20 on CIFAR-10, 6^18 and more policies, on a live budget of trials.

Run: python benchmarks/search_live.py [--hours H] [--json OUT] [--list]

mpsearch's sampler gets 30 trials, its rivals 90 each, with the same recipe, costs, baseline and uniform
policies first, and 2,000 of the validation images. Then each policy of the fronts that they found, by the
scores that they saw, is trained longer and with another seed, and fronts are judged by its scores on all
5,000 alone.

Every trial is on disk at once: give the same command again to go on, after a kill or after H hours. Two
processes may work on two contestants, with --only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from search_live_judge import Judge, judged_lines, printed

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import MpsearchError
from mpsearch.search.engine import run_search
from mpsearch.search.events import Event, TrialFinished
from mpsearch.search.run import Run, load_run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.space import SearchSpace, TaskReference
from mpsearch.search.space_file import load_space

ROOT = Path(__file__).parents[1]
WORK = ROOT / "benchmarks" / "work" / "live"
TASK = f"{ROOT / 'benchmarks' / 'search_live_task.py'}:cifar10_of_2000"
SPACE = ROOT / "search_spaces" / "cifar10-resnet20.yaml"
CONTESTANTS = {"tpe": 90, "nsga2": 90, "ilp": 90, "mpsearch": 30}  # sampler -> trials
STEPS, HIGH_BIT_STEPS, BATCH_SIZE = 40, 12, 64
JUDGE_FACTOR = 4  # so many times as many steps
TRIAL_S, JUDGE_S = 9.0, 30.0  # on an idle core, where nothing is measured yet


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSearch:
    """One contestant and its run folder; all take their costs from the profile of the first."""

    sampler: str
    trials: int
    seed: int
    work: Path

    @property
    def path(self) -> Path:
        return self.work / f"{self.sampler}-seed{self.seed}"

    def run(self) -> Run | None:
        """What there is of it, None where no trial has begun."""
        return load_run(self.path) if RunFolder(self.path).exists else None

    @property
    def left(self) -> int:
        run = self.run()
        return self.trials - (0 if run is None else len(run.trainings))

    def go_on(self, space: SearchSpace, profile: Path | None, seconds: float | None) -> None:
        """Search until the trials or the seconds are over."""
        run_search(
            space,
            out=self.path,
            profile=profile,
            sampler=self.sampler,
            trials=self.trials,
            seed=self.seed,
            fidelities=[1.0],
            timeout_s=seconds,
            on_event=self._tell,
        )

    def _tell(self, event: Event) -> None:
        if isinstance(event, TrialFinished):
            score = "failed" if event.record.score is None else f"{100 * event.record.score:.1f}%"
            print(
                f"{self.sampler} {event.finished}/{event.total}: {score} in {event.record.seconds:.0f} s, "
                f"hypervolume {event.hypervolume:.4f}",
                flush=True,
            )


def contestants(samplers: Iterable[str], seeds: int, work: Path) -> list[LiveSearch]:
    return [
        LiveSearch(sampler=sampler, trials=CONTESTANTS[sampler], seed=seed, work=work)
        for seed in range(seeds)
        for sampler in samplers
    ]


def live_space(path: Path) -> SearchSpace:
    """The space with a recipe and a task that are short enough for some hundred trials."""
    space = load_space(path)
    trial = replace(space.trial, steps=STEPS, high_bit_steps=HIGH_BIT_STEPS, batch_size=BATCH_SIZE)
    return replace(space, trial=trial, task=TaskReference(name=TASK))


def profile_in(searches: list[LiveSearch]) -> Path | None:
    """The first that was measured."""
    files = (RunFolder(search.path).profile_file for search in searches)
    return next((file for file in files if file.exists()), None)


def left_lines(searches: list[LiveSearch], judge: Judge) -> Iterator[str]:
    """What is left to do, with estimated seconds."""
    runs = [run for search in searches if (run := search.run()) is not None]
    spent = [training.seconds for run in runs for training in run.trainings]
    each = sum(spent) / len(spent) if spent else TRIAL_S
    total = 0.0
    for search in searches:
        total += search.left * each
        print_name = f"{search.sampler}, seed {search.seed}"
        yield f"{search.left * each:7.0f} s  {print_name}: {search.left} of {search.trials} trials"
    known = judge.seconds_each()
    for search in searches:
        # A front of the trials that are left is taken to be as long as a third of them.
        run = search.run()
        waiting = judge.left(run) if run is not None and not search.left else search.trials // 3
        seconds = waiting * (JUDGE_S if known is None else known)
        total += seconds
        yield f"{seconds:7.0f} s  judging {search.sampler}, seed {search.seed}: {waiting} policies"
    yield f"about {total / 3600:.1f} hours on one core"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="where runs are kept")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--hours", type=float, help="begin nothing after so many")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--list", action="store_true", help="what is left, and how long it will take")
    given = parser.parse_args()
    space = live_space(SPACE)
    searches = contestants(given.only, given.seeds, given.work)
    recipe = replace(space.trial, steps=JUDGE_FACTOR * STEPS, high_bit_steps=JUDGE_FACTOR * HIGH_BIT_STEPS)
    judge = Judge(load_space(SPACE).task, recipe, given.work / "judged.jsonl")
    if given.list:
        print("\n".join(left_lines(searches, judge)))
        return
    end = None if given.hours is None else time.monotonic() + 3600 * given.hours
    for search in searches:
        seconds = None if end is None else end - time.monotonic()
        if search.left and (seconds is None or seconds > 0):
            search.go_on(space, profile_in(searches), seconds)
    finished = [search for search in searches if not search.left]
    for search in finished:
        judge.train_front(load_run(search.path), end)
    lines = judged_lines({(s.sampler, s.seed): load_run(s.path) for s in finished}, judge)
    print(printed(lines))
    if given.json is not None:
        write_atomically(given.json, json.dumps(lines, indent=1) + "\n", "--json")


if __name__ == "__main__":
    try:
        main()
    except MpsearchError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
