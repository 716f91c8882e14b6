from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mpsearch.report.label_placement import placed_labels

SIZE = 10.0


def test_a_lone_label_stands_right_of_its_mark():
    (label,) = placed_labels([(50, 50, "knee")], [(50, 50, 5)], size=SIZE, width=200, height=100)
    assert label.x > 55
    assert 45 < label.y < 60


def test_a_label_at_the_right_edge_goes_to_the_left():
    (label,) = placed_labels([(195, 50, "32-bit")], [(195, 50, 5)], size=SIZE, width=200, height=100)
    assert label.x + 0.56 * SIZE * 6 < 195


def test_labels_of_neighbours_do_not_cover_each_other():
    points = [(100.0, 50.0), (102.0, 52.0), (104.0, 48.0)]
    labels = placed_labels(
        [(x, y, "all w8a8") for x, y in points],
        [(x, y, 4) for x, y in points],
        size=SIZE,
        width=300,
        height=200,
    )
    wide = 0.56 * SIZE * 8
    placed = sorted(labels, key=lambda label: (label.y, label.x))
    assert all(abs(a.y - b.y) > SIZE or abs(a.x - b.x) > wide for a, b in pairwise(placed))


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200)), min_size=1, max_size=12))
def test_every_label_is_placed_and_keeps_its_text(points):
    labels = [(x, y, f"name {place}") for place, (x, y) in enumerate(points)]
    placed = placed_labels(labels, [(x, y, 4) for x, y in points], size=SIZE, width=300, height=200)
    assert [label.text for label in placed] == [text for _, _, text in labels]
