import pytest

from mpsearch.search.observations import ADVICE
from mpsearch.search.stop_advice import IN_A_ROW, StopAdvice

LUCK = {ADVICE: [1e-5, 2e-5]}
GAIN = {ADVICE: [3e-5, 2e-5]}


def messages(notes, *, may_repeat=True):
    told = []
    advice = StopAdvice(told.append, may_repeat=may_repeat)
    for note in notes:
        advice.hear(note)
    return [event.message for event in told]


def test_it_is_told_once_that_luck_outweighs_gain():
    told = messages([GAIN, *[LUCK] * (3 * IN_A_ROW), GAIN, *[LUCK] * IN_A_ROW])
    assert len(told) == 1
    assert "goes on" in told[0]


@pytest.mark.parametrize("between", [[GAIN], [GAIN, {}]])
def test_a_proposal_that_is_worth_more_begins_the_count_anew(between):
    few = [LUCK] * (IN_A_ROW - 1)
    assert messages([*few, *between, *few]) == []


def test_trials_that_the_model_did_not_choose_count_for_nothing():
    assert messages([{}] * 10) == []
    assert len(messages([LUCK, {}, *[LUCK] * (IN_A_ROW - 1)])) == 1


def test_further_seeds_are_named_where_they_may_come():
    notes = [LUCK] * IN_A_ROW
    assert "seeds of the front" in messages(notes)[0]
    assert "seeds of the front" not in messages(notes, may_repeat=False)[0]
