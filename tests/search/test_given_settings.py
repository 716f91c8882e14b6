"""What a call says of a search in place of what the space says, from the command line and from Python."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import mpsearch
from mpsearch.cli.app import app
from mpsearch.errors import ConfigError
from mpsearch.search.given_settings import with_settings


class ReachedError(Exception):
    """Ends a call that has come to the search."""


@pytest.fixture
def reached(monkeypatch):
    """What the search was called with."""
    given = {}

    def run_search(_space, **settings):
        given.update(settings)
        raise ReachedError

    monkeypatch.setattr("mpsearch.search.engine.run_search", run_search)
    return given


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ((), {"batch": None, "repeats": None}),
        (("--batch", "8", "--no-repeats"), {"batch": 8, "repeats": False}),
        (("--repeats",), {"batch": None, "repeats": True}),
    ],
)
def test_batches_and_repeats_are_asked_for_alike_in_a_command_and_in_a_call(arguments, settings, reached):
    told = CliRunner().invoke(app, ["search", "digits", *arguments])
    assert isinstance(told.exception, ReachedError)
    assert {name: reached.pop(name) for name in settings} == settings
    with pytest.raises(ReachedError):
        mpsearch.search("digits", progress=False, **settings)
    assert {name: reached[name] for name in settings} == settings


def test_they_replace_what_the_space_says_and_leave_the_search_the_same(space_of):
    space = space_of(search="{batch: 2, repeats: auto}")
    assert with_settings(space) == space
    changed = with_settings(space, batch=4, repeats=False)
    assert (changed.search.batch, changed.search.repeats) == (4, "off")
    assert with_settings(changed, repeats=True).search.repeats == "auto"
    assert changed.differences(space) == ()


@pytest.mark.parametrize("batch", [0, -1, 2.5, True])
def test_a_batch_is_a_whole_number_of_policies(space_of, batch):
    with pytest.raises(ConfigError, match=r"`batch` must be a whole number of at least 1; got"):
        with_settings(space_of(), batch=batch)
