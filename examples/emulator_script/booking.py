"""A script in Python: the brain as a function, with what the emulator hears."""

from __future__ import annotations

from collections.abc import Iterator

from voicelive_agent.emulator import Action, Call, Fail, Say, Turn

transcripts = ["A table for two, please.", "At eight."]


def answer(turn: Turn) -> Iterator[Action]:
    """One answer; ``turn.items`` are the conversation so far."""
    last = turn.items[-1] if turn.items else {"type": "start"}
    match last["type"]:
        case "start":
            yield Say("Good evening, how many are you?")
        case "function_call_output":
            yield Say(f"Your table is booked: {last['output']}.")
        case _ if not turn.tools:
            yield Fail("The session has no tool to book with.", "no_tool")
        case _ if sum(item.get("role") == "user" for item in turn.items) == 1:
            yield Say("At what time?")
        case _:
            yield Call(turn.tools[0]["name"], {"people": 2, "time": "20:00"})
