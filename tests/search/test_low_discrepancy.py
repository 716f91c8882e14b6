import numpy as np

from mpsearch.search.low_discrepancy import halton, radical_inverse, van_der_corput


def test_a_path_is_visited_at_its_ends_then_in_the_middle_of_what_is_left():
    assert [van_der_corput(number) for number in range(6)] == [1, 0, 1 / 2, 1 / 4, 3 / 4, 1 / 8]


def test_digits_are_mirrored_behind_the_point():
    assert radical_inverse(5, 3) == 2 / 3 + 1 / 9  # 12 in base 3


def test_points_fill_a_cube_more_evenly_than_random_ones():
    points = np.array([halton(number, 3) for number in range(64)])
    drawn = np.random.default_rng(0).random((64, 3))
    assert 0 < points.min() <= points.max() < 1
    occupied = [len(np.unique((p * 3).astype(int), axis=0)) for p in (points, drawn)]
    assert occupied[0] > occupied[1]
