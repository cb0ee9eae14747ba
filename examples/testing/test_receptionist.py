"""Conversations with the receptionist: no account, no network, no sound card, no waiting.

pytest examples/testing
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from receptionist import Receptionist

from voicelive_agent.emulator import Call
from voicelive_agent.testing import Conversation

STORY = "Once upon a time there was a library with a thousand and one rooms."
ANSWERS = [
    (r"open on (\w+)", Call("opening_hours", {"day": r"\1"})),  # what the tool returns is said next
    ("story", STORY),
    ("thank", "You are welcome."),
]
Converse = Callable[..., Conversation]


def test_a_whole_call(voicelive_conversation: Converse) -> None:
    with voicelive_conversation(Receptionist, ANSWERS) as call:
        call.expect_says("good morning")
        call.user_says("Are you open on Sunday?")
        call.expect_tool("opening_hours", {"day": "Sunday"})
        call.expect_says("closed")
        call.user_says("Tell me a story.")
        call.user_interrupts("Thank you.", after_ms=1000)
        call.expect_interrupted(1000, 1500)
        call.expect_says("you are welcome")
        call.expect_no_errors()


@pytest.mark.voicelive(answers=ANSWERS)
async def test_the_same_words_in_a_coroutine(voicelive_conversation: Converse) -> None:
    async with voicelive_conversation(Receptionist) as call:
        await call.user_types("Are you open on Monday?")
        await call.expect_says("9 to 17")
