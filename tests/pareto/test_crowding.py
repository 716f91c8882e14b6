import numpy as np

from mpsearch.pareto.crowding import crowding_distance


def test_crowding_is_that_of_the_paper_and_equal_columns_add_nothing():
    front = np.array([[0.0, 4.0, 7.0], [1.0, 3.0, 7.0], [4.0, 0.0, 7.0], [3.0, 1.0, 7.0]])
    assert crowding_distance(front).tolist() == [np.inf, 1.5, np.inf, 1.5]
    assert crowding_distance(np.ones((3, 2))).tolist() == [0.0, 0.0, 0.0]
