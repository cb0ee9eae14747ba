"""One conversation in which every kind of event comes, with its whole log; what it lacks is in a table."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from voicelive_agent import SessionConfig, State, tool
from voicelive_agent._connection import Connection
from voicelive_agent.audio import AudioFormat, Call
from voicelive_agent.config import MCPServer, ServerVad, Settings
from voicelive_agent.emulator import Call as CallFunction
from voicelive_agent.emulator import (
    EmulatorSession,
    EnergyEars,
    McpError,
    McpResult,
    McpServer,
    McpTool,
    Say,
    ScriptedBrain,
    Turn,
)
from voicelive_agent.emulator.protocols import Action
from voicelive_agent.events import (
    EVENT_TYPES,
    AgentSpoke,
    DtmfReceived,
    Event,
    EventsDropped,
    MicrophoneDropped,
    RequestRefused,
    SinkStalled,
    Stalled,
    StateChanged,
    TranscriptionFailed,
    TurnEnded,
    TurnTimedOut,
    TurnTooShort,
    UserSpoke,
)
from voicelive_agent.testing import MemorySink, connect
from voicelive_agent.tools import ApprovalRequest

from .agent_driver import LONG, RATE, Recorder, calling, check_story, tone, virtual

ELSEWHERE = {
    "DeviceReopened": ("test_devices.py", "test_a_lost_microphone_is_replaced_while_it_gives_silence"),
}
"""Events that no conversation over the wire can cause, and the test that causes each."""

BLOCK = RATE // 50 * 2


# --- a service with accidents ------------------------------------------------------------------------------------

Rule = Callable[[dict[str, Any]], Sequence[dict[str, Any] | bytes]]
"""What comes instead of a message of the service."""


class Service:
    """The emulated service, of whose messages some are replaced on the way: each rule is used once."""

    def __init__(self, session: EmulatorSession) -> None:
        self._session = session
        self.rules: dict[str, Rule] = {}
        self.lost = False  # no message about a response arrives
        self.unsent = 0

    async def connect(self, settings: Settings) -> Connection:
        self._inner = await connect(self._session).connect(settings)
        self._inbox: deque[bytes] = deque()
        return self

    async def receive(self) -> bytes:
        while not self._inbox:
            message = json.loads(await self._inner.receive())
            if self.lost and message["type"].startswith("response."):
                continue
            rule = self.rules.pop(message["type"], lambda message: [message])
            self._inbox += (
                each if isinstance(each, bytes) else json.dumps(each).encode() for each in rule(message)
            )
        await anyio.lowlevel.checkpoint()
        return self._inbox.popleft()

    async def send(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "conversation.item.create":
            self._asked = message["event_id"]
        await self._inner.send(text)

    def refusing(self, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """A refusal of the item that was to be created last, instead of its creation."""
        error = {"type": "invalid_request_error", "code": "c", "message": "no", "event_id": self._asked}
        return [{"type": "error", "event_id": "e2", "error": error}]

    async def close(self) -> None:
        await self._inner.close()


class Books:
    """MCP servers without a network: one that has a tool, and one that does not answer."""

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        if server.label == "broken":
            raise McpError("no route to host")
        return [McpTool("find_book", "Find a book.", {"type": "object", "properties": {}})]

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        return McpResult("shelf 7")


class Brain(ScriptedBrain):
    """By rules; "again" makes it look again and again, and what an MCP server says it repeats."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        if turn.items[-1:] and turn.items[-1]["type"] == "mcp_call":
            return iter([Say(turn.items[-1]["output"])])
        users = [item for item in turn.items if item.get("role") == "user"]
        if "again" in json.dumps(users[-1:]) and turn.tool_choice != "none":
            return iter([CallFunction("look", {})])
        return super().answer(turn)


RULES: list[tuple[str, str | Action]] = [
    ("look", CallFunction("look", {})),
    ("book", CallFunction("book", {})),
    ("unknown", CallFunction("dance", {})),
    ("find", CallFunction("find_book", {})),
    ("hello", "Good morning."),
    (".", "Well."),
]


# --- an agent with a telephone -----------------------------------------------------------------------------------


class Telephone(MemorySink):
    """Somebody who says what the test wants, presses keys, and whose speaker can get stuck."""

    def __init__(self) -> None:
        super().__init__(AudioFormat(rate=RATE), clock=anyio.current_time)
        self.says = bytearray()
        self.stuck_at: int | None = None

    def join(self, call: Call) -> None:
        self.call = call

    @property
    def pending(self) -> int:
        return super().pending if self.stuck_at is None else self.stuck_at

    async def __aiter__(self) -> AsyncIterator[bytes]:
        due = anyio.current_time()
        while True:
            due += 0.02
            await anyio.sleep_until(due)
            yield bytes(self.says[:BLOCK]).ljust(BLOCK, b"\0")
            del self.says[:BLOCK]


class Everything(Recorder):
    greeting = LONG
    max_tool_rounds = 2
    config = SessionConfig(
        turn_detection=ServerVad(silence_duration_ms=500),
        tools=[
            MCPServer(server_label="library", server_url="http://127.0.0.1:9/mcp", require_approval="never"),
            MCPServer(server_label="broken", server_url="http://127.0.0.1:9/mcp"),
        ],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.released = anyio.Event()

    @tool
    async def look(self) -> str:
        """Look around."""
        return "nothing"

    @tool(approval=True)
    async def book(self) -> str:
        """Book a room."""
        return "done"

    def approve(self, request: ApprovalRequest) -> bool:
        return True

    async def on_dtmf_received(self, event: DtmfReceived) -> None:
        if event.digit == "#":
            raise ValueError("no such key")
        if event.digit == "1":
            await self.released.wait()

    async def settle(self, *kinds: type[Event], after: int) -> None:
        """Wait until one of each of these came after so many events, and nothing is going on."""

        def settled() -> bool:
            news = {type(event) for event in self.seen[after:]}
            return news >= set(kinds) and self.state is State.READY

        await self.until(settled)


def but(**changes: Any) -> Rule:
    """The message with these fields instead."""
    return lambda message: [message | changes]


def and_then(*more: dict[str, Any] | bytes) -> Rule:
    """The message, and these behind it."""
    return lambda message: [message, *more]


def not_quite(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """A session that is not what was asked for."""
    session = message["session"]
    detection = session["turn_detection"] | {"silence_duration_ms": 700}
    return [message | {"session": session | {"turn_detection": detection}}]


def transcribing(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    kind = "conversation.item.input_audio_transcription.delta"
    return [message, {"type": kind, "item_id": message["item_id"], "content_index": 0, "delta": "hel"}]


def not_understood(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    kind = "conversation.item.input_audio_transcription.failed"
    error = {"type": "server_error", "code": "DeploymentNotFound", "message": "no ears"}
    return [{"type": kind, "item_id": message["item_id"], "content_index": 0, "error": error}]


def unknown(number: int) -> dict[str, Any]:
    return {"type": "lab.experiment", "event_id": f"x{number}"}


# --- the conversation -----------------------------------------------------------------------------------------


async def speech(agent: Everything, phone: Telephone, service: Service) -> None:
    """Talked over, understood, and not understood."""
    await agent.reach(State.SPEAKING)
    await anyio.sleep(1)
    service.rules["input_audio_buffer.committed"] = transcribing
    phone.says += tone(500)
    await agent.until(lambda: agent.all(UserSpoke))
    await agent.settle(AgentSpoke, TurnEnded, after=agent.seen.index(agent.all(UserSpoke)[0]))
    before = len(agent.seen)
    service.rules["conversation.item.input_audio_transcription.completed"] = not_understood
    phone.says += tone(500)
    await agent.settle(TranscriptionFailed, TurnEnded, after=before)


async def tools(agent: Everything) -> None:
    """A tool, one that needs an approval, one that nobody has, one too often, and one of the service."""
    for text in ("look", "book", "unknown", "again", "find"):
        before = len(agent.seen)
        agent.send_text(text)
        await agent.settle(TurnEnded, after=before)


async def accidents(agent: Everything, phone: Telephone, service: Service) -> None:
    """What the service, the network, a speaker and the agent's own hooks can do wrong."""
    oddities: list[dict[str, Any] | bytes] = [
        {"type": "warning", "event_id": "w", "warning": {"code": "w", "message": "careful"}},
        {"type": "error", "event_id": "e", "error": {"type": "server_error", "code": "e", "message": "sorry"}},
        unknown(0),
        b"not JSON",
    ]
    service.rules["conversation.item.created"] = and_then(*oddities)
    service.rules["response.audio.delta"] = but(delta="!!!!")
    before = len(agent.seen)
    agent.send_text("hello")
    await agent.settle(TurnEnded, after=before)
    service.rules["conversation.item.created"] = service.refusing
    agent.send_text("hello", respond=False)
    await agent.until(lambda: agent.all(RequestRefused))
    phone.call.tell(DtmfReceived("#"))
    service.unsent = 10**6
    await anyio.sleep(0.1)
    service.unsent = 0
    await agent.until(lambda: agent.all(MicrophoneDropped))
    before = len(agent.seen)
    agent.send_text("hello")
    await agent.reach(State.SPEAKING)
    phone.stuck_at = phone.pending
    await agent.until(lambda: agent.all(SinkStalled))
    phone.stuck_at = None
    await agent.settle(TurnEnded, after=before)
    service.lost = True
    agent.send_text("hello")
    await agent.until(lambda: agent.all(Stalled))
    service.lost = False


async def too_much(agent: Everything, phone: Telephone, service: Service) -> None:
    """A hook that takes its time while more happens than is kept for it."""
    phone.call.tell(DtmfReceived("1"))
    await anyio.sleep(1)
    service.rules["conversation.item.created"] = and_then(*map(unknown, range(1, 4_200)))
    agent.send_text("hello", respond=False)
    await anyio.sleep(1)
    agent.released.set()
    await anyio.sleep(1)
    phone.call.tell(DtmfReceived("2"))  # there is room again
    await agent.until(lambda: agent.all(EventsDropped))


async def button(agent: Everything) -> None:
    """Turns by hand: a tap, and a button that is stuck."""
    await agent.update_session(turn_detection=None)
    agent.begin_turn()
    agent.end_turn()
    await agent.until(lambda: agent.all(TurnTooShort))
    agent.begin_turn(limit_s=1)
    await agent.until(lambda: agent.all(TurnTimedOut))
    await agent.until(lambda: isinstance(agent.seen[-1], StateChanged) and agent.state is State.READY)


LOG = """
SessionStarted SettingNotGranted McpListed McpListingFailed
AgentSpeaking AgentSpoke SpeechStarted Interrupted TurnEnded
SpeechStopped UserSpeaking UserSpoke AgentSpeaking AgentSpoke TurnEnded
SpeechStarted SpeechStopped TranscriptionFailed AgentSpeaking AgentSpoke TurnEnded
ToolCalled ToolFinished AgentSpeaking AgentSpoke TurnEnded
ToolCalled ToolApprovalAsked ToolApprovalAnswered ToolFinished AgentSpeaking AgentSpoke TurnEnded
ToolUnknown AgentSpeaking AgentSpoke TurnEnded
ToolCalled ToolFinished ToolCalled ToolFinished ToolRoundsExceeded AgentSpeaking AgentSpoke TurnEnded
McpCalled McpFinished AgentSpeaking AgentSpoke TurnEnded
Warned ServiceFailed MessageReceived MessageRejected AgentSpeaking AudioRejected AgentSpoke TurnEnded
RequestRefused
DtmfReceived HookFailed MicrophoneDropped
AgentSpeaking AgentSpoke SinkStalled TurnEnded
Stalled
DtmfReceived MessageReceived EventsDropped DtmfReceived
TurnTooShort
TurnTimedOut AgentSpeaking AgentSpoke TurnEnded
SessionEnded
"""
"""What happens, a line for each thing that is done; a repetition once, and the changes of state apart."""


def story(events: Sequence[Event]) -> list[str]:
    """The names of the events, as in the log."""
    names = [type(event).__name__ for event in events if type(event) is not StateChanged]
    return [name for name, _ in groupby(names)]


@virtual
async def test_every_event_comes_in_one_conversation() -> None:
    phone = Telephone()
    session = EmulatorSession(
        model="gpt-4.1", ears=EnergyEars(["hello", "hello"]), brain=Brain(RULES), mcp=Books()
    )
    service = Service(session)
    service.rules["session.updated"] = not_quite
    agent = Everything(service, on_hook_error="report")
    async with calling(agent, phone, phone):
        await speech(agent, phone, service)
        await tools(agent)
        await accidents(agent, phone, service)
        await too_much(agent, phone, service)
        await button(agent)
    check_story(agent.seen)
    assert story(agent.seen) == LOG.split()
    seen = {type(event) for event in agent.seen}
    assert {kind.__name__ for kind in EVENT_TYPES if kind not in seen} == set(ELSEWHERE)


def test_what_only_another_test_can_cause_is_caused_there() -> None:
    for name, (file, test) in ELSEWHERE.items():
        source = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert f"def {test}(" in source, f"{file} has no {test}"
        assert name in source
