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
