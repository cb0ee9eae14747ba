"""What a conversation looks like to somebody who reads along: lines, made of events and of the history.

A line of the agent's says what the listener heard of it, so it is settled when the last word was heard, or when it
was cut off. What people and agents say settles in the order in which they began, everything else at once; lines
that are still open can be shown as they stand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from .. import events as happened
from ..events import Event, State
from ..history import History

__all__ = ["Line", "Transcript"]

WORDS: Final = ("you", "agent")
"""The labels of what is said, and keeps its order."""
MOST_OPEN: Final = 8
"""More open lines than this are settled as they are: something that never ends must not hold up the rest."""
REMEMBERED: Final = 64
"""Items whose words are settled: what still comes about them is not told again."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was said or that happened, ``at_s`` seconds after the beginning.

    ``text`` is what was heard of it, ``unheard`` the rest: not heard yet, or for ever if it was ``cut`` off.
    """

    at_s: float
    label: str
    text: str
    unheard: str = ""
    cut: bool = False


@dataclass(slots=True)
class _Entry:
    """A line while it grows; ``item_id`` is that of the words, "" where there are none."""

    at_s: float
    label: str
    text: str
    item_id: str = ""
    final: bool = True
    heard: str | None = None  # the words that were heard, if it was cut off


@dataclass
class Transcript:
    """Made of everything that is observed; ``clock`` returns seconds since the beginning."""

    clock: Callable[[], float]
    state: State = State.CONNECTING
    _entries: deque[_Entry] = field(default_factory=deque)
    _settled: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def note(self, text: str, label: str = "") -> None:
        """A line of our own."""
        self._entries.append(_Entry(self.clock(), label, text))

    def observe(self, event: Event) -> None:
        """Something happened."""
        match event:
            case happened.StateChanged(_, new):
                self.state = new
            case happened.SpeechStarted(item_id):
                self._say("you", item_id, "", final=False)
            case happened.UserSpeaking(item_id, text):
                self._say("you", item_id, text, final=False)
            case happened.UserSpoke(item_id, text):
                self._say("you", item_id, text)
            case happened.TranscriptionFailed(item_id, code, message):
                self._say("you", item_id, f"(not transcribed: {message or code})")
            case happened.AgentSpeaking(item_id, text):
                self._say("agent", item_id, text, final=False)
            case happened.AgentSpoke(item_id, text):
                self._say("agent", item_id, text)
            case happened.Interrupted(item_id, heard_text=heard):
                self._cut(item_id, heard)
            case _:
                if (told := _told(event)) is not None:
                    self.note(told[1], told[0])

    def settled(self, history: History, *, over: bool = False) -> list[Line]:
        """The lines that will not change any more, each once; all of them when it is ``over``."""
        settled, still_open = [], deque[_Entry]()
        while self._entries:
            entry = self._entries.popleft()
            if (still_open and entry.label in WORDS) or not (over or self._is_settled(entry, history)):
                still_open.append(entry)
            else:
                settled.append(entry)
        while len(still_open) > MOST_OPEN:
            settled.append(still_open.popleft())
        self._entries = still_open
        self._settled.extend(entry.item_id for entry in settled if entry.text and entry.item_id)
        return [self._line(entry, history, over=over) for entry in settled if entry.text]

    def open(self, history: History) -> list[Line]:
        """The lines that may still change, as they stand."""
        return [self._line(entry, history) for entry in self._entries]

    def _is_settled(self, entry: _Entry, history: History) -> bool:
        match entry.label:
            case "agent":
                heard = not self._line(entry, history).unheard.strip()
                return entry.heard is not None or (entry.final and heard)
            case "you":  # a cough has no words, and nobody says so
                return entry.final or (not entry.text and self._is_answered())
            case _:
                return True

    def _is_answered(self) -> bool:
        return any(entry.label == "agent" and entry.text for entry in self._entries)

    def _line(self, entry: _Entry, history: History, *, over: bool = False) -> Line:
        line = Line(entry.at_s, entry.label, entry.text)
        if entry.label != "agent":
            return line
        heard = entry.heard
        if heard is None and entry.final and self.state is State.READY:
            heard = entry.text  # nothing is coming and nothing is pending
        elif heard is None:
            heard = history[entry.item_id].heard_text if entry.item_id in history else ""
        if not entry.text.startswith(heard):  # word timestamps have a spelling of their own
            heard = entry.text[: len(heard)]
        unheard = entry.text[len(heard) :]
        cut = bool(unheard.strip()) and (over or entry.heard is not None)
        return replace(line, text=heard, unheard=unheard, cut=cut)

    def _say(self, label: str, item_id: str, text: str, *, final: bool = True) -> None:
        if item_id in self._settled:
            return
        if (entry := self._find(item_id)) is None:
            entry = _Entry(self.clock(), label, "", item_id)
            self._entries.append(entry)
        if entry.heard is None:  # else it was cut off: its words are settled
            entry.text, entry.final = text or entry.text, final

    def _cut(self, item_id: str, heard: str) -> None:
        if (entry := self._find(item_id)) is not None:
            entry.heard = heard

    def _find(self, item_id: str) -> _Entry | None:
        return next((entry for entry in self._entries if entry.item_id == item_id), None)


# --- everything else, in words ----------------------------------------------------------------------------------


def _told(event: Event) -> tuple[str, str] | None:
    """Label and text of a line that is about an event; None for one that is not worth a line."""
    match event:
        case happened.SessionStarted():
            return "", "Connected."
        case happened.SessionEnded(verdict):
            reason = verdict.reason.value.replace("_", " ")
            return "", f"Ended: {reason}{f' ({verdict.detail})' if verdict.detail else ''}."
        case happened.SettingNotGranted(path, asked, granted):
            return "note", f"{path} was asked for as {asked!r}, and granted as {granted!r}"
        case happened.TurnEnded():
            return _latencies(event)
        case happened.Warned(_, message):
            return "note", message
        case happened.DtmfReceived(digit):
            return "you", f"(pressed {digit})"
        case happened.TurnTooShort(heard_ms):
            return "you", f"(too short to be said: {heard_ms} ms)"
        case happened.TurnTimedOut(limit_ms):
            return "you", f"(a turn nobody ended within {limit_ms / 1000:g} s)"
        case _:
            if (tool := _of_a_tool(event)) is not None:
                return "tool", tool
            fault = _fault(event)
            return None if fault is None else ("error", fault)


def _of_a_tool(event: Event) -> str | None:
    """What is being done besides talking; the tool of an MCP server goes by the server's name and its own."""
    match event:
        case happened.ToolCalled(_, name, arguments):
            return f"{name} {arguments}"
        case happened.McpCalled(_, server, name, arguments):
            return f"{server}.{name} {arguments}"
        case happened.ToolFinished(_, name, output, elapsed_ms, error):
            return _result(name, output, elapsed_ms, error)
        case happened.McpFinished(_, server, name, output, elapsed_ms, error):
            return _result(f"{server}.{name}", output, elapsed_ms, error)
        case happened.ToolUnknown(_, name, arguments):
            return f"{name} {arguments} (not a tool of this agent)"
        case happened.ToolApprovalAsked(_, name, arguments, server):
            return f"{f'{server}.' if server else ''}{name} {arguments} needs an approval"
        case happened.ToolApprovalAnswered(_, name, approved, reason, server):
            answer = "approved" if approved else "not approved"
            return f"{f'{server}.' if server else ''}{name} {answer}{f' ({reason})' if reason else ''}"
        case happened.ToolRoundsExceeded(rounds, not_run):
            left = f"; not run: {', '.join(not_run)}" if not_run else ""
            return f"{rounds} rounds of calls in one turn{left}"
        case happened.McpListed(server, tools):
            return f"{server} has {', '.join(tools) or 'no tools'}"
        case happened.McpListingFailed(server, message):
            return f"{server} does not tell its tools{f': {message}' if message else ''}"
        case _:
            return None


def _result(name: str, output: str, elapsed_ms: int, error: str) -> str:
    came = " ".join(part for part in (output, f"({error})" if error else "") if part)
    return f"{name} -> {came or 'nothing'}, after {elapsed_ms} ms"


def _latencies(turn: happened.TurnEnded) -> tuple[str, str] | None:
    """How long things took, as the listener lived it; nothing for a greeting that was heard."""
    parts = []
    if turn.response_ms is not None:
        noticed = f" ({turn.endpoint_ms} ms of them to notice the end of speech)" if turn.endpoint_ms else ""
        parts.append(f"answered after {turn.response_ms} ms{noticed}")
    if turn.status != "completed":
        parts.append(f"{turn.status} after {turn.heard_ms / 1000:.1f} s")
    if turn.barge_in_ms is not None:
        parts.append(f"silent {turn.barge_in_ms} ms after the interruption began")
    return ("turn", ", ".join(parts)) if parts else None


def _fault(event: Event) -> str | None:
    """What went wrong without ending the call."""
    match event:
        case happened.ServiceFailed(code, message):
            return f"the service failed: {message or code}"
        case happened.RequestRefused(request, code, message):
            return f"the service refused {request}: {message or code}"
        case happened.Stalled(waited_for, waited_ms):
            return f"no sign of {waited_for} for {waited_ms / 1000:g} s; not waiting any longer"
        case happened.AudioRejected(_, samples, message):
            return f"{samples} samples of the answer could not be decoded: {message}"
        case happened.MessageRejected(message, size):
            return f"a message of {size} bytes could not be read: {message}"
        case happened.HookFailed(hook, error):
            return f"{hook} raised {type(error).__name__}: {error}"
        case happened.EventsDropped(count):
            return f"the hooks are too slow: {count} events were left out"
        case happened.MicrophoneDropped(dropped_ms):
            return f"the network is too slow: {dropped_ms} ms of the microphone were left out"
        case happened.SinkStalled(pending_ms, stalled_ms):
            return f"the speaker has played nothing for {stalled_ms / 1000:g} s ({pending_ms} ms are waiting)"
        case happened.DeviceReopened(direction, lost, device, gap_ms):
            what = "microphone" if direction == "input" else "speaker"
            return f"the {what} {lost} is gone; {device} took its place after {gap_ms} ms"
        case _:
            return None
