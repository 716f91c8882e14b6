import inspect

from mpsearch import errors


def test_every_error_is_drawn_in_the_tree_and_derives_from_the_base():
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 10
    for cls in classes:
        assert issubclass(cls, errors.MpsearchError)
        assert cls.__name__ in errors.__doc__
        assert cls.__doc__
