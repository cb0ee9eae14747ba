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
from ._tool_choice import demanded_call, named_function
from .protocols import FRAME, Action, Call, Say, SpokenPiece, SpokenWord, Transcript, Turn

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
        self._ahead: str | None = None
        """Words that were heard so far and are still to be transcribed."""

    def listener(self) -> EnergyListener:
        """A detector of its own for each session."""
        return EnergyListener()

    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The next words of the script."""
        transcript = self.transcribe_so_far(pcm, language=language)
        if _sounds(pcm):
            self._ahead = None
        return transcript

    def transcribe_so_far(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        """The next words of the script, which stays where it is."""
        spoken = language or "en-US"
        if not _sounds(pcm):
            return Transcript("", spoken)
        if self._words:
            return Transcript(self._words(pcm), spoken)
        if self._ahead is None:
            self._ahead = next(self._script, self._default)
        return Transcript(self._ahead, spoken)


def _sounds(pcm: bytes) -> bool:
    listener, size = EnergyListener(), FRAME * 2
    return any(listener.probability(pcm[at : at + size]) >= 0.5 for at in range(0, len(pcm) // size * size, size))


class EnergyListener:
    """Speech is what stands out of the background: 0.5 at 9 dB above a floor that follows the quiet.

    A stream that begins with noise, of up to -33 dBFS, is taken to begin with background. Typing stands out of any
    background: this listener takes it for speech.
    """

    _QUIETEST_DBFS = -58.0
    _LOUDEST_AT_FIRST_DBFS = -33.0
    _RISE_DB = 0.035
    """Per 32 ms frame: about 1 dB per second towards a new, louder background."""
    _FALL = 0.2
    """Part of the way down to a quieter background per frame: a moment's lull in a noise is not the background."""

    def __init__(self) -> None:
        self._floor: float | None = None

    def probability(self, frame: bytes) -> float:
        """How far the frame's level is above the floor, as a probability."""
        level = level_dbfs(frame)
        floor = min(level, self._LOUDEST_AT_FIRST_DBFS) if self._floor is None else self._floor
        floor += self._FALL * (level - floor) if level < floor else min(self._RISE_DB, level - floor)
        self._floor = max(self._QUIETEST_DBFS, floor)
        return 1 / (1 + math.exp(9 - (level - self._floor)))


class ScriptedBrain:
    r"""Answers by rules: the first one whose pattern is found in the user's last words.

    ``rules`` are plain data: ``("bye", "Good bye!")`` says a text, ``(r"weather in (\w+)", Call("get_weather",
    {"city": r"\1"}))`` calls a function with a group of the pattern; several actions are a list. After a
    function's output, or that of an MCP server's tool, it speaks that output. Without a rule it says
    "I heard: ...". The instruction ``Say exactly: "..."`` of a response.create is obeyed.
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
        demanded = demanded_call(turn) if named_function(turn.tool_choice) else None
        if demanded is not None:
            yield demanded
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
                allowed = (each for each in actions if turn.tool_choice != "none" or not isinstance(each, Call))
                yield from (_filled(action, match) for action in allowed)
                return
        yield demanded_call(turn) or Say(f"I heard: {said}" if said else "Sorry, I did not hear any words.")


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
    """The outputs of functions and of MCP servers' tools that nothing was said about yet."""
    outputs: list[str] = []
    for item in reversed(items):
        if item["type"] == "function_call_output":
            outputs.insert(0, _spoken(item["output"]))
        elif item["type"] == "mcp_call" and (item.get("error") or "output" in item):
            outputs.insert(0, item["error"]["message"] if item.get("error") else _spoken(item["output"]))
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


class ToneVoice:
    """Speaks in a 240 Hz tone of 60 ms per character, sentence by sentence."""

    rate = 24_000

    _MS_PER_CHARACTER = 60
    _PERIOD = array("h", (round(6000 * math.sin(2 * math.pi * i / 100)) for i in range(100))).tobytes()

    def speak(self, text: str) -> Iterator[bytes]:
        """The tone for each sentence; a short silence where there is none."""
        yield from (self._tone(sentence) for sentence in _sentences(text))

    def speak_timed(self, text: str) -> Iterator[SpokenPiece]:
        """The same, with the words at the places of their characters."""
        for sentence in _sentences(text):
            words = [
                SpokenWord(
                    match[0], match.start() * self._MS_PER_CHARACTER, len(match[0]) * self._MS_PER_CHARACTER
                )
                for match in re.finditer(r"\w[^\s]*\w|\w", sentence)
            ]
            yield SpokenPiece(self._tone(sentence), words)

    def _tone(self, sentence: str) -> bytes:
        if not sentence.strip():
            return bytes(self.rate // 10 * 2)
        samples = len(sentence) * self._MS_PER_CHARACTER * self.rate // 1000
        # Whole periods (1,440 samples per character are not), so that sentences join without a click.
        return self._PERIOD * -(-samples // 100)


def _sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?]*[.!?]+\s*|[^.!?]+$", text) or [""]
