import pytest

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.stages import stages


def names(*schemes):
    return PrecisionPolicy(dict(zip("abc", schemes, strict=True)))


def as_text(policy, steps, *, progressive=True):
    return [
        (" ".join(scheme.name for scheme in stage.policy.values()), stage.first, stage.end)
        for stage in stages(policy, steps, progressive=progressive)
    ]


def test_each_layer_goes_down_through_the_precisions_above_its_own():
    assert as_text(names("w1a1", "w4a8", "w32a32"), 60) == [
        ("w8a8 w8a8 w32a32", 0, 10),
        ("w4a8 w4a8 w32a32", 10, 20),
        ("w1a1 w4a8 w32a32", 20, 60),
    ]


def test_a_stage_that_would_change_nothing_is_left_out():
    assert as_text(names("w8a8", "w4a8", "w4a8"), 60) == [
        ("w8a8 w8a8 w8a8", 0, 10),
        ("w8a8 w4a8 w4a8", 10, 60),
    ]
    assert as_text(names("w8a8", "w8a8", "w32a32"), 60) == [("w8a8 w8a8 w32a32", 0, 60)]


def test_without_it_all_steps_train_the_policy():
    policy = names("w1a1", "w1.58a8", "w4a8")
    assert as_text(policy, 7, progressive=False) == [("w1a1 w1.58a8 w4a8", 0, 7)]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 11, 100])
def test_every_step_belongs_to_one_stage_and_the_last_is_the_policys_own(steps):
    policy = names("w1a1", "w1.58a8", "w4a8")
    found = list(stages(policy, steps, progressive=True))
    assert [stage.first for stage in found] == [0, *(stage.end for stage in found[:-1])]
    assert all(stage.first < stage.end for stage in found)
    assert (found[-1].policy, found[-1].end) == (policy, steps)
