"""Push-to-talk among everything else that may happen, in any order: the machine keeps its promises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from tests.conversation_driver import RATE
from tests.conversation_model import Conversing
from tests.test_conversation_machine import SETTINGS, ConversationMachine

from voicelive_agent._answers import Answers
from voicelive_agent.events import State


class ButtonMachine(ConversationMachine):
    """The same with a button to talk."""

    @initialize(profile=st.sampled_from(["cascade", "realtime"]))
    def start(self, profile: Any) -> None:
        start: Any = Conversing.start
        start(self, {"profile": profile, "turn_detection": None}, RATE)

    @precondition(lambda self: not self.closed)
    @rule(ms=st.sampled_from([0, 50, 500]))
    def user_presses_the_button(self, ms: int) -> None:
        self.core.hear(bytes(ms * RATE // 1000 * 2))
        if self.core._manual.deadline is None and not self.core._answers.responses.uninterruptible:
            self.bury()
        self.step(self.core.begin_turn)
        assert self.state in (State.LISTENING, State.CONNECTING, State.ERROR)  # an error while it is pressed

    @precondition(lambda self: not self.closed)
    @rule(ms=st.sampled_from([0, 50, 500]))
    def user_lets_go(self, ms: int) -> None:
        self.core.hear(bytes(ms * RATE // 1000 * 2))
        self.step(self.core.end_turn)
        assert self.state is not State.LISTENING or self.user_item is not None


ButtonMachine.TestCase.settings = settings(SETTINGS, max_examples=100)
TestButtonMachine = ButtonMachine.TestCase


def test_the_machine_finds_a_button_that_silences_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it proves nothing."""
    interrupt = Answers.interrupt

    def not_by_hand(self: Answers, *, cancel: bool, barge_in_ms: int | None = None) -> None:
        if barge_in_ms is None:
            interrupt(self, cancel=cancel)

    monkeypatch.setattr(Answers, "interrupt", not_by_hand)
    found = settings(SETTINGS, max_examples=500, derandomize=True, database=None, phases=(Phase.generate,))
    with pytest.raises(AssertionError, match="audio of an interrupted response was played"):
        run_state_machine_as_test(ButtonMachine, settings=found)
