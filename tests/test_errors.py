import inspect
import pickle

from mpsearch import errors


def test_every_error_is_drawn_in_the_tree_and_derives_from_the_base():
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 10
    for cls in classes:
        assert issubclass(cls, errors.MpsearchError)
        assert cls.__name__ in errors.__doc__
        assert cls.__doc__


def test_an_unmeasured_layer_names_the_command_and_then_the_users_own_files():
    error = errors.UnmeasuredError("Profile 'p' lacks a layer.", threads=2)
    assert str(error).endswith("Add it: mpsearch profile --space SPACE.yaml --out PROFILE.json --threads 2")
    named = error.naming(space="a.yaml", profile=None)
    assert str(named) == str(error).replace("SPACE.yaml", "a.yaml")
    assert str(pickle.loads(pickle.dumps(named))) == str(named)


def test_a_message_that_quotes_a_whole_file_is_shown_in_short():
    text = "The name must be known; got " + 10**6 * "[" + ". Export it again."
    shown = str(errors.FormatError(text))
    assert len(shown) < 11_000
    assert shown.startswith("The name must be known; got [[[")
    assert shown.endswith("[. Export it again.")
    assert str(errors.FormatError("short")) == "short"


def test_a_message_that_quotes_half_a_character_can_be_shown():
    assert str(errors.FormatError("got '\ud800'.")) == r"got '\ud800'."
