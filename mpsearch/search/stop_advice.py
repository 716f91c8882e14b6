"""When the sampler that knows costs advises to stop: further trials tell more of luck than of policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpsearch.search.events import Notice, OnEvent
from mpsearch.search.observations import ADVICE

IN_A_ROW = 3  # proposals that must agree: the model is fitted anew for each


class StopAdvice:
    """Tells once, where several proposals in a row are expected to gain less than luck would.

    The search goes on to its number of trials. `may_repeat`: whether further seeds of the front's policies
    may be among them.
    """

    def __init__(self, emit: OnEvent, *, may_repeat: bool) -> None:
        self._emit = emit
        self._may_repeat = may_repeat
        self._in_a_row = 0
        self._is_told = False

    def hear(self, notes: Mapping[str, Any]) -> None:
        """The notes of the sampler on a trial that begins; without advice it counts for nothing."""
        if ADVICE not in notes or self._is_told:
            return
        gain, luck = notes[ADVICE]
        self._in_a_row = self._in_a_row + 1 if gain < luck else 0
        if self._in_a_row == IN_A_ROW:
            self._is_told = True
            self._emit(Notice(message=self._message()))

    def _message(self) -> str:
        rest = (
            "The search goes on to its number of trials, with further seeds of the front's policies where "
            "they tell more."
            if self._may_repeat
            else "The search goes on to its number of trials."
        )
        return (
            "Another policy is now expected to add less to the front than the luck of a seed does: this "
            f"search may end here. {rest}"
        )
