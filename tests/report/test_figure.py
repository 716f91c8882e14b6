"""The front as a picture file."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mpsearch.errors import ConfigError
from mpsearch.report.figure import front_figure


def picture(run, **axes):
    return np.asarray(Image.open(io.BytesIO(front_figure(run, "png", **axes))).convert("RGB"))


def test_the_same_run_gives_the_same_bytes(finished_run):
    assert front_figure(finished_run, "svg") == front_figure(finished_run, "svg")
    assert front_figure(finished_run, "png") == front_figure(finished_run, "png")


def test_an_svg_is_whole_and_holds_no_date(finished_run):
    text = front_figure(finished_run, "svg").decode()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", text)


def test_a_png_is_large_enough_for_print_and_not_empty(finished_run):
    pixels = picture(finished_run)
    assert pixels.shape[1] > 1400
    assert (pixels < 100).all(axis=2).mean() > 0.002


def test_axes_change_the_picture(finished_run):
    assert not np.array_equal(picture(finished_run), picture(finished_run, x="memory"))
    with pytest.raises(ConfigError, match="two different axes"):
        front_figure(finished_run, "png", x="accuracy")


def test_budgets_are_drawn(finished_run):
    def red(run):
        pixels = picture(run).astype(int)
        return int(((pixels[..., 0] - pixels[..., 2]) > 90).sum())

    free = finished_run.with_budgets(type(finished_run.budgets)())
    assert red(finished_run) > red(free)


def test_dollars_in_a_name_are_no_formula(finished_run):
    odd = replace(finished_run, space=replace(finished_run.space, name="$\\frac{1}$"), metric="$top")
    assert front_figure(odd, "png")


@pytest.mark.parametrize("trials", [0, 1, 2])
def test_a_run_that_has_just_begun_has_a_picture(finished_run, trials):
    assert front_figure(replace(finished_run, records=finished_run.records[:trials]), "svg")


def test_no_plot_of_the_process_is_touched(finished_run):
    front_figure(finished_run, "png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
