from mpsearch.report.staircase import stair_line, stairs

PLACES = [(0.9, 0.9), (0.1, 0.2), (0.5, 0.6), (0.5, 0.4), (0.7, 0.6), (0.1, 0.2)]


def test_only_places_that_nothing_beats_are_steps():
    assert stairs(PLACES) == ((0.1, 0.2), (0.5, 0.6), (0.9, 0.9))
    assert stairs(()) == ()


def test_steps_follow_the_way_in_which_each_axis_gets_better():
    assert stairs(PLACES, across="maximize") == ((0.9, 0.9),)
    assert stairs(PLACES, up="minimize") == ((0.1, 0.2),)
    turned = [(-x, -y) for x, y in PLACES]
    assert stairs(turned, across="maximize", up="minimize") == ((-0.1, -0.2), (-0.5, -0.6), (-0.9, -0.9))


def test_the_line_keeps_the_height_of_a_step_until_the_next():
    assert stair_line([(0, 1), (2, 3)]) == ((0, 1), (2, 1), (2, 3))
    assert stair_line([]) == ()
