"""What the user may do besides speaking freely, over the emulator: push-to-talk, text, images."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from voicelive_agent import ConfigurationError, EndReason, SessionConfig, State, VoiceAgent, WavSink, WavSource
from voicelive_agent._connection import Connection
from voicelive_agent._images import MAX_IMAGE_BYTES, load_image
from voicelive_agent.config import ServerVad, Settings
from voicelive_agent.emulator import EmulatorSession, ScriptedBrain, serve
from voicelive_agent.errors import ImageError
from voicelive_agent.events import (
    AgentSpoke,
    Interrupted,
    SessionStarted,
    SpeechStarted,
    TurnEnded,
    TurnTimedOut,
    TurnTooShort,
    UserSpoke,
)
from voicelive_agent.websocket import WebSocketAudio
from voicelive_agent.websocket.browser import Browser

from .agent_driver import (
    LONG,
    PROFILES,
    RATE,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    eventually,
    silence,
    sink,
    source,
    tone,
    virtual,
)
from .test_image_link import serving
from .test_images import JPEG, png
from .websocket_driver import Page

RECORDING = Path(__file__).parent / "data" / "audio" / "cards_001.wav"
BY_HAND = SessionConfig(turn_detection=None)
COMMIT = "input_audio_buffer.commit"


def button(line: Any, **arguments: Any) -> Recorder:
    return Recorder(line, config=BY_HAND, **arguments)


async def talk_for(agent: VoiceAgent, seconds: float) -> None:
    agent.begin_turn()
    await anyio.sleep(seconds)
    agent.end_turn()


# --- push-to-talk ----------------------------------------------------------------------------------------------


@PROFILES
@virtual
async def test_a_turn_has_what_was_said_in_it_and_is_answered(model: str) -> None:
    line = Line(lambda: emulated(("one", "First."), ("two", "Second."), says=["one", "two"], model=model))
    agent = button(line, target=model)
    before, said, after = tone(1000), tone(600), tone(400)
    async with calling(agent, Microphone(before + silence(200) + said + silence(200) + after), sink()):
        await anyio.sleep(1.19)
        assert line.last.audio == b""
        await talk_for(agent, 0.6)
        await agent.until(lambda: agent.all(TurnEnded))
        assert bytes(line.last.audio).strip(b"\0") in said
        assert len(line.last.audio) == RATE * 2 * 0.6
        await talk_for(agent, 0.3)
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    assert [event.text for event in agent.all(UserSpoke)] == ["one", "two"]
    assert [event.text for event in agent.all(AgentSpoke)] == ["First.", "Second."]
    assert agent.states[:5] == ["ready", "listening", "processing", "speaking", "ready"]
    assert not agent.all(SpeechStarted)
    assert len(line.sent(COMMIT)) == 2
    check_story(agent.seen)


@virtual
async def test_a_turn_may_begin_a_little_before_it_begins() -> None:
    line = Line()
    agent = button(line)
    async with calling(agent, Microphone(tone(1000)), sink()):
        await anyio.sleep(0.99)
        agent.begin_turn(pre_roll_ms=300)
        await anyio.sleep(0.3)
        agent.end_turn()
        await agent.until(lambda: agent.all(TurnEnded))
        assert len(line.last.audio) == RATE * 2 * 0.6
        assert bytes(line.last.audio).startswith(tone(1000)[RATE * 2 * 68 // 100 :][: RATE // 5])


@virtual
async def test_it_interrupts_the_agent() -> None:
    class Talker(Recorder):
        greeting = LONG

    line = Line()
    agent = Talker(line, config=BY_HAND)
    async with calling(agent, Microphone(), sink()):
        await agent.reach(State.SPEAKING)
        await anyio.sleep(2)
        agent.begin_turn()
        assert agent.state is State.LISTENING
        await anyio.sleep(0.5)
        agent.end_turn()
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    (cut,) = agent.all(Interrupted)
    assert cut.heard_ms == pytest.approx(2000, abs=50)
    assert agent.all(TurnEnded)[0].barge_in_ms == 0


@virtual
async def test_a_tap_is_no_turn() -> None:
    line = Line()
    agent = button(line)
    async with calling(agent, Microphone(tone(2000)), sink()):
        await anyio.sleep(0.5)
        await talk_for(agent, 0.06)
        await agent.until(lambda: agent.all(TurnTooShort))
        assert agent.state is State.READY
        await anyio.sleep(0.5)
        assert line.last.audio == b""
        assert [message["type"] for message in line.last.sent] == ["session.update"]
    assert 40 <= agent.all(TurnTooShort)[0].audio_ms <= 80


@virtual
async def test_a_button_that_is_stuck_is_let_go() -> None:
    line = Line()
    agent = button(line)
    async with calling(agent, Microphone(tone(2000)), sink()):
        agent.begin_turn(limit_s=1)
        agent.begin_turn(limit_s=100)
        await agent.until(lambda: agent.all(TurnEnded))
        agent.end_turn()
    assert agent.all(TurnTimedOut) == [TurnTimedOut(1000)]
    assert len(line.sent(COMMIT)) == 1


@virtual
async def test_hanging_up_within_a_turn() -> None:
    line = Line()
    agent = button(line)
    async with calling(agent, Microphone(tone(2000)), sink()):
        agent.begin_turn()
        await anyio.sleep(0.5)
        agent.stop()
        await eventually(lambda: agent.state is State.CLOSED)
    assert line.sent(COMMIT) == []
    check_story(agent.seen)


@virtual
async def test_a_source_that_ends_within_a_turn_ends_the_turn() -> None:
    class Eager(Recorder):
        def on_session_started(self, event: SessionStarted) -> None:
            self.begin_turn()

    line = Line(says=["one"])
    agent = Eager(line, config=BY_HAND)
    verdict = await agent.run(source(tone(600)), sink())
    assert verdict.reason is EndReason.SOURCE_FINISHED
    assert [event.text for event in agent.all(UserSpoke)] == ["one"]
    assert len(agent.all(TurnEnded)) == 1
    assert len(line.last.audio) >= RATE * 2 * 0.55


@virtual
async def test_a_turn_may_begin_before_there_is_a_session() -> None:
    line = Line()
    agent = button(line)
    async with agent.events(source(tone(300), paced=False), sink()) as events:
        agent.begin_turn()
        seen = [event async for event in events]
    assert TurnEnded in [type(event) for event in seen]
    assert len(line.last.audio) == RATE * 2 * 0.3


class SlowLine(Line):
    """A commit waits for a while before it goes out, audio does not; ``turns`` are the ms of audio per commit."""

    def __init__(self, **session: Any) -> None:
        super().__init__(**session)
        self.turns: list[int] = []

    async def connect(self, settings: Settings) -> Connection:
        await super().connect(settings)
        connection, send = self.last, self.last.send
        committed = 0

        async def slowly(text: str) -> None:
            nonlocal committed
            if COMMIT in text:
                await anyio.sleep(0.6)
                self.turns.append((len(connection.audio) - committed) * 1000 // RATE // 2)
                committed = len(connection.audio)
            await send(text)

        connection.send = slowly  # type: ignore[method-assign]
        return connection


@virtual
async def test_a_commit_keeps_its_place_among_the_audio() -> None:
    line = SlowLine()
    agent = button(line)
    async with calling(agent, Microphone(tone(9000)), sink()):
        for _ in range(3):  # without a pause: the next turn begins while the commit still waits
            await talk_for(agent, 1)
        await agent.until(lambda: agent.all(TurnEnded) and agent.state is State.READY)
    assert line.turns == [pytest.approx(1000, abs=40)] * 3
    assert sum(line.turns) == len(line.last.audio) * 1000 // RATE // 2


@virtual
async def test_it_may_be_pressed_from_any_thread() -> None:
    line = Line()
    agent = button(line)

    def press() -> None:
        agent.begin_turn()
        agent.begin_turn()

    async with calling(agent, Microphone(tone(2000)), sink()):
        thread = threading.Thread(target=press)
        thread.start()
        thread.join()
        await agent.reach(State.LISTENING)
        await anyio.sleep(0.5)
        thread = threading.Thread(target=agent.end_turn)
        thread.start()
        thread.join()
        await agent.until(lambda: agent.all(TurnEnded))
    assert len(line.sent(COMMIT)) == 1


@pytest.mark.parametrize("create_response", [None, False])
@virtual
async def test_where_the_service_detects_turns_there_are_none_by_hand(create_response: bool | None) -> None:
    config = SessionConfig(turn_detection=ServerVad(create_response=create_response))
    agent = Recorder(Line(), config=config)
    async with calling(agent, Microphone(), sink()):
        for act in (agent.begin_turn, agent.end_turn):
            with pytest.raises(ConfigurationError, match="turn_detection=None"):
                act()


@virtual
async def test_a_turn_is_described_properly() -> None:
    agent = button(Line())
    async with calling(agent, Microphone(), sink()):
        for wrong in (-1, 1_001, 1.5, True):
            with pytest.raises(ValueError, match="pre_roll_ms must be 0 to 1000"):
                agent.begin_turn(pre_roll_ms=wrong)  # type: ignore[arg-type]
        for limit_s in (0, -1, float("nan"), "5", None):
            with pytest.raises(ValueError, match="limit_s must be positive"):
                agent.begin_turn(limit_s=limit_s)  # type: ignore[arg-type]
        assert agent.state is State.READY


async def test_without_a_call_there_is_nobody_to_talk_to() -> None:
    agent = button(Line())
    for act in (agent.begin_turn, agent.end_turn, lambda: agent.send_text("x")):
        with pytest.raises(RuntimeError, match="No call is running"):
            act()
    with pytest.raises(RuntimeError, match="No call is running"):
        await agent.send_image(png())


@virtual
async def test_a_page_is_heard_in_turns_too() -> None:
    page = Page()
    line = Line()
    agent = button(line)
    page.say({"type": "hello", "rate": RATE})
    async with WebSocketAudio(page, Browser()) as audio:
        async with calling(agent, audio, audio):
            page.say(tone(200))
            await anyio.sleep(0.1)
            agent.begin_turn()
            page.say(tone(400))
            await anyio.sleep(0.1)
            agent.end_turn()
            page.say(tone(200))
            await agent.until(lambda: agent.all(TurnEnded))
            assert bytes(line.last.audio) == tone(400)


# --- recorded speech, over a socket ------------------------------------------------------------------------------


@PROFILES
async def test_recorded_speech_over_a_socket(model: str, tmp_path: Path) -> None:
    heard: list[bytes] = []

    def words(pcm: bytes) -> str:
        heard.append(pcm)
        return "the cards"

    class Presser(Recorder):
        def on_session_started(self, event: SessionStarted) -> None:
            self.begin_turn(pre_roll_ms=300)

    def session(model: str, query: Any) -> EmulatorSession:
        return emulated(("cards", "Here they are."), says=words, model=model)  # type: ignore[arg-type]

    async with serve(make_session=session) as server:
        agent = Presser(server.url, "any key", config=BY_HAND, target=model)
        recording = WavSource(RECORDING)
        async with WavSink(tmp_path / "answer.wav") as speaker:
            await agent.run(recording, speaker)
    assert [event.text for event in agent.all(UserSpoke)] == ["the cards"]
    assert [event.text for event in agent.all(AgentSpoke)] == ["Here they are."], "one answer, and that is ours"
    assert len(heard[0]) / 32_000 == pytest.approx(recording.duration_s, abs=0.2)
    check_story(agent.seen)


# --- text ---------------------------------------------------------------------------------------------------


@virtual
async def test_text_that_is_only_to_be_known() -> None:
    line = Line()
    agent = Recorder(line)
    async with calling(agent):
        agent.send_text("The visitor is a child.", respond=False)
        await anyio.sleep(5)
        assert agent.state is State.READY
        assert line.sent("response.create") == []
        agent.send_text("Good morning!")
        await agent.until(lambda: agent.all(TurnEnded))
    assert len(line.sent("conversation.item.create")) == 2
    assert len(line.sent("response.create")) == 1
    with pytest.raises(RuntimeError):
        agent.send_text("x")


@virtual
async def test_text_is_text() -> None:
    agent = Recorder(Line())
    async with calling(agent):
        with pytest.raises(TypeError, match="This is no text: 3"):
            agent.send_text(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="This is no text: 3"):
            await agent.send_image(png(), text=3)  # type: ignore[arg-type]


# --- images -------------------------------------------------------------------------------------------------


@PROFILES
async def test_an_image_is_shown_with_a_question(model: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(JPEG)
    line = Line(lambda: emulated(("32x16", "A photo."), ("2x2", "A dot."), model=model))
    agent = Recorder(line, target=model)
    async with calling(agent):
        await agent.send_image(photo, text="What is it?", detail="low")
        await agent.until(lambda: len(agent.all(TurnEnded)) == 1)
        await agent.send_image(png())
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2)
    first, second = (message["item"]["content"] for message in line.sent("conversation.item.create"))
    assert [part["type"] for part in first] == ["input_text", "input_image"]
    assert first[1]["detail"] == "low"
    assert first[1]["image_url"].startswith("data:image/jpeg;base64,")
    assert [part["type"] for part in second] == ["input_image"]
    assert [event.text for event in agent.all(AgentSpoke)] == ["A photo.", "A dot."]
    shown = [item.text for item in agent.history if item.role == "user"]
    assert shown == [f"What is it? [image/jpeg, {len(JPEG)} bytes]", f"[image/png, {len(png())} bytes]"]


async def test_an_image_that_is_only_to_be_known() -> None:
    line = Line()
    agent = Recorder(line)
    async with calling(agent):
        await agent.send_image(png(), respond=False)
        assert agent.state is State.READY
        agent.send_text("What was it?")
        await agent.until(lambda: agent.all(TurnEnded))
    assert len(line.sent("response.create")) == 1


async def test_an_image_behind_a_link() -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(body=png() if request.path == "/dot" else b"<html>Not here</html>")

    line = Line(lambda: emulated(("2x2", "A dot.")))
    agent = Recorder(line)
    async with serving(page) as root, calling(agent):
        await agent.send_image(f"{root}/dot")
        await agent.until(lambda: agent.all(TurnEnded))
        with pytest.raises(ImageError, match=r"/other is text/html"):
            await agent.send_image(f"{root}/other?sig=secret")
    (sent,) = line.sent("conversation.item.create")
    assert sent["item"]["content"][0]["image_url"].startswith("data:image/png;base64,")
    assert [event.text for event in agent.all(AgentSpoke)] == ["A dot."]


async def test_what_is_no_image_is_refused_before_anything_is_sent() -> None:
    line = Line()
    agent = Recorder(line)
    async with calling(agent):
        with pytest.raises(ImageError, match="application/pdf"):
            await agent.send_image(b"%PDF-1.7")
        with pytest.raises(ImageError, match="detail is 'huge'"):
            await agent.send_image(png(), detail="huge")  # type: ignore[arg-type]
        assert line.sent("conversation.item.create") == []


async def test_a_call_that_ends_while_an_image_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import voicelive_agent._user_input as module

    read, go_on = asyncio.Event(), threading.Event()
    loop, load = asyncio.get_running_loop(), load_image

    def slowly(image: Any) -> Any:
        loop.call_soon_threadsafe(read.set)
        go_on.wait(10)
        return load(image)

    monkeypatch.setattr(module, "load_image", slowly)
    line = Line()
    agent = Recorder(line)
    async with calling(agent):
        sending = asyncio.ensure_future(agent.send_image(png()))
        await read.wait()
    go_on.set()
    await sending
    assert line.sent("conversation.item.create") == []


# --- all of it in one call ----------------------------------------------------------------------------------


async def test_speech_then_text_then_an_image_then_a_button() -> None:
    """A visitor who speaks, types and shows something, and one who has to press a button, over a real socket."""
    script = [("hello", "Good morning."), ("read this", "I have."), ("2x2", "A dot."), ("goodbye", "Goodbye.")]

    def session(model: str, query: Any) -> EmulatorSession:
        return emulated(*script, says=["hello", "goodbye"], model=model)

    async with serve(make_session=session) as server:
        agent = Recorder(server.url, "any key", config=BY_HAND)
        async with calling(agent, Microphone(tone(60_000)), sink()):
            await talk_for(agent, 0.3)
            await agent.until(lambda: len(agent.all(AgentSpoke)) == 1)
            await agent.reach(State.READY)
            agent.send_text("Read this.")
            await agent.until(lambda: len(agent.all(AgentSpoke)) == 2)
            await agent.send_image(png(), text="And this.")
            await agent.until(lambda: len(agent.all(AgentSpoke)) == 3)
            await talk_for(agent, 0.3)
            await agent.until(lambda: len(agent.all(AgentSpoke)) == 4)
            await agent.reach(State.READY)
    assert [(item.role, item.text) for item in agent.history] == [
        ("user", "hello"),
        ("assistant", "Good morning."),
        ("user", "Read this."),
        ("assistant", "I have."),
        ("user", f"And this. [image/png, {len(png())} bytes]"),
        ("assistant", "A dot."),
        ("user", "goodbye"),
        ("assistant", "Goodbye."),
    ]
    check_story(agent.seen)


async def test_the_largest_image_gets_through() -> None:
    largest = png().ljust(MAX_IMAGE_BYTES, b"\0")
    async with serve(brain=ScriptedBrain([("3,000,000 bytes", "That is large.")])) as server:
        agent = Recorder(server.url, "any key")
        async with calling(agent):
            await agent.send_image(largest)
            await agent.until(lambda: agent.all(TurnEnded))
    assert [event.text for event in agent.all(AgentSpoke)] == ["That is large."]
