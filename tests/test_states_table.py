"""The table of states in the documentation is the code's, and its core is what it has to be."""

from __future__ import annotations

import pytest
from tests.make_states import BUTTON, BY_HAND, INPUTS, MEANINGS, PAGE, SITUATIONS, follow, page

from voicelive_agent.events import State

CORE = [  # written by hand: what a user of the library relies on
    ("connecting", "the service accepts the configuration", State.READY),
    ("connecting", "the user begins to speak", State.CONNECTING),
    ("connecting", "nothing for longer than any limit", State.CLOSED),
    ("ready", "the user begins to speak", State.LISTENING),
    ("ready", "a text is typed", State.PROCESSING),
    ("ready", "`say()`", State.PROCESSING),
    ("ready", "a response is created", State.PROCESSING),
    ("ready", "audio of the response", State.SPEAKING),
    ("ready", "an error of the service", State.READY),
    ("ready", "nothing for longer than any limit", State.READY),
    ("listening", "the user stops", State.PROCESSING),
    ("listening", "a text is typed", State.LISTENING),
    ("listening", "nothing for longer than any limit", State.LISTENING),
    ("processing: an answer is due", "nothing was understood", State.READY),
    ("processing: an answer is due", "the user begins to speak", State.LISTENING),
    ("processing: an answer is due", "nothing for longer than any limit", State.READY),
    ("processing: a response is open", "audio of the response", State.SPEAKING),
    ("processing: a response is open", "the response is done", State.READY),
    ("processing: a response is open", "the response has failed", State.ERROR),
    ("processing: a response is open", "`interrupt()`", State.READY),
    ("processing: a response is open", "nothing for longer than any limit", State.READY),
    ("processing: a tool runs", "a tool has finished", State.PROCESSING),
    ("processing: a tool runs", "the user begins to speak", State.LISTENING),
    ("speaking: more is to come", "all that was sent is heard", State.PROCESSING),
    ("speaking: more is to come", "the response is done", State.SPEAKING),
    ("speaking: more is to come", "the user begins to speak", State.LISTENING),
    ("speaking: all has arrived", "all that was sent is heard", State.READY),
    ("speaking: all has arrived", "the user begins to speak", State.LISTENING),
    ("speaking: all has arrived", "`interrupt()`", State.READY),
    ("speaking: all has arrived", "an error of the service", State.SPEAKING),
    ("error", "the user begins to speak", State.LISTENING),
    ("error", "a text is typed", State.PROCESSING),
    ("error", "a response is created", State.PROCESSING),
    ("error", "`interrupt()`", State.ERROR),
]
PRESSED, LET_GO, TOO_SOON, STUCK = BUTTON
BY_HAND_CORE = [
    ("ready", PRESSED, State.LISTENING),
    ("speaking: more is to come", PRESSED, State.LISTENING),
    ("error", PRESSED, State.LISTENING),
    ("listening", PRESSED, State.LISTENING),
    ("listening", LET_GO, State.PROCESSING),
    ("speaking: more is to come", LET_GO, State.SPEAKING),
    ("ready", LET_GO, State.READY),
    ("ready", TOO_SOON, State.READY),
    ("speaking: all has arrived", TOO_SOON, State.READY),
    ("processing: an answer is due", TOO_SOON, State.PROCESSING),
    ("listening", STUCK, State.PROCESSING),
]


def test_the_page_is_what_the_code_does() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.make_states"


def test_every_state_has_a_meaning_and_a_situation() -> None:
    for situations in (SITUATIONS, BY_HAND):
        assert set(MEANINGS) == set(State) == {state for state, _ in situations.values()}


@pytest.mark.parametrize(("situation", "event", "after"), CORE + BY_HAND_CORE)
def test_the_core_of_the_table(situation: str, event: str, after: State) -> None:
    assert follow(situation, event) is after


@pytest.mark.parametrize("situation", [name for name in SITUATIONS if name != "closed"])
def test_a_loss_closes_and_a_fatal_error_is_one(situation: str) -> None:
    assert follow(situation, "the connection is lost") is State.CLOSED
    fatal = State.CONNECTING if situation == "connecting" else State.ERROR
    assert follow(situation, "a fatal error of the service") is fatal


@pytest.mark.parametrize("event", [*INPUTS, *BUTTON])
def test_nothing_leaves_the_end(event: str) -> None:
    assert follow("closed", event) is State.CLOSED
