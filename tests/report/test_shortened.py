from mpsearch.report.shortened import shortened


def test_the_end_of_a_long_name_is_kept():
    assert shortened("layer1.0.conv1", 8) == "…0.conv1"
    assert shortened("conv1", 5) == "conv1"
