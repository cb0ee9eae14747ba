"""What the emulator answers to receptionist.py, in the place of a model.

voicelive-agent emulator --script examples/emulator_script/library.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from voicelive_agent.emulator import Action, Call, Say, Turn


def answer(turn: Turn) -> Iterator[Action]:
    """A day is looked up; everything else is taken for the wish to have "Emma"."""
    last = turn.items[-1]
    if last["type"] == "function_call_output":
        if found := re.search('"title":"(.*?)"', last["output"]):
            yield Call("reserve", {"title": found[1], "until": "2030-12-31"})
        elif "error" in last["output"]:  # refused, too late or wrong: the model is told why
            yield Say("I am sorry, I did not do it.")
        else:
            yield Say(last["output"])
        return
    said = " ".join(part.get("transcript") or part.get("text") or "" for part in last["content"])
    if day := re.search(r"open on (\w+)", said):
        yield Call("opening_hours", {"day": day[1]})
    else:
        yield Call("find_book", {"title": "Emma"})
