from dataclasses import replace

import pytest

from mpsearch.errors import ConfigError
from mpsearch.search.space_file import parse_space
from mpsearch.search.widths import MOST_WIDTHS, Widths

SPACE = """
schema: 1
name: wide
task: {name: digits, args: {model: mlp}}
widths: WIDTHS
layers: [{match: "*", schemes: [w1a8, w8a8]}]
"""


def space_with(widths):
    return parse_space(SPACE.replace("WIDTHS", widths))


def test_widths_are_a_list_of_what_the_argument_may_be_in_any_order():
    widths = space_with("[2, 0.5, 1]").widths
    assert widths == Widths(options=(0.5, 1, 2), argument="width")
    assert str(widths) == "0.5, 1, 2"


def test_another_argument_of_the_task_can_be_named():
    space = space_with("{argument: channels, values: [32, 16]}")
    assert space.task_at(16).args == {"model": "mlp", "channels": 16}
    assert space.task_at(None) == space.task


@pytest.mark.parametrize(
    ("values", "reference"), [((0.5, 1, 2), 1), ((1, 2), 1), ((0.25, 0.5), 0.5), ((16, 64, 32), 64)]
)
def test_others_are_compared_with_width_one_or_the_greatest(values, reference):
    assert Widths.of(values).reference == reference


@pytest.mark.parametrize("widths", ["[0.5, 1, 2]", "{argument: channels, values: [16, 32]}", "null"])
def test_a_space_with_widths_survives_the_trip_through_its_file(widths):
    space = space_with(widths)
    assert parse_space(space.to_yaml()) == space


def test_a_space_without_widths_has_one_and_says_nothing_of_it():
    space = parse_space(SPACE.replace("widths: WIDTHS\n", ""))
    assert space.widths is None
    assert space == space_with("null")


def test_other_widths_are_another_search():
    space = space_with("[1, 2]")
    assert space.differences(space_with("[1, 4]")) == ("widths",)
    assert space.differences(replace(space, widths=None)) == ("widths",)


@pytest.mark.parametrize(
    ("widths", "told"),
    [
        ("[1]", r"2 to 16 different numbers; got 1\. .*args: {width: 2}"),
        ("[]", "different numbers; got none"),
        ("[1, 2, 1.0]", "different numbers; got 1, 2, 1"),
        ("[0, 1]", "greater than 0"),
        ("[1, .inf]", "finite"),
        ("[1, true]", "number"),
        ("[1, '2']", "number"),
        ("7", "widths"),
        ("{values: [1, 2], argument: ''}", "widths.argument"),
        ("{values: [1, 2], arguments: channels}", "unknown key `arguments` in `widths`.*argument"),
        (str(list(range(1, MOST_WIDTHS + 2))), "2 to 16 different numbers"),
    ],
)
def test_what_is_no_choice_of_widths_is_refused_at_its_line(widths, told):
    with pytest.raises(ConfigError, match=rf"line 5.*{told}"):
        space_with(widths)


def test_the_argument_cannot_be_chosen_and_given():
    text = SPACE.replace("WIDTHS", "[1, 2]").replace("model: mlp", "model: mlp, width: 2")
    with pytest.raises(ConfigError, match=r"line 4: `task.args.width` must not be set where `widths`"):
        parse_space(text)
