"""Silence for one thread, and for as long as it is asked for."""

import logging
import sys
import threading
import warnings

from mpsearch.models.silence import silence


def speak() -> None:
    sys.stdout.write("out\n")
    sys.stderr.write("err\n")
    logging.getLogger("loud").error("log")
    warnings.warn("warning", stacklevel=1)


def test_nothing_is_said_inside_and_all_is_said_after(capfd, caplog):
    with silence():
        speak()
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    sys.stdout.write("after\n")
    logging.getLogger("loud").error("log")
    assert capfd.readouterr().out == "after\n"
    assert len(caplog.records) == 1


def test_other_threads_are_heard(capsys):
    with silence():
        other = threading.Thread(target=sys.stdout.write, args=("frame\n",))
        other.start()
        other.join()
        assert not sys.stdout.isatty()
    assert capsys.readouterr().out == "frame\n"
