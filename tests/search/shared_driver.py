"""One driver of a shared study, in a process of its own: training is arithmetic that takes a moment.

    python shared_driver.py SPACE PROFILE FOLDER [URL [NAME=NUMBER ...]]

Every trial that it was told to have finished is a line of its standard output, flushed.
"""

import sys
import time
from pathlib import Path

import torch

from mpsearch.search import engine, heartbeats, shared_study, training_work, trial_loop
from mpsearch.search.events import Notice, TrialFinished, TrialStarted
from mpsearch.search.space_file import load_space
from mpsearch.training.trial import TrialResult


def run_trial(task, baseline, policy, recipe, *, share=1.0, seed=0, on_progress=None):
    time.sleep(float(settings.get("pause", 0.02)))
    bits = sum(min(scheme.weight_bits, 8) for scheme in policy.values()) / (8 * len(policy))
    score = 0.9 * bits + 0.01 * seed
    return TrialResult(
        score=score,
        loss=0.1,
        calibrated_score=score,
        seconds=0.01,
        steps=1,
        curve=(),
        state_dict={"w": torch.zeros(1)},
    )


class EveryThird:
    """In place of the comparison: each third trial is another training of what was trained least."""

    def is_ready(self, state):
        return len(state.scores.records) > 3

    def estimates(self, _state):
        return {}

    def choose(self, state, new):
        if len(state.records) % 3 or new is None:
            return None
        ended = [record for record in state.scores.records if record.policy not in state.repeated]
        return min(ended, key=lambda record: (record.seeds, record.number), default=None)


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def tell(event):
    match event:
        case TrialFinished(record=record):
            say("finished", record.number, record.driver)
        case TrialStarted(number=number, origin=origin):
            say("started", number)
            if origin == "repeat":
                say("repeats", number)
        case Notice(message=message):
            say("notice", message)


if __name__ == "__main__":
    space, profile, folder, url, *given = sys.argv[1:]
    settings = dict(setting.split("=") for setting in given)
    heartbeats.HEARTBEAT_S = 0.2
    heartbeats.GRACE_S = float(settings.get("grace", 2.0))
    shared_study.OUTAGE_S = float(settings.get("outage", 60.0))
    trial_loop.OTHERS_POLL_S = 0.1
    training_work.run_trial = run_trial
    engine.score_front_on_test = lambda facts, *rest, **more: facts
    if "repeats" in settings:
        engine.next_training_of = lambda *_: EveryThird()
    engine.run_search(
        load_space(Path(space)),
        out=folder,
        profile=profile,
        storage=url or None,
        study=settings.get("study", "shared"),
        workers=0,
        trials=int(settings.get("trials", 40)),
        on_event=tell,
    )
