"""Ears, a brain and a voice that need no packages: scripted words, rules, and a tone.

Deterministic, fast and honest: nothing here understands anything. They are the defaults of an emulated session.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from .._pcm import level_dbfs
from .protocols import FRAME, Action, Call, Say, Transcript, Turn

__all__ = ["EnergyEars", "ScriptedBrain", "ToneVoice"]

Rule: TypeAlias = tuple[str, "str | Action | Sequence[str | Action]"]
"""A regular expression searched (in any case) in what the user said, and what to do: text to say, or actions."""


class EnergyEars:
    """Hears loudness, and "understands" a script.

    ``transcripts`` are the words of the utterances to come, one each, or a function from an utterance (16 kHz
    PCM16) to its words. When they run out, every utterance is ``default``. Audio that is silent throughout has no
    words and takes none from the script.
    """

    def __init__(
        self, transcripts: Iterable[str] | Callable[[bytes], str] = (), *, default: str = "Hello."
    ) -> None:
        if isinstance(transcripts, str):
            transcripts = (transcripts,)
        self._words = transcripts if callable(transcripts) else None
        self._script = iter(()) if callable(transcripts) else iter(transcripts)
        self._default = default

    def listener(self) -> EnergyListener:
        """A detector of its own for each session."""
        return EnergyListener()

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The next words of the script."""
        spoken = language or "en-US"
        listener, size = EnergyListener(), FRAME * 2
        frames = range(0, len(pcm) // size * size, size)
        if all(listener.probability(pcm[at : at + size]) < 0.5 for at in frames):
            return Transcript("", spoken)
        text = self._words(pcm) if self._words else next(self._script, self._default)
        return Transcript(text, spoken)


class EnergyListener:
    """Speech is what stands out of the background: 0.5 at 9 dB above a floor that follows the quiet."""

    _QUIETEST_DBFS = -58.0
    _RISE_DB = 0.035
    """Per 32 ms frame: about 1 dB per second towards a new, louder background."""

    def __init__(self) -> None:
        self._floor = self._QUIETEST_DBFS

    def probability(self, frame: bytes) -> float:
        """How far the frame's level is above the floor, as a probability."""
        level = level_dbfs(frame)
        self._floor = max(self._QUIETEST_DBFS, min(level, self._floor + self._RISE_DB))
        return 1 / (1 + math.exp(9 - (level - self._floor)))


class ScriptedBrain:
    r"""Answers by rules: the first one whose pattern is found in the user's last words.

    ``rules`` are plain data: ``("bye", "Good bye!")`` says a text, ``(r"weather in (\w+)", Call("get_weather",
    {"city": r"\1"}))`` calls a function with a group of the pattern; several actions are a list. After a
    function's output it speaks that output. Without a rule it says "I heard: ...". The instruction
    ``Say exactly: "..."`` of a response.create is obeyed.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = [(re.compile(pattern, re.IGNORECASE), _actions(then)) for pattern, then in rules]

    def answer(self, turn: Turn) -> Iterator[Action]:
        """What the rules say about the turn."""
        exact = re.search(r'Say exactly: "(.*)"', str(turn.request.get("instructions") or ""), re.DOTALL)
        if exact:
            yield Say(exact[1])
            return
        outputs = _outputs(turn.items)
        if outputs:
            yield from (Say(output) for output in outputs)
            return
        forced = _forced(turn)
        if forced is not None:
            yield forced
            return
        yield from self._by_rule(turn)

    def _by_rule(self, turn: Turn) -> Iterator[Action]:
        said = _said(turn.items)
        if said is None:
            yield Say("Hello! How can I help you?")
            return
        for pattern, actions in self._rules:
            match = pattern.search(said)
            if match:
                allowed = (each for each in actions if turn.tool_choice != "none" or isinstance(each, Say))
                yield from (_filled(action, match) for action in allowed)
                return
        yield Say(f"I heard: {said}" if said else "Sorry, I did not hear any words.")


def _actions(then: str | Action | Sequence[str | Action]) -> list[Action]:
    several = [then] if isinstance(then, str | Action) else then
    return [Say(each) if isinstance(each, str) else each for each in several]


def _filled(action: Action, match: re.Match[str]) -> Action:
    """The action with the groups of the match in place of ``\\1``, ``\\g<name>`` and so on."""
    if isinstance(action, Say):
        return replace(action, text=match.expand(action.text))
    if not isinstance(action, Call):
        return action
    arguments = {
        name: match.expand(value) if isinstance(value, str) else value for name, value in action.arguments.items()
    }
    return Call(action.name, arguments)


def _said(items: Sequence[Mapping[str, Any]]) -> str | None:
    """The user's last words; None if the user has said nothing at all."""
    for item in reversed(items):
        if item.get("role") == "user":
            parts = (part.get("text") or part.get("transcript") or "" for part in item["content"])
            return " ".join(part for part in parts if part)
    return None


def _outputs(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The outputs of functions that nothing was said about yet."""
    outputs: list[str] = []
    for item in reversed(items):
        if item["type"] == "function_call_output":
            outputs.insert(0, _spoken(item["output"]))
        elif item["type"] == "message":
            break
    return outputs


def _spoken(output: str) -> str:
    """A JSON string as its text; anything else as it is."""
    try:
        value = json.loads(output)
    except ValueError:
        return output
    return value if isinstance(value, str) else output


def _forced(turn: Turn) -> Call | None:
    """The call that a tool_choice naming a function demands."""
    choice = turn.tool_choice
    if not isinstance(choice, Mapping):
        return None
    function = choice.get("function")
    name = choice.get("name") or (function.get("name") if isinstance(function, Mapping) else None)
    return Call(name, {}) if name else None


class ToneVoice:
    """Speaks in a 240 Hz tone of 60 ms per character, sentence by sentence."""

    rate = 24_000

    _MS_PER_CHARACTER = 60
    _PERIOD = array("h", (round(6000 * math.sin(2 * math.pi * i / 100)) for i in range(100))).tobytes()

    def speak(self, text: str) -> Iterator[bytes]:
        """The tone for each sentence; a short silence where there is none."""
        for sentence in re.findall(r"[^.!?]*[.!?]+\s*|[^.!?]+$", text) or [""]:
            samples = len(sentence) * self._MS_PER_CHARACTER * self.rate // 1000
            # Whole periods (1,440 samples per character are not), so that sentences join without a click.
            whole = -(-samples // 100)
            yield self._PERIOD * whole if sentence.strip() else bytes(self.rate // 10 * 2)
