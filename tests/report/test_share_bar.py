from mpsearch.report.share_bar import share_bar


def test_bars_are_as_long_as_their_share():
    assert [share_bar(share, 4) for share in (0, 0.5, 1, 2)] == ["    ", "██  ", "████", "████"]
    assert share_bar(0.125 / 4, 4) == "▏   "


def test_bars_never_hide_a_little():
    assert share_bar(0.0001, 4) == "▏   "
