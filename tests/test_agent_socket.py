"""The agent over real sockets: the official SDK on this side, the emulator or a scripted peer on the other."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent import (
    AgentSpoke,
    EndReason,
    Interrupted,
    SessionLostError,
    State,
    Verdict,
    WavSink,
    WavSource,
)
from voicelive_agent.config import Settings
from voicelive_agent.emulator import EnergyEars, Options, serve
from voicelive_agent.emulator.faults import Fault, FaultScript, Reorder, When
from voicelive_agent.errors import (
    AuthenticationError,
    ConnectError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
)
from voicelive_agent.events import (
    AgentSpeaking,
    AudioRejected,
    MessageReceived,
    MessageRejected,
    SessionEnded,
    SessionStarted,
    StateChanged,
    TranscriptionFailed,
    TurnEnded,
)
from voicelive_agent.files import WavWriter

from .agent_driver import (
    LONG,
    RATE,
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
)
from .faultserver import CREATED, FaultServer, Peer, Script, closed_port

UPDATED = {"type": "session.updated", "event_id": "event_2", "session": {"id": "sess_1"}}


pytestmark = pytest.mark.usefixtures("nothing_left")


# --- with the emulator ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
async def test_a_conversation_from_file_to_file(model: str, tmp_path: Path) -> None:
    with WavWriter(tmp_path / "in.wav", 16_000) as writer:
        writer.write(silence(200, 16_000) + tone(400, 16_000) + silence(100, 16_000))
    async with serve(
        make_session=lambda model, query: emulated(("hi", "Yes."), says=["hi"], model=model)
    ) as server:
        agent = Recorder(server.url, "any key", target=model)
        async with WavSink(tmp_path / "out.wav") as listener:
            verdict = await agent.run(WavSource(tmp_path / "in.wav", speed=None), listener)
            assert listener.heard == 5800  # 4 characters of 60 ms, in whole periods
        assert verdict == Verdict(EndReason.SOURCE_FINISHED)
    check_story(agent.seen)
    assert [event.text for event in agent.all(AgentSpoke)] == ["Yes."]
    assert WavSource(tmp_path / "out.wav").frames > 5800


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
async def test_speech_that_could_not_be_transcribed(model: str) -> None:
    def deaf(pcm: bytes) -> str:
        raise OSError("deaf")

    kind = "conversation.item.input_audio_transcription.failed"
    later = Fault(When(at="sent", type="response.created"), Reorder(behind=kind))
    async with serve(ears=EnergyEars(deaf), faults=FaultScript((later,))) as server:
        agent = Recorder(server.url, target=model)
        verdict = await agent.run(source(tone(400), silence(100)), sink())
    assert verdict.ok
    check_story(agent.seen)
    states = [event.new for event in agent.all(StateChanged)][1:]
    told = [type(event) for event in agent.seen]
    if model == "gpt-realtime":  # it hears the audio, and its response exists before that is told
        assert told.index(TranscriptionFailed) < told.index(AgentSpeaking)
        assert states == [State.LISTENING, State.PROCESSING, State.SPEAKING, State.READY, State.CLOSED]
    else:  # the emulator's cascade has nothing to answer
        assert told.count(TranscriptionFailed) == 1
        assert states == [State.LISTENING, State.PROCESSING, State.READY, State.CLOSED]


async def test_a_server_that_goes_away_is_a_lost_session() -> None:
    async with serve() as server:
        agent = Recorder(server.url)
        call = asyncio.ensure_future(agent.run(Microphone(), sink()))
        await agent.until(lambda: agent.all(SessionStarted))
    with pytest.raises(SessionLostError) as lost:
        await call
    assert lost.value.verdict.reason is EndReason.SERVICE_CLOSED
    assert lost.value.verdict.close_code == 1001
    check_story(agent.seen)


async def test_the_maximum_time_of_a_session() -> None:
    async with serve(options=Options(max_session_s=0.3)) as server:
        agent = Recorder(server.url)
        with pytest.raises(SessionLostError, match="session_expired") as lost:
            await agent.run(Microphone(), sink())
    assert lost.value.verdict.reason is EndReason.EXPIRED
    check_story(agent.seen)


@pytest.mark.parametrize("moment_ms", [0, 2, 5, 8, 12, 20, 40, 80, 200, 400])
async def test_cancelled_at_any_time_it_leaves_nothing_behind(moment_ms: int) -> None:
    async with serve() as server:
        agent, speaker = Recorder(server.url, greeting=LONG), sink()
        call = asyncio.ensure_future(agent.run(Microphone(silence(100), tone(100)), speaker))
        await asyncio.sleep(moment_ms / 1000)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert speaker.pending == 0
        await eventually(lambda: not server.connections)


async def test_an_interruption_and_a_stop() -> None:
    async with serve() as server:
        agent, speaker, microphone = Recorder(server.url, greeting=LONG), sink(), Microphone()
        async with calling(agent, microphone, speaker):
            await eventually(lambda: speaker.heard_ms > 200)
            microphone.say(tone(300))
            await agent.until(lambda: agent.all(Interrupted))
            agent.say(LONG)
            await agent.reach(State.SPEAKING)
        assert speaker.pending == 0
    [cut, *_] = agent.all(Interrupted)
    assert 200 < cut.heard_ms < 12_000  # of 12 s: how much of it the machine was in time for is its own affair
    check_story(agent.seen)


async def test_two_agents_at_once_do_not_know_of_each_other() -> None:
    async with serve() as server:
        agents = [Recorder(server.url, greeting=f"I am number {number}.") for number in range(2)]

        async def hold(agent: Recorder) -> None:
            async with calling(agent):
                await agent.until(lambda: agent.all(AgentSpoke))
                assert server.connections == 2

        both = [asyncio.ensure_future(hold(agent)) for agent in agents]
        await asyncio.gather(*both)
    for number, agent in enumerate(agents):
        assert [event.text for event in agent.all(AgentSpoke)] == [f"I am number {number}."]
        check_story(agent.seen)


async def test_two_loops_in_two_threads() -> None:
    said: list[str] = []
    async with serve() as server:

        async def hold(number: int) -> None:
            agent = Recorder(server.url, greeting=f"I am number {number}.")
            async with calling(agent):
                await agent.until(lambda: agent.all(AgentSpoke))
            check_story(agent.seen)
            said.extend(event.text for event in agent.all(AgentSpoke))

        threads = [threading.Thread(target=asyncio.run, args=(hold(number),)) for number in range(2)]
        for thread in threads:
            thread.start()
        await eventually(lambda: not any(thread.is_alive() for thread in threads))
    assert sorted(said) == ["I am number 0.", "I am number 1."]


# --- sessions that do not begin ------------------------------------------------------------------------------


def answer(status: int, **headers: str) -> Script:
    async def script(peer: Peer) -> None:
        await peer.status(status, headers)

    return script


async def mute(peer: Peer) -> None:
    await peer.accept()
    await peer.gone()


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (answer(401), AuthenticationError, "401"),
        (answer(403), AuthenticationError, "403"),
        (answer(404), NotFoundError, "404"),
        (answer(429, **{"Retry-After": "7"}), RateLimitedError, "7 s"),
        (answer(503), ServiceUnavailableError, "503"),
        (answer(200), ConnectError, "Something else answers"),
        (mute, ServiceUnavailableError, "said nothing"),
    ],
    ids=["401", "403", "404", "429", "503", "200", "silence"],
)
async def test_a_session_that_does_not_begin_is_a_typed_error(
    script: Script, error: type[ConnectError], words: str
) -> None:
    async with FaultServer(script) as server:
        settings = Settings(endpoint=server.url, credential="key", first_event_timeout_s=0.2)
        agent = Recorder(settings=settings)
        with pytest.raises(error, match=words) as caught:
            await agent.run(Microphone(), sink())
    assert type(caught.value) is error
    assert caught.value.hint
    assert agent.seen == []
    assert agent.state is State.CLOSED


async def test_where_nothing_listens_the_error_says_how_to_start_it() -> None:
    with pytest.raises(ServiceUnavailableError, match="voicelive-agent emulator"):
        await Recorder(f"http://127.0.0.1:{closed_port()}").run()


async def test_stop_during_the_handshake_ends_it() -> None:
    async with FaultServer(mute) as server:
        agent = Recorder(server.url)
        call = asyncio.ensure_future(agent.run())
        await server.arrival()
        agent.stop()
        assert await call == Verdict(EndReason.STOPPED)
    check_story(agent.seen)


# --- sessions that end ---------------------------------------------------------------------------------------


def session(then: Callable[[Peer], Awaitable[object]]) -> Script:
    """A session that begins, and then does this."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.text(CREATED)
        assert json.loads(await peer.read_text())["type"] == "session.update"
        await peer.text(UPDATED)
        await then(peer)

    return script


def closing(code: int | None) -> Callable[[Peer], Awaitable[None]]:
    return lambda peer: peer.close(code, "because")


async def _fin(peer: Peer) -> None:
    peer.fin()


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _garbage(peer: Peer) -> None:
    await peer.raw(b"\xff" * 100)


async def _too_large(peer: Peer) -> None:
    await peer.text({"type": "response.audio.delta", "delta": "A" * 70_000})


@pytest.mark.parametrize(
    ("end", "reason", "code"),
    [
        (closing(1000), EndReason.SERVICE_CLOSED, 1000),
        (closing(1001), EndReason.SERVICE_CLOSED, 1001),
        (closing(1008), EndReason.PROTOCOL, 1008),
        (closing(1009), EndReason.TOO_LARGE, 1009),
        (closing(1011), EndReason.UNAVAILABLE, 1011),
        (closing(1013), EndReason.UNAVAILABLE, 1013),
        (closing(4000), EndReason.PROTOCOL, 4000),
        (_fin, EndReason.NETWORK, 1006),
        (_reset, EndReason.NETWORK, 1006),
        (_garbage, EndReason.PROTOCOL, None),
        (_too_large, EndReason.TOO_LARGE, 1009),
    ],
    ids=["1000", "1001", "1008", "1009", "1011", "1013", "4000", "fin", "rst", "garbage", "too large"],
)
async def test_a_session_that_ends_unasked_is_lost_for_this_reason(
    end: Callable[[Peer], Awaitable[object]], reason: EndReason, code: int | None
) -> None:
    async with FaultServer(session(end)) as server:
        agent = Recorder(settings=Settings(endpoint=server.url, credential="key", max_message_bytes=65_536))
        with pytest.raises(SessionLostError) as lost:
            await agent.run(Microphone(), sink())
    verdict = lost.value.verdict
    assert verdict.reason is reason
    assert code is None or verdict.close_code == code
    assert agent.seen[-1] == SessionEnded(verdict)
    assert verdict.hint or code == 1000
    check_story(agent.seen)


async def test_a_call_that_is_stopped_says_goodbye() -> None:
    codes: list[int | None] = []

    async def listen(peer: Peer) -> None:
        codes.append(await peer.closing())
        await peer.close(1000)

    async with FaultServer(session(listen)) as server:
        agent = Recorder(server.url)
        async with calling(agent, Microphone()):
            await agent.reach(State.READY)
        await server.finished()
    assert codes == [1000]


# --- messages that should not be -----------------------------------------------------------------------------


def audio(pcm: bytes | str, item: str = "i") -> dict[str, Any]:
    delta = pcm if isinstance(pcm, str) else base64.b64encode(pcm).decode()
    return {"type": "response.audio.delta", "response_id": "r", "item_id": item, "delta": delta}


BEGUN = [
    {"type": "response.created", "response": {"id": "r"}},
    {
        "type": "response.output_item.added",
        "response_id": "r",
        "item": {"id": "i", "type": "message", "role": "assistant"},
    },
]
DONE = {"type": "response.done", "response": {"id": "r", "status": "completed"}}


async def told(*messages: object) -> tuple[Recorder, bytes]:
    """What an agent makes of these messages, and what it plays of them; it survives them all."""

    async def say(peer: Peer) -> None:
        for message in messages:
            await peer.text(message)
        await peer.text({"type": "the.end"})
        await peer.closing()
        await peer.close(1000)

    async with FaultServer(session(say)) as server:
        agent, speaker = Recorder(server.url), sink()
        async with calling(agent, Microphone(), speaker):
            await agent.until(lambda: agent.all(MessageReceived))
            await eventually(lambda: not speaker.pending and agent.state is not State.SPEAKING)
    check_story(agent.seen)
    return agent, speaker.played


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"x"',
        "{}",
        '{"type": 5}',
        "[" * 5000,
        '{"type": "error"}',
        '{"type": "session.updated"}',
    ],
    ids=lambda message: message[:12] or "empty",
)
async def test_a_malformed_message_is_rejected_and_the_call_goes_on(message: str) -> None:
    agent, _ = await told(message)
    [rejected] = agent.all(MessageRejected)
    assert rejected.size == len(message)
    assert [event.type for event in agent.all(MessageReceived)] == ["the.end"]


async def test_messages_out_of_order_or_about_nobody_do_no_harm() -> None:
    agent, played = await told(
        {"type": "response.done", "response": {"id": "never", "status": "completed"}},
        {"type": "input_audio_buffer.speech_stopped", "item_id": "never"},
        {"type": "conversation.item.truncated", "item_id": "never"},
        {"type": "response.audio.done", "response_id": "never", "item_id": "never"},
        {"type": "session.created", "session": {}},
        {"type": "session.updated", "session": {}},
        {"type": "error", "error": {"code": "response_cancel_not_active"}},
        *BEGUN,
        audio(tone(20)),
        DONE,
        audio(tone(20)),  # of a response that is over
    )
    assert played == tone(20)
    assert not agent.all(MessageRejected)
    assert not any(isinstance(event, AgentSpeaking) for event in agent.seen)


@pytest.mark.parametrize(
    ("deltas", "expected", "rejected"),
    [
        ([tone(20)[:101], tone(20)[101:]], tone(20), 0),  # half a sample waits for the other half
        ([tone(20)[:101]], tone(20)[:100], 0),
        ([tone(20), "@@@ not base64 @@", tone(20)], None, 1),
        ([tone(20), "AAA", tone(20)], None, 1),
        (["", tone(20)], tone(20), 0),
        (["é" * 8, tone(20)], None, 1),
    ],
    ids=["cut", "odd end", "not base64", "no padding", "empty", "not ascii"],
)
async def test_damaged_audio_is_silence_of_its_length(
    deltas: list[bytes | str], expected: bytes | None, rejected: int
) -> None:
    agent, played = await told(*BEGUN, *map(audio, deltas), DONE)
    assert len(agent.all(AudioRejected)) == rejected
    if expected is not None:
        assert played == expected
    else:
        silent = sum(event.samples for event in agent.all(AudioRejected))
        good = b"".join(delta for delta in deltas if isinstance(delta, bytes))
        assert len(played) == len(good) + silent * 2
        assert played.endswith(tone(20))
    assert agent.all(TurnEnded)[0].heard_ms == len(played) // 2 * 1000 // RATE


# --- files that should not be --------------------------------------------------------------------------------


async def test_a_truncated_recording_is_a_conversation_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    with WavWriter(path, RATE) as writer:
        writer.write(tone(1000))
    path.write_bytes(path.read_bytes()[: 44 + RATE + 1])  # half of it, and half a sample
    async with serve() as server:
        agent = Recorder(server.url)
        given = WavSource(path, speed=None)
        assert given.truncated
        assert await agent.run(given) == Verdict(EndReason.SOURCE_FINISHED)
    assert agent.all(AgentSpoke)


async def test_a_text_conversation_over_the_wire() -> None:
    async with serve() as server:
        agent = Recorder(server.url)
        async with calling(agent, source(), None):
            agent.send_text("hello")
            await agent.until(lambda: agent.all(AgentSpoke))
    assert [event.text for event in agent.all(AgentSpoke)] == ["I heard: hello"]
