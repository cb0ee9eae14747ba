"""Writes docs/reference/states.md from the running machine.   python -m tests.make_states

Every situation is reached by what services and users really do, every input is tried in it, and the state that
follows is written down. So the page cannot say anything that the code does not do; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tests.conversation_driver import LOST, RATE, Driver

from voicelive_agent.events import State

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "states.md"

MEANINGS = {
    State.CONNECTING: "There is no session yet: the service has not accepted the configuration.",
    State.READY: "Nobody speaks and nothing is due: it is the user's turn.",
    State.LISTENING: "The user is speaking, whatever else goes on.",
    State.PROCESSING: "An answer or a tool is open or due, and nothing of it is audible; it always ends.",
    State.SPEAKING: "The agent is audible: until the last sample was heard, or nothing came for 400 ms.",
    State.ERROR: "The open turn failed; the next speech, text or response leaves this state.",
    State.CLOSED: "The conversation is over; nothing more is answered.",
}


# --- situations: how to get there -----------------------------------------------------------------------------


def connecting(driver: Driver) -> None:
    driver.hear("session.created", session={})


def ready(driver: Driver) -> None:
    driver.start()


def listening(driver: Driver) -> None:
    driver.start().user_begins()


def answer_due(driver: Driver) -> None:
    driver.start().user_begins()
    driver.user_ends()


def response_open(driver: Driver) -> None:
    driver.start().user_speaks()
    driver.created()


def tool_running(driver: Driver) -> None:
    response_open(driver)
    driver.call()
    driver.done()


def still_coming(driver: Driver) -> None:
    response_open(driver)
    driver.audio()


def all_arrived(driver: Driver) -> None:
    driver.start().user_speaks()
    driver.answer()


def failed(driver: Driver) -> None:
    response_open(driver)
    driver.done(status="failed")


def closed(driver: Driver) -> None:
    driver.start().close(LOST)


SITUATIONS: dict[str, tuple[State, Callable[[Driver], None]]] = {
    "connecting": (State.CONNECTING, connecting),
    "ready": (State.READY, ready),
    "listening": (State.LISTENING, listening),
    "processing: an answer is due": (State.PROCESSING, answer_due),
    "processing: a response is open": (State.PROCESSING, response_open),
    "processing: a tool runs": (State.PROCESSING, tool_running),
    "speaking: more is to come": (State.SPEAKING, still_coming),
    "speaking: all has arrived": (State.SPEAKING, all_arrived),
    "error": (State.ERROR, failed),
    "closed": (State.CLOSED, closed),
}


# --- inputs ---------------------------------------------------------------------------------------------------


def heard(driver: Driver) -> None:
    driver.wait(1.5)


def stalls(driver: Driver) -> None:
    driver.skip(40.0)
    driver.tick()


INPUTS: dict[str, Callable[[Driver], object]] = {
    "the service accepts the configuration": lambda driver: driver.hear("session.updated", session={}),
    "the user begins to speak": lambda driver: driver.user_begins("user_2"),
    "the user stops": lambda driver: driver.user_ends("user_2"),
    "nothing was understood": lambda driver: driver.transcript("", "user_1"),
    "a response is created": lambda driver: driver.created("resp_2"),
    "audio of the response": lambda driver: driver.audio(),
    "the response is done": lambda driver: driver.done(),
    "the response has failed": lambda driver: driver.done(status="failed"),
    "all that was sent is heard": heard,
    "a text is typed": lambda driver: driver.type("x"),
    "`say()`": lambda driver: driver.say("x"),
    "`interrupt()`": lambda driver: driver.interrupt(),
    "a tool has finished": lambda driver: driver.finish_tool("call_1"),
    "an error of the service": lambda driver: driver.error("server_error"),
    "a fatal error of the service": lambda driver: driver.error("session_expired"),
    "nothing for longer than any limit": stalls,
    "the connection is lost": lambda driver: driver.close(LOST),
}


# --- the same with a button to talk ---------------------------------------------------------------------------


def pressed(driver: Driver) -> None:
    driver.feed(driver.core.begin_turn)


def heard_enough(driver: Driver) -> None:
    """The user has the word, and has said something."""
    ready(driver)
    pressed(driver)
    driver.core.hear(bytes(RATE))


def answer_asked_for(driver: Driver) -> None:
    heard_enough(driver)
    driver.feed(driver.core.end_turn)


def asked_and_made(driver: Driver) -> None:
    answer_asked_for(driver)
    driver.granted()


def asked_and_coming(driver: Driver) -> None:
    asked_and_made(driver)
    driver.audio()


def asked_and_arrived(driver: Driver) -> None:
    asked_and_coming(driver)
    driver.audio_done()
    driver.done()


def asked_and_failed(driver: Driver) -> None:
    asked_and_made(driver)
    driver.done(status="failed")


def let_go_too_soon(driver: Driver) -> None:
    pressed(driver)
    driver.feed(driver.core.end_turn)


def stuck(driver: Driver) -> None:
    driver.skip(61.0)
    driver.tick()


BY_HAND: dict[str, tuple[State, Callable[[Driver], None]]] = {
    "connecting": (State.CONNECTING, connecting),
    "ready": (State.READY, ready),
    "listening": (State.LISTENING, heard_enough),
    "processing: an answer is due": (State.PROCESSING, answer_asked_for),
    "processing: a response is open": (State.PROCESSING, asked_and_made),
    "speaking: more is to come": (State.SPEAKING, asked_and_coming),
    "speaking: all has arrived": (State.SPEAKING, asked_and_arrived),
    "error": (State.ERROR, asked_and_failed),
    "closed": (State.CLOSED, closed),
}

BUTTON: dict[str, Callable[[Driver], object]] = {
    "`begin_turn()`: the button is pressed": pressed,
    "`end_turn()`: it is let go": lambda driver: driver.feed(driver.core.end_turn),
    "pressed, and let go within 100 ms": let_go_too_soon,
    "nothing for longer than any limit, `limit_s` too": stuck,
}


def follow(situation: str, event: str) -> State:
    """The state that follows from an input in a situation; the button is for turns by hand."""
    situations, changes = (BY_HAND, {"turn_detection": None}) if event in BUTTON else (SITUATIONS, {})
    state, reach = situations[situation]
    driver = Driver(profile="realtime", tools=["look"], **changes)
    reach(driver)
    assert driver.state() is state, f"{situation} is not reached"
    (BUTTON | INPUTS)[event](driver)
    return driver.state()


def rows(situations: Mapping[str, tuple[State, object]], events: Iterable[str]) -> Iterator[str]:
    yield "| | " + " | ".join(situations) + " |"
    yield "|---" * (len(situations) + 1) + "|"
    for event in events:
        cells = []
        for situation, (state, _) in situations.items():
            after = follow(situation, event)
            cells.append("·" if after is state else after.value)
        yield f"| {event} | " + " | ".join(cells) + " |"


def page() -> str:
    """The whole page."""
    meanings = "\n".join(f"| `{state.name}` | {meaning} |" for state, meaning in MEANINGS.items())
    return f"""# States

The state of a conversation is computed from facts after every step, and never assigned. Each change is one
`StateChanged` event.

| state | meaning |
|---|---|
{meanings}

Where several hold, the first one counts: closed, connecting, error, listening, speaking, processing, ready.

## What follows from what

Columns: where the conversation stands. Rows: what happens. A dot means that the state stays as it is. The service
makes responses by itself and is interrupted by speech (the default turn detection). This table is generated from
the running code, and compared with it by a test.

{chr(10).join(rows(SITUATIONS, INPUTS))}

A request that the service refuses never changes the state: what was asked for does not happen, and a
`RequestRefused` event tells it. Late audio of a response that is over changes nothing either, and is not played.

## With a button to talk

The same without turn detection (`turn_detection=None`), where the user says when a turn begins and ends. The
service notices no speech then; the other rows above hold here, too.

{chr(10).join(rows(BY_HAND, BUTTON))}

A turn that was too short counts as not having begun, and yet it has silenced the agent, and has left `ERROR`.
"""


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
