from mpsearch.report.ascii_letters import ascii_cells, ascii_words


def test_each_letter_keeps_its_cell():
    assert ascii_cells("8.45 µs ≤ ★ ⠉ 中") == "8.45 us < K . ?"


def test_where_lines_may_grow_more_can_be_said():
    assert ascii_words("8.45 µs ≤ ★ … ± →") == "8.45 us <= K ... +- ->"
