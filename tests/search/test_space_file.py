from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError, FormatError, MpsearchError
from mpsearch.search.built_in_spaces import built_in_spaces
from mpsearch.search.space_file import find_space, load_space, parse_space

GOOD = """\
schema: 1
name: example
task: {name: digits, args: {model: cnn}}
layers:
  - match: conv1
    pin: w8a8
  - match: "*"
    schemes: [w1a1, w4a8]
budgets: {memory: 60KB}
trial: {steps: 7}
search: {trials: 5}
"""


def test_a_space_is_read_with_every_default_filled_in():
    space = parse_space(GOOD)
    assert [rule.is_pinned for rule in space.layers] == [True, False]
    assert [scheme.name for scheme in space.layers[1].schemes] == ["w1a1", "w4a8"]
    assert [objective.name for objective in space.objectives] == ["accuracy", "latency", "memory"]
    assert (space.trial.steps, space.search.trials, space.search.sampler) == (7, 5, "mpsearch")
    assert space.budgets.memory_bytes == 60_000


@pytest.mark.parametrize("value", ["!!omap [a: 1]", "!!set {a}", "2020-01-01", "!!binary aGVsbG8="])
def test_an_argument_of_a_task_that_only_yaml_can_hold_is_refused(value):
    with pytest.raises(ConfigError, match=r"line 3: `task.args.model.*` must be a valid JSON value"):
        parse_space(GOOD.replace("{model: cnn}", f"{{model: {value}}}"))


@pytest.mark.parametrize("name", sorted(built_in_spaces()))
def test_every_built_in_space_loads_and_writes_itself_in_full(name):
    space = load_space(name)
    text = space.to_yaml()
    assert parse_space(text) == space
    shown = yaml.safe_load(text)
    assert {"steps", "learning_rate", "ternary"} <= set(shown["trial"])
    own = {"sampler", "sensitivity", "repeats", "trials", "seed", "workers", "batch", "trial_timeout"}
    assert set(shown["search"]) == own


def test_a_trial_of_a_space_may_have_a_time_limit():
    space = parse_space(GOOD.replace("trials: 5", "trial_timeout: 90s"))
    assert space.search.trial_timeout_s == 90
    assert parse_space(space.to_yaml()) == space
    assert parse_space(GOOD).differences(space) == ()


def test_the_built_in_spaces_are_these():
    assert set(built_in_spaces()) >= {"digits", "cifar10-resnet20", "cifar10-vgg"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("memory: 60KB", "memry: 60KB", r"line 9: unknown key `memry` in `budgets`. Did you mean 'memory'"),
        ("trial:", "trail:", r"line 10: unknown key `trail`. Did you mean 'trial'"),
        ("match: conv1", "mach: conv1", r"line 5: unknown key `mach` in `layers\[0\]`. Did you mean 'match'"),
        ("steps: 7", "stesp: 7", r"line 10: unknown key `stesp` in `trial`. Did you mean 'steps'"),
        ("trials: 5", "trials: many", r"line 11: `search.trials` must be a valid integer; got 'many'"),
        ("trials: 5", "trial_timeout: soon", r"line 11: `search.trial_timeout`.*A duration must be"),
        ("trials: 5", "trial_timeout: 90", r"line 11: `search.trial_timeout`.*with its unit, such as 90s"),
        ("trials: 5", "workers: -1", r"line 11: `search.workers` must be greater than or equal to 0; got -1"),
        ("trials: 5", "trials: 5.5", r"line 11: `search.trials` must be a valid integer"),
        ("trials: 5", "trials: 0", r"line 11: `search.trials` must be greater than or equal to 1; got 0"),
        (
            "trials: 5",
            "sampler: tpee",
            r"line 11: `search.sampler`: A sampler must be one of.*Did you mean 'tpe'",
        ),
        (
            "steps: 7",
            "steps: 0",
            r"line 10: `trial.steps`: `steps` must be a whole number of at least 1; got 0",
        ),
        ("steps: 7", "ternary: tern", r"line 10: `trial.ternary` must be 'twn'.*; got 'tern'"),
        ("w4a8", "w3a8", r"line 8: `layers\[1\].schemes\[1\]`: A scheme must be one of w1a1.*got 'w3a8'"),
        ("w4a8", "w1a1", r"line 7: `layers\[1\]`: Each scheme must be named once"),
        ("pin: w8a8", "group: a", r"line 5: `layers\[0\]`: A rule must have either.*got neither"),
        ("60KB", "60XB", r"line 9: `budgets.memory`: A size must be a positive number with a unit"),
        ("60KB", "[60]", r"line 9: `budgets.memory`"),
        ("name: digits", "nme: digits", r"`task.name` is missing"),
        (
            "search:",
            "objectives: [latency]\nsearch:",
            r"line 11: `objectives` must hold accuracy or loss, or `budgets` bound one of them",
        ),
        ("search:", "trial: {}\nsearch:", r"line 11: `trial` is there twice \(first in line 10\)"),
        ("search:", "budgets: {", r"not valid YAML"),
        ("schema: 1", "schema: one", r"line 1: `schema` must be a valid integer"),
        ("schema: 1", "schema: 0", r"`schema` must be 1; got 0"),
        ("{name: digits, args: {model: cnn}}", "digits", r"line 3: `task`"),
        ("cnn", "&a [*a]", r"aliases"),
    ],
)
def test_a_mistake_is_told_with_its_line(old, new, message):
    with pytest.raises(ConfigError, match=message):
        parse_space(GOOD.replace(old, new, 1), source="space.yaml")


def test_all_mistakes_are_told_at_once_up_to_five():
    many = GOOD.replace("steps: 7", ", ".join(f"x{n}: 1" for n in range(8)))
    with pytest.raises(ConfigError, match=r"`x4`(.|\n)*and 3 more"):
        parse_space(many)


@pytest.mark.parametrize("text", ["", "- 1", "just text", "7"])
def test_what_is_no_mapping_is_refused(text):
    with pytest.raises(ConfigError, match="must hold keys such as"):
        parse_space(text)


def test_a_control_character_is_told_in_one_line():
    with pytest.raises(ConfigError, match=r"\A[^\n]*unacceptable character[^\n]*\Z"):
        parse_space("schema: 1\n\x00")


def test_a_newer_schema_is_a_format_error():
    with pytest.raises(FormatError, match="schema 2; this mpsearch reads up to 1"):
        parse_space(GOOD.replace("schema: 1", "schema: 2"))


def test_python_objects_in_yaml_are_not_made():
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_space(GOOD.replace("cnn", "!!python/object/apply:os.getcwd []"))


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(ConfigError, match=r"got 'digts'. Did you mean 'digits'"):
        find_space("digts")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="readable text"):
        load_space(path)


def test_a_task_file_is_found_beside_the_space(tmp_path):
    (tmp_path / "mine.py").write_text("")
    path = tmp_path / "space.yaml"
    path.write_text(GOOD.replace("digits", "mine.py:task"))
    assert load_space(path).task.name == f"{tmp_path / 'mine.py'}:task"


def test_spaces_differ_only_in_what_must_not_change():
    one = parse_space(GOOD)
    other = parse_space(GOOD.replace("60KB", "50KB").replace("trials: 5", "trials: 50, workers: 2, batch: 8"))
    assert one.differences(other) == ()
    assert one.differences(parse_space(GOOD.replace("steps: 7", "steps: 8"))) == ("trial.steps",)
    assert one.differences(parse_space(GOOD.replace("trials: 5", "seed: 5"))) == ("search.seed",)
    assert one.differences(parse_space(GOOD.replace("model: cnn", "model: cnn, data: /mnt/digits"))) == ()
    assert one.differences(parse_space(GOOD.replace("model: cnn", "model: mlp"))) == ("task",)


@given(st.text())
def test_no_text_raises_anything_but_our_errors(text):
    with suppress(MpsearchError):
        parse_space(text)


@given(st.data())
def test_no_damage_to_a_space_raises_anything_but_our_errors(data):
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        piece = data.draw(
            st.text(max_size=6) | st.sampled_from(["\n", ": ", "- ", "{", "[", "!!", "&a", "*a", '"'])
        )
        text = text[:place] + piece + text[place + length :]
    try:
        space = parse_space(text)
    except MpsearchError:
        return
    assert parse_space(space.to_yaml()) == space


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.data())
def test_no_value_at_any_key_raises_anything_but_our_errors(data):
    values = yaml.safe_load(GOOD)
    place = values
    keys = data.draw(
        st.sampled_from([["task"], ["layers"], ["layers", 0], ["budgets"], ["trial"], ["search"]])
    )
    for key in keys[:-1]:
        place = place[key]
    if data.draw(st.booleans()) and isinstance(place[keys[-1]], dict):
        place = place[keys[-1]]
        keys = [data.draw(st.sampled_from([*place, "new"]))]
    place[keys[-1]] = data.draw(yaml_values)
    with suppress(MpsearchError):
        parse_space(yaml.safe_dump(values))
