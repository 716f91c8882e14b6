import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.narrowing import narrowed, remarks
from mpsearch.search.overrides import Overrides
from mpsearch.search.resolve import Choice, ResolvedSpace, all_codes
from mpsearch.search.space_file import parse_space

LAYERS = ("stem", "block.conv1", "block.conv2", "head")
W1, W1A8, W158, W4, W8, W32 = SCHEMES.values()

patterns = st.sampled_from([*LAYERS, "block.*", "*"])
some_schemes = st.lists(st.sampled_from(list(SCHEMES.values())), min_size=1, max_size=4, unique=True)
overrides = st.builds(
    Overrides,
    pins=st.dictionaries(patterns, st.sampled_from(list(SCHEMES.values())), max_size=2),
    forbidden=st.dictionaries(patterns, some_schemes.map(tuple), max_size=2),
)


def in_order(schemes):
    return tuple(scheme for scheme in SCHEMES.values() if scheme in schemes)


@st.composite
def spaces(draw):
    """Some layers grouped, each choice with schemes of its own; what has one scheme only is fixed."""
    groups = draw(st.sampled_from([[[n] for n in LAYERS], [[LAYERS[0]], list(LAYERS[1:3]), [LAYERS[3]]]]))
    choices, pinned = [], {}
    for group in groups:
        schemes = in_order(draw(some_schemes))
        if len(schemes) == 1:
            pinned |= dict.fromkeys(group, schemes[0])
        else:
            choices.append(Choice(name="+".join(group), layers=tuple(group), schemes=schemes))
    return ResolvedSpace(layers=LAYERS, choices=tuple(choices), pinned=pinned)


def every_policy(resolved):
    return {resolved.policy(codes) for block in all_codes(resolved) for codes in block}


def space_with(*, group="", **schemes):
    names = list(schemes)
    grouped = [name for name in names if name in group.split()]
    choices = [
        Choice(name=name, layers=(name,), schemes=schemes[name]) for name in names if name not in grouped
    ]
    if grouped:
        choices.append(Choice(name="group:g", layers=tuple(grouped), schemes=schemes[grouped[0]]))
    return ResolvedSpace(layers=tuple(names), choices=tuple(choices), pinned={})


@given(spaces(), overrides)
def test_what_is_left_are_exactly_the_policies_that_the_overrides_allow(resolved, asked):
    allowed = {policy for policy in every_policy(resolved) if asked.allows(policy)}
    try:
        left = narrowed(resolved, asked)
    except ConfigError:
        assert not allowed
    else:
        assert every_policy(left) == allowed
        assert left.layers == resolved.layers
        assert all(asked.allows(anchor) for anchor in left.anchors())


@given(overrides)
def test_overrides_survive_the_trip_through_text(asked):
    texts = asked.texts()
    again = Overrides.parse(texts["pin"], texts["forbid"])
    assert again.pins == asked.pins
    assert {n: set(s) for n, s in again.forbidden.items()} == {n: set(s) for n, s in asked.forbidden.items()}
    lines = Overrides.parse(
        [f"{name}={scheme}" for name, scheme in texts["pin"].items()],
        [f"{name}={','.join(schemes)}" for name, schemes in texts["forbid"].items()],
    )
    assert lines == again


def test_overrides_are_read_from_words_and_from_objects():
    told = Overrides.parse(["fc=w8a8"], ["conv1=w1a8,w1a1", "conv1=w4a8"])
    assert told == Overrides(pins={"fc": W8}, forbidden={"conv1": (W1, W1A8, W4)})
    assert Overrides.parse({"fc": W8}, {"conv1": [W4, "w1a1", "w1a8"]}) == told
    assert Overrides.parse("fc=w8a8", "conv1=w1a1,w1a8,w4a8") == told
    assert str(told) == "fc pinned to w8a8; conv1 without w1a1, w1a8, w4a8"
    assert not Overrides.parse()
    assert str(Overrides()) == "none"


@pytest.mark.parametrize(
    ("pins", "forbid", "message"),
    [
        (["fc"], [], r"`pin` must be a layer or a glob, =, and a scheme, such as fc=w8a8; got 'fc'"),
        ([], ["=w1a1"], r"`forbid` must be a layer"),
        (["fc=w9a9"], [], r"A scheme must be one of w1a1.*got 'w9a9'"),
        (["fc="], [], r"got ''"),
        ({"fc": 8}, None, r"A scheme must be one of.*got 8"),
        (None, {"fc": []}, r"`forbid` must name a scheme.*got none for 'fc'"),
        (["fc=w8a8", "fc=w4a8"], [], r"'fc' is pinned to w4a8, w8a8. To leave a choice, forbid the others"),
        (["fc=w8a8,w4a8"], [], r"pinned to one scheme"),
    ],
)
def test_what_is_no_override_is_refused_with_an_example(pins, forbid, message):
    with pytest.raises(ConfigError, match=message):
        Overrides.parse(pins, forbid)


def test_a_policy_is_judged_layer_by_layer():
    asked = Overrides.parse(["head=w8a8"], ["block.*=w1a1"])
    good = PrecisionPolicy({"stem": W1, "block.conv1": W4, "head": W8})
    bad = PrecisionPolicy({"stem": W1, "block.conv1": W1, "head": W4})
    assert asked.allows(good)
    assert asked.broken_by(bad) == ("block.conv1", "head")
    assert Overrides().allows(bad)


def test_an_override_of_one_layer_of_a_group_holds_for_all_and_says_so():
    resolved = space_with(a=(W1, W4, W8), b=(W1, W4, W8), c=(W1, W8), group="a b")
    asked = Overrides.parse(["a=w4a8"])
    left = narrowed(resolved, asked)
    assert left.pinned == {"a": W4, "b": W4}
    assert remarks(resolved, asked) == ("a shares one scheme with b: `pin a=w4a8` holds for all of them.",)
    assert remarks(resolved, Overrides.parse(["[ab]=w4a8"])) == ()


def test_an_override_that_changes_nothing_is_said():
    resolved = space_with(a=(W4, W8), b=(W1, W8))
    (told,) = remarks(resolved, Overrides.parse(None, ["a=w1a1"]))
    assert told == "`forbid a=w1a1` changes nothing: the space allows a nothing of it."
    assert remarks(resolved, Overrides.parse(None, ["*=w1a1"])) == ()
    fixed = ResolvedSpace(layers=("a", "b"), choices=resolved.choices[1:], pinned={"a": W8})
    assert remarks(fixed, Overrides.parse(["a=w8a8"])) == (
        "`pin a=w8a8` changes nothing: the space allows a nothing else.",
    )


@pytest.mark.parametrize(
    ("pins", "forbid", "message"),
    [
        (["d=w8a8"], [], r"`pin d=w8a8` matches none.*The model has a, b, c\."),
        ([], ["conv*=w8a8"], r"`forbid conv\*=w8a8` matches none"),
        (["a=w1a8"], [], r"`pin a=w1a8` leaves none for a, b, which share one scheme, where the space allows "
                         r"w1a1, w4a8"),
        (["a=w1a1", "b=w4a8"], [], r"`pin a=w1a1` and `pin b=w4a8` leave none for a, b, which share"),
        ([], ["a=w1a1", "b=w4a8"], r"`forbid a=w1a1` and `forbid b=w4a8` leave none for a, b"),
        (["c=w8a8"], ["*=w8a8"], r"`pin c=w8a8` and `forbid \*=w8a8` leave none for c where the space allows "
                                 r"w1a1, w8a8\. Change one, or lift it \(--free\)"),
    ],
)  # fmt: skip
def test_overrides_that_leave_nothing_are_refused_with_the_layers_and_what_was_given(pins, forbid, message):
    resolved = space_with(a=(W1, W4), b=(W1, W4), c=(W1, W8), group="a b")
    with pytest.raises(ConfigError, match=message):
        narrowed(resolved, Overrides.parse(pins, forbid))


def test_a_layer_that_the_space_fixes_may_be_pinned_to_that_and_to_nothing_else():
    fixed = ResolvedSpace(layers=("a",), choices=(), pinned={"a": W8})
    assert narrowed(fixed, Overrides.parse(["a=w8a8"])).pinned == {"a": W8}
    with pytest.raises(ConfigError, match="leaves none for a"):
        narrowed(fixed, Overrides.parse(None, ["a=w8a8"]))


def test_the_nearest_name_is_told():
    with pytest.raises(ConfigError, match=r"Did you mean 'stem'"):
        narrowed(space_with(**dict.fromkeys(LAYERS, (W1, W8))), Overrides.parse(["stm=w8a8"]))


def test_what_an_override_leaves_of_codes_are_codes_of_the_rest():
    resolved = space_with(a=(W1, W4, W8), b=(W1, W8))
    left = narrowed(resolved, Overrides.parse(None, ["a=w1a1"]))
    assert left.policy(np.array([0, 1])).names() == {"a": "w4a8", "b": "w8a8"}
    assert left.codes(left.policy([1, 0])).tolist() == [1, 0]


def test_later_pins_replace_earlier_ones_and_prohibitions_add_up():
    before = Overrides.parse(["a=w8a8", "b=w4a8"], ["c=w1a1"])
    after = before.joined(Overrides.parse(["a=w4a8"], ["c=w1a8", "d=w1a1"]))
    assert after == Overrides.parse(["a=w4a8", "b=w4a8"], ["c=w1a1,w1a8", "d=w1a1"])


def test_overrides_are_lifted_by_the_names_that_they_were_given():
    asked = Overrides.parse(["block.*=w8a8", "head=w8a8"], ["stem=w1a1"])
    assert asked.without(["block.*"]) == Overrides.parse(["head=w8a8"], ["stem=w1a1"])
    assert not asked.without(["*"])
    assert asked.without(["other"]) == asked
    with pytest.raises(ConfigError, match=r"'block.conv1' is under `pin block.\*=w8a8`. Free 'block.\*'"):
        asked.without(["block.conv1"])


SPACE = """\
task: {name: digits}
layers: [{match: "*", schemes: [w1a1, w8a8]}]
overrides:
  pin: {fc: w8a8, 0: w8a8}
  forbid: {conv*: [w1a1]}
"""


def test_a_space_file_may_hold_overrides_and_layers_named_by_numbers():
    space = parse_space(SPACE)
    assert space.overrides == Overrides.parse(["fc=w8a8", "0=w8a8"], ["conv*=w1a1"])
    assert parse_space(space.to_yaml()) == space
    assert parse_space(SPACE.partition("overrides")[0]).overrides == Overrides()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pin:", "pn:", r"line 4: unknown key `pn` in `overrides`. Did you mean 'pin'"),
        ("fc: w8a8", "fc: w9", r"line 4: `overrides.pin.fc`: A scheme must be one of"),
        ("[w1a1]}\n", "w1a1}\n", r"line 5: `overrides.forbid.conv\*` must be a valid list"),
        ("[w1a1]}\n", "[]}\n", r"line 5: `overrides.forbid.conv\*` "),
    ],
)
def test_a_mistake_in_the_overrides_of_a_space_is_told_with_its_line(old, new, message):
    head, tail = SPACE.split("overrides:")
    with pytest.raises(ConfigError, match=message):
        parse_space(f"{head}overrides:{tail.replace(old, new, 1)}", source="space.yaml")


def test_overrides_make_no_other_search():
    space = parse_space(SPACE)
    assert space.differences(parse_space(SPACE.partition("overrides")[0])) == ()
