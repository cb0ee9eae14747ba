"""What an agent may ask of the model by itself: responses, heard or out of band, and undisturbed ones."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from voicelive_agent import (
    AgentSpoke,
    ConfigurationError,
    SessionConfig,
    SessionStarted,
    Speech,
    State,
    TurnEnded,
    UserSpoke,
    WavSource,
    tool,
)
from voicelive_agent._outputs import SpeechStatus
from voicelive_agent.config import FunctionTool, MCPServer, StaticInterimResponse, ToolChoice
from voicelive_agent.emulator import Call, EmulatorSession, Options, serve
from voicelive_agent.emulator.protocols import Say, Wait
from voicelive_agent.emulator.scripted import Rule
from voicelive_agent.errors import ReplyError
from voicelive_agent.events import Interrupted, RequestRefused, ServiceFailed, SpeechStarted, ToolFinished
from voicelive_agent.speech import Reply
from voicelive_agent.testing import MemorySink

from .agent_driver import (
    PROFILES,
    Line,
    Microphone,
    Recorder,
    calling,
    check_story,
    emulated,
    silence,
    sink,
    tone,
    virtual,
)

RECORDINGS = Path(__file__).parent / "data" / "audio"


class Librarian(Recorder):
    @tool
    async def find(self, title: str) -> str:
        """Find a book."""
        return f"{title}: shelf 7"

    @tool
    def burn(self, title: str) -> str:
        """Burn a book."""
        raise AssertionError


# --- in the conversation ------------------------------------------------------------------------------------


@PROFILES
@virtual
async def test_a_response_of_the_models_own_words(model: str) -> None:
    line = Line(model=model)
    agent = Recorder(line, target=model)
    async with calling(agent, None, sink()):
        await agent.reach(State.READY)
        speech = agent.respond('Say exactly: "Still there?"', metadata={"why": "silence"})
        assert isinstance(speech, Speech)
        assert (speech.text, speech.status) == ("", "queued")
        assert await speech == "heard"
    assert [event.text for event in agent.all(AgentSpoke)] == ["Still there?"]
    [request] = line.sent("response.create")
    assert request["response"]["metadata"]["why"] == "silence"


@virtual
async def test_tools_and_their_choice_for_one_response() -> None:
    line = Line(lambda: emulated(("find", Call("find", {"title": "Emma"}))))
    agent = Librarian(line)
    stop = FunctionTool(name="stop", description="Stop.")
    server = MCPServer(server_label="a", server_url="https://a.example/mcp")
    async with calling(agent):
        await agent.reach(State.READY)
        agent.respond(tools=["find", stop, {"type": "function", "name": "go"}, server], tool_choice="none")
        await agent.until(lambda: agent.all(TurnEnded))
        agent.respond(tools=[], modalities=["text"], tool_choice=ToolChoice(name="find"))
        await agent.until(lambda: len(agent.all(TurnEnded)) == 2 or agent.all(ServiceFailed))
    first, second = [request["response"] for request in line.sent("response.create")][:2]
    assert [each.get("name", each["type"]) for each in first["tools"]] == ["find", "stop", "go", "mcp"]
    assert first["tools"][0]["parameters"]["required"] == ["title"]
    assert first["tool_choice"] == "none"
    assert (second["tools"], second["modalities"]) == ([], ["text"])
    assert second["tool_choice"] == {"type": "function", "name": "find"}


@virtual
async def test_one_that_only_calls_a_tool_is_dropped_and_its_result_is_spoken_about() -> None:
    line = Line(lambda: emulated(("", Call("find", {"title": "Emma"}))))
    agent = Librarian(line)
    async with calling(agent):
        await agent.reach(State.READY)
        agent.send_text("Find it.", respond=False)
        assert await agent.respond(tool_choice="auto") == "dropped"
        await agent.until(lambda: agent.all(AgentSpoke))
    assert agent.all(ToolFinished)[0].output == "Emma: shelf 7"


# --- out of band --------------------------------------------------------------------------------------------


@PROFILES
@virtual
async def test_out_of_band_is_text_for_the_program_alone(model: str) -> None:
    line = Line(model=model)
    agent, speaker = Recorder(line, target=model, greeting="Hello."), sink()
    async with calling(agent, None, speaker):
        await agent.reach(State.READY)
        told = len(agent.all(AgentSpoke))
        heard = speaker.heard_ms
        replies = [agent.respond(f'Say exactly: "{text}"', out_of_band=True) for text in ("One.", "Two.")]
        assert isinstance(replies[0], Reply)
        assert repr(replies[0]) == "Reply(<queued>)"
        assert not replies[1].done
        assert [await reply for reply in replies] == ["One.", "Two."]
        assert await replies[0] == "One."
        assert repr(replies[0]) == "Reply('One.')"
        assert replies[1].done
        await agent.reach(State.READY)
        assert len(agent.all(AgentSpoke)) == told
        assert speaker.heard_ms == heard
    assert [item.text for item in agent.history] == ["Hello."]
    assert line.sent("response.create")[1]["response"]["conversation"] == "none"


@virtual
async def test_out_of_band_while_the_user_speaks() -> None:
    line = Line(lambda: emulated(("hi", "Yes."), says=["hi"]))
    agent = Recorder(line)
    async with calling(agent, Microphone(silence(200), tone(400)), sink()):
        await agent.until(lambda: agent.all(SpeechStarted))
        reply = agent.respond('Say exactly: "A greeting."', out_of_band=True)
        assert await reply == "A greeting."
    assert [event.text for event in agent.all(UserSpoke)] == ["hi"]
    assert [event.text for event in agent.all(AgentSpoke)] == ["Yes."]


@virtual
async def test_out_of_band_that_fails() -> None:
    from voicelive_agent.emulator.protocols import Fail

    agent = Recorder(Line(lambda: emulated(("", Fail("Too much.")))))
    async with calling(agent):
        await agent.reach(State.READY)
        agent.send_text("hi")
        await agent.until(lambda: agent.all(ServiceFailed))
        reply = agent.respond(out_of_band=True)
        with pytest.raises(ReplyError, match=r"There is no reply: Too much\."):
            await reply
        assert repr(reply) == "Reply(<Too much>)"


@virtual
async def test_out_of_band_when_the_call_ends() -> None:
    agent = Recorder(Line(lambda: emulated(("", [Wait(60_000), Say("Late.")]))))
    async with calling(agent):
        await agent.reach(State.READY)
        agent.send_text("hi", respond=False)
        replies = [agent.respond(out_of_band=True) for _ in range(2)]
        await anyio.sleep(1)
    for reply in replies:
        with pytest.raises(ReplyError, match="the conversation ended"):
            await reply


async def test_a_reply_that_was_given_up_without_a_word() -> None:
    reply = Reply()
    status: SpeechStatus = "dropped"
    reply._move(status)
    with pytest.raises(ReplyError, match="the response was given up"):
        await reply


# --- bad input ----------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"instructions": 5}, "ResponseOptions.instructions is 5; it must be text or None"),
    ({"tools": "find"}, "It is a list of tools"),
    ({"tools": {"type": "function"}}, "It is a list of tools"),
    ({"tools": 7}, "It is a list of tools"),
    ({"tools": ["fnd"]}, "The agent has no tool 'fnd'. Did you mean 'find'?"),
    ({"tools": ["other"]}, "It has: find, burn."),
    ({"tools": [5]}, "it must be"),
    ({"tools": [{"type": "function", "nam": "x"}]}, "FunctionTool has no field 'nam'"),
    ({"tools": ["find", FunctionTool(name="find")]}, "tools: two functions are called 'find'"),
    ({"tool_choice": "maybe"}, "it must be one of 'auto', 'none', 'required'"),
    ({"modalities": []}, "with at least one of them"),
    ({"modalities": ["smell"]}, "it must be one of 'text', 'audio'"),
    ({"metadata": {"vla": "x"}}, "none of them 'vla'"),
    ({"metadata": {"k": "x" * 513}}, "of at most 15 pairs"),
    ({"metadata": {str(at): "" for at in range(16)}}, "of at most 15 pairs"),
    ({"out_of_band": True, "tools": ["find"]}, "tools cannot be set"),
    ({"out_of_band": True, "tool_choice": "auto", "modalities": ["audio"]}, "tool_choice and modalities cannot"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
@virtual
async def test_what_cannot_be_is_refused_where_it_is_asked_for(options: dict[str, Any], message: str) -> None:
    line = Line()
    agent = Librarian(line)
    async with calling(agent):
        await agent.reach(State.READY)
        with pytest.raises(ConfigurationError) as refused:
            agent.respond(**options)
        assert message in str(refused.value)
    assert line.sent("response.create") == []


@virtual
async def test_without_a_call_there_is_nobody_to_ask() -> None:
    agent = Recorder(Line())
    with pytest.raises(RuntimeError, match="No call is running"):
        agent.respond()
    with pytest.raises(RuntimeError, match="No call is running"), agent.uninterruptible():
        raise AssertionError


@virtual
async def test_an_agent_without_tools_has_none_by_name() -> None:
    agent = Recorder(Line())
    async with calling(agent):
        with pytest.raises(ConfigurationError, match="It has: none"):
            agent.respond(tools=["find"])


# --- undisturbed --------------------------------------------------------------------------------------------


@virtual
async def test_in_the_scope_nobody_is_interrupted_and_after_it_everybody_is() -> None:
    line = Line(lambda: emulated(("hi", "Yes."), says=["hi", "hi"]))
    agent = Recorder(line)
    talking = Microphone(silence(1_000), tone(600), silence(4_000), tone(600))
    async with calling(agent, talking, sink()):
        with agent.uninterruptible(), agent.uninterruptible():
            assert await agent.say("Terms and conditions apply to all of it.") == "heard"
        assert agent.all(SpeechStarted) == []
        second = agent.say("Terms and conditions apply to all of it, and to much more. " * 3)
        assert await second == "interrupted"
    assert len(agent.all(Interrupted)) == 1


@virtual
async def test_the_scope_may_outlive_the_call_and_belong_to_another_thread() -> None:
    agent = Recorder(Line())

    def elsewhere() -> None:
        with agent.uninterruptible():
            pass

    async with calling(agent):
        await agent.reach(State.READY)
        await anyio.to_thread.run_sync(elsewhere)
        with agent.uninterruptible():
            agent.stop()
            await anyio.sleep(0.1)
    assert threading.active_count() >= 1


# --- interim responses --------------------------------------------------------------------------------------


@virtual
async def test_an_interim_sentence_is_heard_and_recorded_before_the_answer() -> None:
    interim = StaticInterimResponse(texts=["One moment, please."], latency_threshold_ms=700)
    session = lambda: emulated(("", [Wait(5_000), Say("It is open.")]))  # noqa: E731
    agent = Recorder(Line(session), config=SessionConfig(interim_response=interim))
    async with calling(agent, None, sink()):
        await agent.reach(State.READY)
        agent.send_text("Are you open?")
        await agent.until(lambda: agent.all(TurnEnded))
    assert agent.states[:6] == ["ready", "processing", "speaking", "processing", "speaking", "ready"]
    spoken = [item for item in agent.history if item.role == "assistant"]
    assert [(item.text, item.heard_text) for item in spoken] == [("One moment, please. It is open.",) * 2]


@virtual
async def test_an_interim_sentence_is_interrupted_like_any_other() -> None:
    interim = StaticInterimResponse(texts=["One moment, please, I am looking for it."], latency_threshold_ms=500)
    session = lambda: emulated(("", [Wait(9_000), Say("It is open.")]), says=["never mind"])  # noqa: E731
    agent = Recorder(Line(session), config=SessionConfig(interim_response=interim))
    async with calling(agent, Microphone(silence(1_500), tone(600)), sink()):
        await agent.reach(State.READY)
        agent.send_text("Are you open?")
        await agent.until(lambda: agent.all(Interrupted))
    [cut] = agent.all(Interrupted)
    assert "One moment, please, I am looking for it.".startswith(cut.heard_text)
    assert 0 < cut.heard_ms < cut.received_ms


@PROFILES
async def test_recorded_speech_over_a_socket(model: str) -> None:
    """A person who talks over what must be heard, is told to wait and is answered, while a summary is made."""

    class Concierge(Recorder):
        async def on_session_started(self, event: SessionStarted) -> None:
            self.welcome = self.say("Good morning.", uninterruptible=True)

        async def on_user_spoke(self, event: UserSpoke) -> None:
            self.summary = self.respond('Say exactly: "A person spoke."', out_of_band=True)

    slowly: Rule = ("young", [Wait(1_500), Say("It is open.")])
    interim = StaticInterimResponse(texts=["One moment."], latency_threshold_ms=500)
    config = SessionConfig(interim_response=interim) if model == "gpt-4.1" else SessionConfig()
    said = "One moment. It is open." if model == "gpt-4.1" else "It is open."

    def session(model: str, query: Any) -> EmulatorSession:
        return emulated(slowly, says=["an ill disposed young man"], model=model)

    async with serve(make_session=session) as server:
        agent = Concierge(server.url, "any key", config=config, target=model)
        await agent.run(WavSource(RECORDINGS / "librivox_0880.wav"), MemorySink(clock=time.monotonic))
    assert (await agent.welcome, agent.welcome.heard_text) == ("heard", "Good morning.")
    assert await agent.summary == "A person spoke."
    spoken = [(item.role, item.text, item.heard_text) for item in agent.history if item.role == "assistant"]
    assert spoken == [("assistant", "Good morning.", "Good morning."), ("assistant", said, said)]
    assert not agent.all(RequestRefused) + agent.all(ServiceFailed)
    check_story(agent.seen)


@virtual
async def test_a_slow_response_can_be_paced() -> None:
    agent = Recorder(Line(lambda: emulated(options=Options(realtime_factor=1.0))))
    async with calling(agent, None, sink()):
        with agent.uninterruptible():
            assert await agent.respond('Say exactly: "Slowly."') == "heard"
