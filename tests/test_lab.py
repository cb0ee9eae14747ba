"""The assistant of the lab: what its app calls, and what its page is told."""

from __future__ import annotations

import asyncio
import base64
import threading
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from voicelive_agent import ConfigurationError, SessionLostError
from voicelive_agent.emulator import EmulatorSession, Options, serve
from voicelive_agent.emulator.protocols import Action, Turn
from voicelive_agent.errors import AuthenticationError
from voicelive_agent.lab import Connection, VoiceLiveAssistant, decode_audio

from .agent_driver import LONG, RATE, Line, emulated, eventually, silence, spoken_samples, tone, virtual

STARTING = ("starting", "Starting voice session…")
READY = ("ready", "Session ready. You can start speaking now.")
LISTENING = ("listening", "Listening… speak now")
PROCESSING = ("processing", "Processing your input…")
SPEAKING = ("assistant_speaking", "Assistant speaking…")
FINISHED = ("ready", "Assistant finished. You can speak again.")
STOPPED = ("stopped", "Session ended.")


class Page:
    """What an app would pass on: states and messages in one order, with their times."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        self._news = asyncio.Event()

    def state_callback(self, state: str, message: str) -> None:
        self.broadcast({"type": "status", "state": state, "message": message})

    def broadcast(self, message: dict[str, Any]) -> None:
        self.told.append((anyio.current_time(), message))
        self._news.set()

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.told if message["type"] == kind]

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(each["state"], each["message"]) for each in self.all("status")]

    @property
    def kinds(self) -> list[str]:
        """The messages without the log, each by its state or type; audio in a row is one."""
        named = [each.get("state") or each["type"] for _, each in self.told if each["type"] != "log"]
        return [kind for i, kind in enumerate(named) if named[i - 1 : i] != [kind]]

    def logged(self, text: str) -> int:
        return sum(text in each.get("msg", "") for each in self.all("log"))

    @property
    def samples(self) -> int:
        return sum(len(base64.b64decode(each["audio"])) // 2 for each in self.all("audio"))

    def when(self, holds: Callable[[dict[str, Any]], bool]) -> float:
        """When this was told last."""
        return [at for at, message in self.told if holds(message)][-1]

    async def reach(self, *states: tuple[str, str]) -> None:
        """Wait for these, in a row, as the latest."""
        with anyio.fail_after(100):
            while tuple(self.states[-len(states) :]) != states:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def session(
    *said: bytes, talk: bool = True, emulated: EmulatorSession | None = None, **arguments: Any
) -> AsyncIterator[tuple[Page, VoiceLiveAssistant, Line]]:
    """A session with a page that captures this, and then silence; it is stopped at the end."""
    page, line = Page(), Line((lambda: emulated) if emulated else None)
    given = {"endpoint": line, "credential": None, "model": "gpt-4.1", "voice": "en-US-AvaNeural"} | arguments
    assistant = VoiceLiveAssistant(
        **given, instructions="Be brief.", state_callback=page.state_callback, broadcast=page.broadcast
    )
    held = asyncio.ensure_future(assistant.start())
    await page.reach(STARTING, READY)
    microphone = asyncio.ensure_future(capture(assistant, *said)) if talk else None
    try:
        yield page, assistant, line
    finally:
        if microphone is not None:
            microphone.cancel()
            await asyncio.wait([microphone])
        assistant.request_stop()
        await held


async def capture(assistant: VoiceLiveAssistant, *said: bytes) -> None:
    """A page's microphone: blocks of 150 ms, as the lab's sends them."""
    size, pcm, at = RATE * 150 // 1000 * 2, b"".join(said), 0
    due = anyio.current_time()
    while True:
        due += 0.150
        await anyio.sleep_until(due)
        await assistant.append_audio(base64.b64encode(pcm[at : at + size].ljust(size, b"\0")).decode())
        at += size


# --- a conversation ----------------------------------------------------------------------------------------


@virtual
async def test_a_turn_has_the_states_of_the_lab_and_the_speech_lasts_until_it_is_heard() -> None:
    async with session(silence(300), tone(900)) as (page, _, line):
        await page.reach(PROCESSING, SPEAKING, FINISHED)
        assert page.states == [STARTING, READY, LISTENING, PROCESSING, SPEAKING, FINISHED]
        assert page.kinds[-3:] == ["assistant_speaking", "audio", "ready"]
        assert page.samples == spoken_samples("I heard: Hello.")
        began = page.when(lambda told: told.get("state") == "assistant_speaking")
        ended = page.when(lambda told: told.get("message") == FINISHED[1])
        assert ended - began == pytest.approx(page.samples / RATE, abs=0.05)
        assert page.logged("You: Hello.") == page.logged("Assistant: I heard: Hello.") == 1
        assert line.last.audio[:: 2 * RATE]  # bytes of the microphone went to the service
        assert not page.all("control")
    assert page.states[-1] == STOPPED


@virtual
async def test_an_interruption_drops_what_the_page_has_and_says_so_before_the_next_audio() -> None:
    long = emulated((".", LONG))  # all of it has arrived long before it was heard
    async with session(tone(900), silence(3000), tone(900), emulated=long) as (page, _, line):
        await page.reach(SPEAKING, LISTENING)
        at = [message for _, message in page.told]
        control = at.index({"type": "control", "action": "stop_playback"})
        listening = at.index({"type": "status", "state": "listening", "message": LISTENING[1]}, control)
        assert page.samples < RATE * 5  # of 12 s: the pump has given no more than is nearly due
        assert not [each for each in at[control:listening] if each["type"] == "audio"]
        await page.reach(PROCESSING, SPEAKING)
        later = [message for _, message in page.told][listening:]
        kinds = [each.get("state") or each["type"] for each in later]
        assert kinds.index("audio") > kinds.index("assistant_speaking")  # a page drops audio until it is told that
        assert page.logged("Assistant interrupted after about") == 1
        assert line.sent("conversation.item.truncate") or line.sent("conversation.item.delete")


@virtual
async def test_the_interrupt_of_the_lab_s_app_silences_and_leaves_the_session_open() -> None:
    async with session(tone(900), emulated=emulated((".", LONG))) as (page, assistant, _):
        await page.reach(SPEAKING)
        await anyio.sleep(1)
        connection = assistant.connection
        assert isinstance(connection, Connection)
        await connection.response.cancel()
        await page.reach(SPEAKING, FINISHED)
        assert page.all("control") == [{"type": "control", "action": "stop_playback"}]
        said = page.samples
        await anyio.sleep(2)
        assert page.samples == said
        assert assistant.connection is not None
        assistant.interrupt()  # nothing is said: nothing to stop
        await anyio.sleep(1)
        assert len(page.all("control")) == 1
    assert assistant.connection is None


@virtual
async def test_what_follows_an_answer_at_once_stops_what_the_page_still_plays_of_it() -> None:
    async with session(tone(900)) as (page, assistant, _):
        await page.reach(SPEAKING, FINISHED)
        speech = asyncio.ensure_future(capture(assistant, tone(900)))
        await page.reach(FINISHED, LISTENING)
        speech.cancel()
        assert len(page.all("control")) == 1


# --- what goes wrong ---------------------------------------------------------------------------------------


@virtual
async def test_a_harmless_error_event_leaves_the_state_and_is_one_line() -> None:
    service = emulated()
    async with session(emulated=service) as (page, _, _):
        service.receive('{"type": "nonsense"}', anyio.current_time())
        await eventually(lambda: page.logged("The service reports:"))
        await anyio.sleep(1)
        assert page.states == [STARTING, READY]
        assert page.logged("The service reports:") == 1


class Broken:
    """A brain that fails at its first answer."""

    def __init__(self) -> None:
        self.failed = False

    def answer(self, turn: Turn) -> Iterator[Action]:
        self.failed = not self.failed
        if self.failed:
            raise RuntimeError("the model fell over")
        return iter(())


@virtual
async def test_an_answer_that_fails_is_an_error_with_its_reason_until_the_user_speaks_again() -> None:
    service = EmulatorSession(brain=Broken())
    async with session(tone(900), silence(2000), tone(900), emulated=service) as (page, _, _):
        await eventually(lambda: "error" in dict(page.states))
        state, message = page.states[-1]
        assert state == "error"
        assert message.startswith("Error: ")
        assert len(message) > 10
        await eventually(lambda: page.states[-1] == LISTENING)


@virtual
async def test_a_session_that_is_lost_tells_why_and_raises() -> None:
    service = emulated(options=Options(max_session_s=5))
    with pytest.raises(SessionLostError) as lost:
        async with session(emulated=service) as (page, assistant, _):
            await eventually(lambda: page.states[-1][0] == "error")
    assert page.states[-1] == ("error", f"Error: {lost.value}")
    assert "stopped" not in dict(page.states)
    assert page.logged("The session failed:") == 1
    assert assistant.connection is None


async def test_no_session_at_all_tells_why_and_raises() -> None:
    page = Page()
    async with serve(api_key="right") as service:
        assistant = VoiceLiveAssistant(
            service.url, "wrong-key", "gpt-4.1", "alloy", "", page.state_callback, broadcast=page.broadcast
        )
        with pytest.raises(AuthenticationError) as refused:
            await assistant.start()
    assert page.states == [STARTING, ("error", f"Error: {refused.value}")]
    assert "wrong-key" not in str(page.told)


async def test_a_callback_that_raises_ends_the_session_with_that() -> None:
    def fall_over(state: str, message: str) -> None:
        if state == "ready":
            raise LookupError("no such page")

    async with serve() as service:
        assistant = VoiceLiveAssistant(service.url, None, "gpt-4.1", "alloy", "", fall_over)
        with pytest.raises(LookupError, match="no such page"):
            await assistant.start()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"endpoint": "http://far.example"}, "unencrypted"),
        ({"credential": ""}, "key is empty"),
        ({"model": ""}, "model"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(changes: dict[str, str], fault: str) -> None:
    right = {"endpoint": "https://x.example", "credential": "k", "model": "gpt-4.1", "voice": "alloy"}
    with pytest.raises(ConfigurationError, match=fault):
        VoiceLiveAssistant(**right | changes, instructions="")


def test_a_synchronous_credential_is_refused_with_the_fix() -> None:
    class DefaultAzureCredential:
        def get_token(self, *scopes: str) -> str:
            return "token"

    with pytest.raises(ConfigurationError, match=r"azure\.identity\.aio import DefaultAzureCredential"):
        VoiceLiveAssistant("https://x.example", DefaultAzureCredential(), "gpt-4.1", "alloy", "")  # type: ignore[arg-type]


# --- the microphone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("", None),
        ("AAA=", None),
        ("A!!A", "not base64"),
        ("AAAA", "whole number"),
        ("é", "not base64"),
        (7, "int"),
    ],
)
def test_audio_is_base64_of_whole_samples(given: object, fault: str | None) -> None:
    if fault is None:
        assert decode_audio(given) in (b"", b"\0\0")
    else:
        with pytest.raises(ValueError, match=fault):
            decode_audio(given)


@virtual
async def test_audio_that_is_none_is_a_line_in_the_log_and_nothing_else() -> None:
    async with session(talk=False) as (page, assistant, line):
        await assistant.append_audio("A!!A")
        await assistant.append_audio(base64.b64encode(b"\1\2\3").decode())
        await assistant.append_audio("")
        assistant.append_pcm(b"\1\2\3")
        await anyio.sleep(1)
        assert page.logged("Audio was left out: it is not base64.") == 1
        assert page.logged("Audio was left out: 3 bytes are no whole number of 16-bit samples.") == 1
        assert line.last.audio == b"\1\2"
        assert page.states == [STARTING, READY]


@virtual
async def test_more_audio_than_a_microphone_makes_is_left_out() -> None:
    async with session(talk=False) as (page, assistant, line):
        for _ in range(60):  # 10 s in each second, as a flood
            for _ in range(10):
                assistant.append_pcm(bytes(2 * RATE))
            await anyio.sleep(1)
        sent_s = len(line.last.audio) / 2 / RATE
        assert 2 * 60 - 2 < sent_s < 2 * 60 + 5
        assert page.logged("More audio comes than one microphone makes") <= 60
        await anyio.sleep(10)
        complaints = page.logged("More audio comes")
        for _ in range(60):
            assistant.append_pcm(bytes(2 * RATE))
            await anyio.sleep(1)
        assert len(line.last.audio) / 2 / RATE == sent_s + 60  # and a real microphone loses nothing, even then
        assert page.logged("More audio comes") == complaints > 0


@virtual
async def test_audio_reaches_the_service_as_it_was() -> None:
    said = array("h", range(-12_000, 12_000)).tobytes()
    async with session(said, silence(1000)) as (_, _, line):
        await eventually(lambda: len(line.last.audio) > len(said))
        assert line.last.audio.startswith(said)


@virtual
async def test_a_session_nobody_talks_to_ends() -> None:
    page, line = Page(), Line()
    assistant = VoiceLiveAssistant(
        line, None, "gpt-4.1", "alloy", "", page.state_callback, broadcast=page.broadcast, idle_s=20
    )
    began = anyio.current_time()
    await assistant.start()
    assert anyio.current_time() - began == pytest.approx(20, abs=0.5)
    assert page.states[-1] == STOPPED
    assert page.logged("no audio came for 20 s") == 1


# --- the lab's app -----------------------------------------------------------------------------------------


async def test_it_runs_in_a_thread_of_its_own_as_the_lab_s_app_runs_it() -> None:
    """A new loop in a thread; audio and the end come from other threads."""
    told: list[tuple[str, str]] = []
    messages: list[dict[str, Any]] = []
    async with serve() as service:
        assistant = VoiceLiveAssistant(
            endpoint=service.url,
            credential="key",
            model="gpt-4.1",
            voice="en-US-AvaNeural",
            instructions="Be brief.",
            state_callback=lambda state, message: told.append((state, message)),
            broadcast=messages.append,
        )
        loop = asyncio.new_event_loop()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(assistant.start())
            loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        await eventually(lambda: READY in told)
        block = base64.b64encode(tone(150)).decode()
        for i in range(18):
            audio = block if i < 6 else base64.b64encode(silence(150)).decode()
            asyncio.run_coroutine_threadsafe(assistant.append_audio(audio), loop)
            await anyio.sleep(0.05)
        await eventually(lambda: any(message["type"] == "audio" for message in messages))
        await eventually(lambda: FINISHED in told)
        connection = assistant.connection
        assert connection is not None
        assistant._response_cancelled = True  # type: ignore[attr-defined]  # its /interrupt does so
        asyncio.run_coroutine_threadsafe(connection.response.cancel(), loop).result(10)
        assistant.request_stop()
        await anyio.to_thread.run_sync(thread.join)
        await eventually(lambda: service.connections == 0)
        assert told[-1] == STOPPED
    assistant.request_stop()  # its loop is closed
    assistant.interrupt()
    await assistant.append_audio(block)
    assert assistant.connection is None


@virtual
async def test_what_is_stopped_before_it_starts_does_not_connect() -> None:
    page, line = Page(), Line()
    assistant = VoiceLiveAssistant(line, None, "gpt-4.1", "alloy", "", page.state_callback)
    assistant.request_stop()
    assistant.interrupt()
    await assistant.append_audio("AAA=")
    await assistant.start()
    assert page.states == [STARTING, STOPPED]
    assert line.connections == []
    with pytest.raises(RuntimeError, match="make another one"):
        await assistant.start()


class Slow(Line):
    """A service that does not answer."""

    async def connect(self, settings: Any) -> Any:
        await anyio.sleep_forever()


@virtual
async def test_a_stop_while_it_connects_is_a_stop() -> None:
    page = Page()
    assistant = VoiceLiveAssistant(Slow(), None, "gpt-4.1", "alloy", "", page.state_callback)
    held = asyncio.ensure_future(assistant.start())
    await anyio.sleep(1)
    assert page.states == [STARTING]
    assistant.request_stop()
    await held
    assert page.states == [STARTING, STOPPED]


@virtual
async def test_a_stop_right_before_the_call_begins_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()
    assistant = VoiceLiveAssistant(Slow(), None, "gpt-4.1", "alloy", "", page.state_callback)
    join = assistant._page.join

    def stopped_meanwhile(call: Any) -> None:
        assistant.stopping = True  # by another thread, when there was no call to be stopped yet
        join(call)

    monkeypatch.setattr(assistant._page, "join", stopped_meanwhile)
    await assistant.start()
    assert page.states == [STARTING, STOPPED]


async def test_what_the_guide_says_to_put_into_the_lab_s_app_is_its_class() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "how-to" / "coming-from-the-lab.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    exec(guide.partition("```python\n")[2].partition("```")[0], namespace)
    assert namespace["BasicVoiceAssistant"].func is VoiceLiveAssistant
    states: list[str] = []
    async with serve() as service:
        assistant = namespace["BasicVoiceAssistant"](
            endpoint=service.url,
            credential="key",
            model="gpt-4.1",
            voice="en-US-AvaNeural",
            instructions="Be brief.",
            state_callback=lambda state, message: states.append(state),
        )
        held = asyncio.ensure_future(assistant.start())
        await eventually(lambda: "ready" in states)
        assistant.request_stop()
        await held
    assert states == ["starting", "ready", "stopped"]


async def test_verbose_names_every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_LIVE_VERBOSE", "1")
    page = Page()
    async with serve() as service:
        assistant = VoiceLiveAssistant(
            service.url, None, "gpt-4.1", "alloy", "", page.state_callback, broadcast=page.broadcast
        )
        held = asyncio.ensure_future(assistant.start())
        await page.reach(READY)
        assistant.request_stop()
        await held
    named = [each["event_type"] for each in page.all("log") if "event_type" in each]
    assert named[0] == "SessionStarted"
    assert named[-1] == "SessionEnded"
    assert all(each["level"] == "debug" for each in page.all("log") if "event_type" in each)


async def test_callbacks_are_not_needed() -> None:
    async with serve() as service:
        assistant = VoiceLiveAssistant(service.url, None, "gpt-4.1", "alloy", "")
        held = asyncio.ensure_future(assistant.start())
        await eventually(lambda: assistant.connection)
        assistant.request_stop()
        await held
