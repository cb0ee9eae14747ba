"""What an agent can be asked to say, to hear as typed, and to stop saying; and what ``say()`` returns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from voicelive_agent import (
    AgentSpoke,
    AudioFormat,
    EndReason,
    Interrupted,
    SessionEnded,
    SessionStarted,
    Speech,
    State,
    TurnEnded,
    Verdict,
    VoiceAgent,
)
from voicelive_agent._outputs import SpeechStatus
from voicelive_agent.emulator import Options
from voicelive_agent.events import SpeechStarted
from voicelive_agent.testing import MemorySink, MemorySource

from .agent_driver import (
    LONG,
    PROFILES,
    RATE,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    silence,
    sink,
    spoken_samples,
    tone,
    virtual,
)


async def test_it_begins_queued_and_shows_itself() -> None:
    speech = Speech("Good morning!")
    assert (speech.text, speech.status) == ("Good morning!", "queued")
    assert repr(speech) == "Speech('Good morning!', status='queued')"


@pytest.mark.parametrize("final", ["heard", "interrupted", "dropped"])
async def test_whoever_awaits_it_learns_how_it_went(final: SpeechStatus) -> None:
    speech = Speech("x")
    waiting = [asyncio.ensure_future(_await(speech)) for _ in range(2)]
    speech._move("speaking")
    await asyncio.sleep(0)
    assert speech.status == "speaking"
    assert not any(task.done() for task in waiting)
    speech._move(final)
    assert await asyncio.gather(*waiting) == [final, final]
    assert await speech == final  # again, at once


async def _await(speech: Speech) -> str:
    return await speech


# --- say, interrupt, send_text -------------------------------------------------------------------------------

ASK: list[Callable[[VoiceAgent], object]] = [
    lambda agent: agent.interrupt(),
    lambda agent: agent.say("x"),
    lambda agent: agent.send_text("x"),
]


@pytest.mark.parametrize("ask", ASK, ids=["interrupt", "say", "send_text"])
@virtual
async def test_without_a_call_there_is_nobody_to_ask(ask: Callable[[VoiceAgent], object]) -> None:
    agent = Recorder(Line())
    with pytest.raises(RuntimeError, match="No call is running"):
        ask(agent)
    async with calling(agent):
        ask(agent)
    with pytest.raises(RuntimeError, match="No call is running"):
        ask(agent)


@pytest.mark.parametrize("ask", ASK, ids=["interrupt", "say", "send_text"])
@virtual
async def test_in_the_last_hook_it_is_too_late_but_no_error(ask: Callable[[VoiceAgent], object]) -> None:
    class Late(Recorder):
        def on_session_ended(self, event: SessionEnded) -> None:
            self.asked = ask(self)

    agent = Late(Line())
    async with calling(agent):
        await agent.reach(State.READY)
    check_story(agent.seen)


@pytest.mark.parametrize("text", [None, 5, b"bytes"])
@virtual
async def test_only_text_can_be_said_or_typed(text: Any) -> None:
    agent = Recorder(Line())
    async with calling(agent):
        with pytest.raises(TypeError, match="no text"):
            agent.say(text)
        with pytest.raises(TypeError, match="no text"):
            agent.send_text(text)


@PROFILES
@virtual
async def test_a_speech_is_queued_spoken_and_heard(model: str) -> None:
    agent, speaker = Recorder(Line(model=model), target=model), sink()
    async with calling(agent, None, speaker):
        await agent.reach(State.READY)
        began, first, second = anyio.current_time(), agent.say("One."), agent.say('"Two", I said.')
        assert (first.status, second.status) == ("queued", "queued")
        assert await first == "heard"
        assert anyio.current_time() - began == pytest.approx(0.24, abs=0.03)  # 4 characters of 60 ms
        assert await second == "heard"
    assert [event.text for event in agent.all(AgentSpoke)] == ["One.", '"Two", I said.']


@PROFILES
@virtual
async def test_a_speech_is_interrupted(model: str) -> None:
    agent, speaker = Recorder(Line(model=model), target=model), sink()
    async with calling(agent, None, speaker):
        await agent.reach(State.READY)
        first = agent.say(LONG)
        await agent.reach(State.SPEAKING)
        await anyio.sleep(1)
        assert first.status == "speaking"
        agent.interrupt()
        assert speaker.pending == 0
        assert await first == "interrupted"
        agent.interrupt()  # nothing to interrupt: nothing happens
    [cut] = agent.all(Interrupted)
    assert 1000 <= cut.heard_ms <= 1050
    assert len(speaker.played) * 1000 // RATE // 2 == cut.heard_ms


@PROFILES
@virtual
async def test_a_speech_tells_which_words_of_it_were_heard(model: str) -> None:
    agent = Recorder(Line(model=model), target=model)
    async with calling(agent, None, sink()):
        await agent.reach(State.READY)
        speeches = [
            agent.say("One. Two."),
            agent.respond('Say exactly: "Three."'),
            agent.say(LONG),
            agent.say("Four."),
        ]
        await agent.until(lambda: [speech.status for speech in speeches[:3]] == ["heard", "heard", "speaking"])
        assert speeches[2].heard_text == ""  # not known yet
        await anyio.sleep(2)
        agent.interrupt()
        assert [await speech for speech in speeches] == ["heard", "heard", "interrupted", "dropped"]
    [cut] = [cut for cut in agent.all(Interrupted) if cut.heard_ms]
    assert [speech.heard_text for speech in speeches] == ["One. Two.", "Three.", cut.heard_text, ""]
    assert cut.heard_text.startswith("One two three")


async def test_after_the_end_of_the_call_nothing_is_said() -> None:
    """Not even by whoever asks between the end and the last event."""

    class Late(Recorder):
        async def on_session_ended(self, event: SessionEnded) -> None:
            self.late = self.say("x")
            assert await self.late == "dropped"

    agent = Late(Line())
    async with calling(agent):
        await agent.reach(State.READY)
    assert (agent.late.heard_text, agent.late.status) == ("", "dropped")


@virtual
async def test_what_is_not_said_at_the_end_is_dropped() -> None:
    agent = Recorder(Line(options=Options(realtime_factor=1.0)))
    async with calling(agent, None, sink()):
        await agent.reach(State.READY)
        speeches = [agent.say(LONG), agent.say("Two.")]
        await agent.reach(State.SPEAKING)
        await anyio.sleep(1)
    assert [await speech for speech in speeches] == ["interrupted", "dropped"]


@pytest.mark.parametrize("end", ["interrupt", "stop"])
@virtual
async def test_a_speech_of_which_nothing_was_heard_is_dropped(end: str) -> None:
    agent = Recorder(Line())
    async with calling(agent, None, sink()):
        await agent.reach(State.READY)
        speeches = [agent.say(LONG), agent.say("Two.")]  # both arrive at once
        await agent.reach(State.SPEAKING)
        await anyio.sleep(1)
        getattr(agent, end)()
        assert [await speech for speech in speeches] == ["interrupted", "dropped"]


@virtual
async def test_an_empty_speech_is_dropped_and_the_call_goes_on() -> None:
    agent = Recorder(Line())
    async with calling(agent):
        assert await agent.say("") == "dropped"
        assert await agent.say("Yes.") == "heard"


@virtual
async def test_during_an_uninterruptible_speech_the_service_gets_silence() -> None:
    line = Line()
    agent, speaker = Recorder(line), sink()
    said = Microphone(silence(1000), tone(20_000))
    async with calling(agent, said, speaker):
        await agent.reach(State.READY)
        speech = agent.say("Listen to me first, please.", uninterruptible=True)
        assert await speech == "heard"
        assert anyio.current_time() > 1.5  # the user has been talking for a while
        assert not any(line.last.audio)
        assert not agent.all(SpeechStarted)
        await agent.until(lambda: agent.all(SpeechStarted))
    assert any(line.last.audio)
    sent_ms = len(line.last.audio) // 2 * 1000 // RATE  # the service's clock of samples never stopped
    assert sent_ms == pytest.approx(anyio.current_time() * 1000, abs=40)
    assert not agent.all(Interrupted)


@pytest.mark.parametrize("thread", [False, True], ids=["task", "thread"])
@virtual
async def test_all_of_it_works_from_other_tasks_and_threads(thread: bool) -> None:
    agent, speaker = Recorder(Line()), sink()

    async def elsewhere(work: Callable[[], Any]) -> Any:
        if not thread:
            return await asyncio.ensure_future(asyncio.sleep(0, work()))
        results: list[Any] = []
        other = threading.Thread(target=lambda: results.append(work()))
        other.start()
        other.join()
        await asyncio.sleep(0)
        return results[0]

    async with calling(agent, None, speaker) as call:
        await agent.reach(State.READY)
        speech = await elsewhere(lambda: agent.say(LONG))
        await agent.reach(State.SPEAKING)
        await elsewhere(agent.interrupt)
        assert await speech in ("interrupted", "dropped")
        await elsewhere(lambda: agent.send_text("bye"))
        await agent.until(lambda: "I heard: bye" in str(agent.all(AgentSpoke)))
        await elsewhere(agent.stop)
        assert await call == Verdict(EndReason.STOPPED)


@virtual
async def test_a_hook_may_wait_for_what_it_says() -> None:
    class Polite(Recorder):
        async def on_session_started(self, event: SessionStarted) -> None:
            self.greeted = await self.say("Good morning.")

    agent, speaker = Polite(Line()), sink()
    async with calling(agent, None, speaker):
        await agent.until(lambda: agent.all(TurnEnded))
    assert agent.greeted == "heard"


@pytest.mark.parametrize(("barge_in", "cut"), [("service", 0), ("client", 1)])
@virtual
async def test_where_the_service_does_not_interrupt_the_client_may(barge_in: Any, cut: int) -> None:
    line = Line()
    detection = {"type": "server_vad", "interrupt_response": False}
    agent = Recorder(line, greeting=LONG, barge_in=barge_in, config={"turn_detection": detection})
    speaker = sink()
    async with calling(agent, Microphone(silence(1000), tone(300)), speaker):
        await agent.until(lambda: agent.all(SpeechStarted))
        assert speaker.flushes == len(agent.all(Interrupted)) == cut


@PROFILES
@virtual
async def test_a_telephone_is_g711_from_end_to_end(model: str) -> None:
    line, telephone = Line(model=model), AudioFormat("g711_ulaw", 8000)
    agent, speaker = (
        Recorder(line, target=model, greeting="Hello."),
        MemorySink(telephone, clock=anyio.current_time),
    )
    await agent.run(MemorySource(b"\xff" * 800, format=telephone), speaker)
    session = line.sent("session.update")[0]["session"]
    assert (session["input_audio_format"], session["output_audio_format"]) == ("g711_ulaw", "g711_ulaw")
    assert set(line.last.audio) == {0xFF}
    assert len(speaker.played) == pytest.approx(spoken_samples("Hello.") / 3, abs=1)
