"""The vocabulary of conversations, and what it says when they are not as expected."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent import SessionConfig, SessionLostError, State, VoiceAgent, tool
from voicelive_agent.emulator import Call, Options, ScriptedBrain
from voicelive_agent.emulator.protocols import Fail, Wait
from voicelive_agent.errors import AudioFileError, ConfigurationError
from voicelive_agent.events import DtmfReceived, EndReason, Interrupted, StateChanged, UserSpoke
from voicelive_agent.testing import Conversation, ExpectationFailed, Like, run_virtual
from voicelive_agent.testing._person import RATE, Ear, Person, toned

AUDIO = Path(__file__).parents[1] / "data" / "audio"
STORY = "Once upon a time there was a library with a thousand and one rooms."
RULES = [(r"open on (\w+)", Call("opening_hours", {"day": r"\1", "polite": True})), ("story", STORY)]


class Receptionist(VoiceAgent):
    greeting = "Good morning!"

    @tool
    def opening_hours(self, day: str, polite: bool = False) -> str:
        """When it is open."""
        return "closed" if day == "Sunday" else "9 to 17"


class Quiet(VoiceAgent):
    """An agent that waits for its user."""


# --- a whole conversation --------------------------------------------------------------------------------------


def test_three_turns_a_tool_and_an_interruption() -> None:
    with Conversation(Receptionist, RULES) as call:
        call.expect_says("good morning")
        call.user_says("Are you open on Sunday?")
        call.expect_heard_as("are you open on Sunday")
        call.expect_tool("opening_hours", {"day": "Sunday"})
        call.expect_says("closed")
        call.user_says("Tell me a story.")
        call.expect_says(matching="^once .* rooms")
        call.user_interrupts("Thank you.", after_ms=1000)
        call.expect_interrupted(1000, 1400)
        call.expect_heard(1000, 1400)
        call.expect_says("I heard: thank you")
        call.expect_state(State.READY)
        call.expect_no_tool()
        call.expect_no_errors()
        call.user_hangs_up()
        call.expect_ended("hung_up")
    assert [type(event) for event in call.events].count(Interrupted) == 1
    [cut] = [item for item in call.agent.history if item.role == "assistant" and item.heard_text in STORY]
    assert cut.heard_text
    assert len(call.heard) > 48_000
    assert {"session.update", "conversation.item.create"} <= {message["type"] for message in call.sent}


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-realtime"])
async def test_a_coroutine_awaits_each_step_and_its_loop_goes_on(model: str) -> None:
    here, there = threading.get_ident(), set()

    class Spy(Receptionist):
        def on_user_spoke(self, event: UserSpoke) -> None:
            there.add(threading.get_ident())

    async with Conversation(Spy, RULES, model=model) as call:
        await call.user_says("Are you open on Monday?")
        await call.expect_tool("opening_hours")
        await call.expect_says("9 to 17")
        await call.expect_heard_as("open on Monday")
        assert here not in there


@pytest.mark.parametrize("kind", ["real", "virtual"])
def test_in_real_time_and_in_a_virtual_loop_the_agent_lives_in_the_loop_of_the_test(kind: str) -> None:
    async def test() -> None:
        loops = []

        class Spy(Quiet):
            def on_session_started(self, event: object) -> None:
                loops.append(asyncio.get_running_loop())

        async with Conversation(Spy, time="real" if kind == "real" else "virtual") as call:
            await call.user_types("Hi")
            await call.expect_says("I heard: Hi")
        assert loops == [asyncio.get_running_loop()]

    (asyncio.run if kind == "real" else lambda main: run_virtual(lambda: main))(test())


def test_time_may_be_faster_or_as_usual() -> None:
    for kind in (50, "real"):
        with Conversation(Quiet, time=kind) as call:
            call.user_types("Hi")
            call.expect_says("Hi")


def test_between_the_steps_of_a_plain_function_no_time_passes() -> None:
    with Conversation(Quiet) as call:
        call.user_waits(250)
        loop_time = call.story
        time.sleep(0.05)
        assert call.story == loop_time
        call.user_waits(250)
    waits = [line for line in call.story.splitlines() if "waits" in line]
    assert [line.split()[0] for line in waits] == ["0.00", "0.25"]


async def test_a_with_in_a_coroutine_is_refused() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        with Conversation(Quiet):
            pass


# --- what the user does ----------------------------------------------------------------------------------------


async def test_what_is_said_without_a_pause_is_heard_as_one_turn() -> None:
    person, now = Person(lambda: now[0], lambda _: None, lambda: None), [0.0]
    ear = Ear(person, None)
    for words in ("one", "two"):
        person.say(toned(words), words)
    person.say(toned("three"), "three")
    blocks, loud = aiter(person), len(toned("one")) // (2 * RATE * 20 // 1000)
    assert ear.transcribe(b"").text == ""  # nothing was begun
    for _ in range(2 * loud):
        await anext(blocks)
        now[0] += 0.02
    assert ear.transcribe(b"").text == "one two"
    await anext(blocks)
    assert ear.transcribe(b"", language="de").text == "three"
    assert ear.transcribe(b"").text == ""
    await blocks.aclose()  # type: ignore[attr-defined]


def test_a_short_word_is_speech_too() -> None:
    with Conversation(Quiet) as call:
        call.user_says("No")
        call.expect_heard_as("no")


def test_a_recording_is_heard_as_its_transcript() -> None:
    with Conversation(Quiet) as call:
        call.user_plays(AUDIO / "goforward.wav", transcript="Go forward ten meters.")
        call.expect_heard_as("go forward ten meters")
        call.expect_says(similar="I heard go forward ten meters", score=1)


def test_a_recording_that_is_none() -> None:
    with Conversation(Quiet) as call:
        with pytest.raises(AudioFileError):
            call.user_plays(AUDIO / "nothing.wav", transcript="Go")


@pytest.mark.speech
def test_a_recording_without_a_transcript_is_understood_by_real_ears() -> None:
    with Conversation(Quiet) as call:
        call.user_plays(AUDIO / "goforward.wav")
        call.expect_heard_as(matching="go forward (10|ten) meters")


@pytest.mark.speech
def test_with_speech_the_user_has_a_voice_and_is_heard_in_the_very_words() -> None:
    with Conversation(Quiet, speech=True) as call:
        call.user_says("Xylophone, quoth the wuthering raven.")
        call.expect_heard_as("xylophone quoth the wuthering raven")


def test_keys_are_pressed_one_after_the_other() -> None:
    with Conversation(Quiet) as call:
        call.user_presses("42#")
        with pytest.raises(ConfigurationError, match="no key 'x'"):
            call.user_presses("4x")
    assert [event.digit for event in call.events if isinstance(event, DtmfReceived)] == list("42#")


def test_who_has_heard_the_whole_answer_interrupts_nobody() -> None:
    with Conversation(Receptionist) as call:
        with pytest.raises(ExpectationFailed, match="more than 60000 ms") as failed:
            call.user_interrupts("Stop.", after_ms=60_000)
    assert "were heard; the agent is ready" in failed.value.found


def test_nobody_speaks_in_a_call_that_is_over() -> None:
    with Conversation(Quiet) as call:
        call.user_hangs_up()
        with pytest.raises(ExpectationFailed, match="the user's turn") as failed:
            call.user_says("Hello?")
        assert failed.value.found == "the call is over"


def test_nothing_cannot_be_said() -> None:
    with Conversation(Quiet) as call:
        for step in (call.user_says, call.user_types, call.user_interrupts):
            with pytest.raises(ConfigurationError, match="nothing that can be said"):
                step("  ")


# --- what is expected ------------------------------------------------------------------------------------------


def test_a_failure_shows_what_was_expected_what_was_there_and_the_conversation() -> None:
    with Conversation(Receptionist, RULES) as call:
        call.user_says("Are you open on Monday?")
        with pytest.raises(ExpectationFailed) as failed:
            call.expect_says(similar="We are closed on that day", within_s=8)
    expected, but, _, *story = str(failed.value).splitlines()
    assert (
        expected == "expected: the agent to say something similar to 'We are closed on that day' (at least 0.80)"
    )
    assert but == "but:      the agent said '9 to 17' (similarity 0.00) (the agent is ready, after 8 s)"
    assert "user:   says 'Are you open on Monday?'" in story[-8] + story[-9] + story[-10]
    assert any(line.split()[1:3] == ["tool:", "opening_hours"] for line in story)
    frames = [frame.name for frame in failed.traceback]
    assert frames[0].startswith("test_a_failure")
    assert frames[-1] == "_run"  # nothing of what happened inside of the loop


@pytest.mark.parametrize(
    ("method", "arguments", "expected", "found"),
    [
        ("expect_says", ("bye",), "the words 'bye'", "said '9 to 17'"),
        ("expect_heard_as", ("bye",), "the user to be heard as", "'Are you open on Monday?'"),
        ("expect_tool", ("opening_hours", {"day": "Sunday"}), '{"day": "Sunday"}', '"day": "Monday"'),
        ("expect_tool", ("other",), "a call of other", "the calls were opening_hours"),
        ("expect_no_tool", (), "no call of any tool", "opening_hours"),
        ("expect_no_tool", ("opening_hours",), "no call of opening_hours", "Monday"),
        ("expect_heard", (5_000,), "at least 5000 ms", "heard: 420 ms"),
        ("expect_interrupted", (), "an interruption", "nothing was cut off"),
        ("expect_interrupted", (10, 20), "after 10 to 20 ms", "nothing was cut off"),
        ("expect_state", ("error",), "to be error", "the agent is ready"),
        ("expect_ended", (), "the call to end", "it did not end"),
        ("expect_ended", ("expired",), "with the reason expired", "it did not end"),
    ],
)
def test_each_expectation_can_fail(method: str, arguments: tuple[Any, ...], expected: str, found: str) -> None:
    with Conversation(Receptionist, RULES, within_s=6) as call:
        call.user_says("Are you open on Monday?")
        with pytest.raises(ExpectationFailed) as failed:
            getattr(call, method)(*arguments)
    assert expected in failed.value.expected
    assert found in failed.value.found


def test_other_tools_may_be_called_where_one_is_not_to_be() -> None:
    with Conversation(Receptionist, RULES) as call:
        call.user_says("Are you open on Monday?")
        call.expect_no_tool("burn_down")


def test_only_what_came_after_the_users_last_deed_counts() -> None:
    with Conversation(Receptionist) as call:
        call.expect_says("good morning")
        call.user_types("Hi")
        with pytest.raises(ExpectationFailed, match="'I heard: Hi'"):
            call.expect_says("good morning", within_s=5)


def test_errors_of_the_service_are_found() -> None:
    with Conversation(Quiet, [("fail", Fail("out of order", "boom"))]) as call:
        call.expect_no_errors()
        call.user_types("Please fail.")
        call.expect_state("error")
        with pytest.raises(ExpectationFailed, match="out of order"):
            call.expect_no_errors()


def test_a_tool_that_fails_is_an_error() -> None:
    class Broken(VoiceAgent):
        @tool
        def opening_hours(self, day: str, polite: bool) -> str:
            """It is broken."""
            raise OSError("no diary")

    with Conversation(Broken, RULES) as call:
        call.user_types("Are you open on Monday?")
        call.expect_tool("opening_hours")
        with pytest.raises(ExpectationFailed, match="ToolFinished"):
            call.expect_no_errors()


def test_the_end_of_the_call_is_awaited_with_its_reason() -> None:
    with Conversation(Quiet, options=Options(max_session_s=5)) as call:
        call.expect_ended(EndReason.EXPIRED)
        with pytest.raises(ExpectationFailed, match="it ended with expired"):
            call.expect_ended("hung_up")


def test_an_end_that_nobody_expected_comes_out() -> None:
    with pytest.raises(SessionLostError) as lost:
        with Conversation(Quiet, options=Options(max_session_s=5)) as call:
            call.user_waits(10_000)
    assert "session_expired" in lost.value.__notes__[0]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda call: call.expect_state("sleepy"), "no State"),
        (lambda call: call.expect_ended("because"), "no EndReason"),
        (lambda call: call.expect_says(), "one text"),
        (lambda call: call.expect_says("a", matching="b"), "one text"),
        (lambda call: call.expect_says(matching="("), "no regular expression"),
        (lambda call: call.expect_says(similar="a", score=2), "no similarity"),
        (lambda call: call.expect_heard_as("?!"), "no words"),
    ],
)
def test_an_expectation_that_makes_no_sense(make: Any, match: str) -> None:
    with Conversation(Quiet) as call:
        with pytest.raises(ConfigurationError, match=match):
            make(call)


# --- likeness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("like", "text", "holds"),
    [
        (Like("closed on sunday"), "We're CLOSED, on Sunday!", True),
        (Like("closed on sunday"), "on Sunday we are closed", False),
        (Like("clos"), "closed", False),
        (Like("Straße"), "Die STRASSE ist zu", True),
        (Like(matching=r"^we.*d$"), "WE are closed", True),
        (Like(similar="we are closed on Sunday"), "We are closed on Sunday.", True),
        (Like(similar="we are closed on Sunday"), "we are open on Sunday", True),  # 4 of 5 words
        (Like(similar="we are closed on Sunday", score=0.9), "we are open on Sunday", False),
    ],
)
def test_what_is_like_what(like: Like, text: str, holds: bool) -> None:
    assert like.holds(text) is holds


# --- the agent -------------------------------------------------------------------------------------------------


def test_an_agent_a_class_or_a_function_that_makes_one() -> None:
    ready = Quiet("https://example.services.ai.azure.com", "key")
    for agent in (Quiet, ready, lambda: Quiet("emulator"), Quiet.from_env):
        with Conversation(agent) as call:
            call.user_types("Hi")
            call.expect_says("Hi")
    assert call.agent is not ready


@pytest.mark.parametrize("agent", [int, "hello.py", lambda: None])
def test_what_is_no_agent(agent: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no agent"):
        with Conversation(agent):
            pass


def test_a_tool_in_a_thread_takes_its_real_time_and_an_asynchronous_one_none() -> None:
    class Busy(VoiceAgent):
        @tool(timeout_s=30)
        def work(self) -> str:
            """In a thread."""
            time.sleep(0.2)
            return "done"

        @tool(timeout_s=3600)
        async def doze(self) -> str:
            """On the loop."""
            await asyncio.sleep(60)
            return "awake"

    with Conversation(Busy, [("work", Call("work", {})), ("doze", Call("doze", {}))], within_s=100) as call:
        call.user_types("work")
        call.expect_says("done")
        call.user_types("doze")
        call.expect_says("awake")
        call.expect_no_errors()
    finished = [event for event in call.events if type(event).__name__ == "ToolFinished"]
    assert 0 < finished[0].elapsed_ms < 30_000  # as long as the loop waits for the thread
    assert finished[1].elapsed_ms == 60_000


def test_what_a_hook_raises_comes_out_of_the_step_with_the_conversation() -> None:
    class Touchy(VoiceAgent):
        def on_user_spoke(self, event: UserSpoke) -> None:
            raise LookupError("no such word")

    def talk() -> None:
        with Conversation(Touchy) as call:
            call.user_says("Hello there")
            call.expect_says("hello")

    with pytest.raises(LookupError, match="no such word") as raised:
        talk()
    assert "user:   says 'Hello there'" in raised.value.__notes__[0]


def test_hooks_have_seen_what_is_expected() -> None:
    class Noting(VoiceAgent):
        heard = ""

        async def on_user_spoke(self, event: UserSpoke) -> None:
            await asyncio.sleep(0.01)
            self.heard = event.text

    with Conversation(Noting) as call:
        call.user_says("Remember me.")
        call.expect_heard_as("remember me")
        assert isinstance(call.agent, Noting)
        assert call.agent.heard == "Remember me."


def test_an_agent_that_hangs_up() -> None:
    class Curt(VoiceAgent):
        def on_user_spoke(self, event: UserSpoke) -> None:
            self.stop()

    with Conversation(Curt) as call:
        call.user_says("Hello there")
        call.expect_ended("stopped")


def test_another_failure_in_the_conversation_is_told_with_it() -> None:
    def talk() -> None:
        with Conversation(Receptionist) as call:
            call.expect_says("good morning")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        talk()
    assert "agent:  'Good morning!'" in raised.value.__notes__[0]


def test_an_agent_is_asked_for_its_credential_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_VOICELIVE_ENDPOINT", raising=False)
    with Conversation(VoiceAgent) as call:
        call.expect_state("ready")
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", "https://mine.example")
    with Conversation(VoiceAgent) as call:
        call.expect_state("ready")


# --- the answers -----------------------------------------------------------------------------------------------


def test_answers_are_rules_a_brain_or_the_path_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "answers.yaml"
    script.write_text("rules: [{when: anything, say: Yes.}]")
    for answers in ([("", "Yes.")], ScriptedBrain([("", "Yes.")]), script, str(script)):
        with Conversation(Quiet, answers) as call:
            call.user_types("Really?")
            call.expect_says("yes")


def test_a_model_that_thinks_for_long_takes_no_time() -> None:
    with Conversation(Quiet, [("think", [Wait(5_000), "Forty-two."])]) as call:
        call.user_types("Think!")
        call.expect_says("forty")
    states = [event.new for event in call.events if isinstance(event, StateChanged)]
    assert State.PROCESSING in states


def test_options_and_the_model_are_those_of_the_session() -> None:
    class Sonorous(VoiceAgent):
        target = "gpt-realtime"

    with Conversation(Sonorous, options=Options(latency="service")) as call:
        call.user_says("Hello there")
        call.expect_says("hello")
    [started] = [event for event in call.events if type(event).__name__ == "SessionStarted"]
    assert "gpt-realtime" in started.granted["model"]


# --- its life --------------------------------------------------------------------------------------------------


def test_a_conversation_is_held_once() -> None:
    conversation = Conversation(Quiet)
    with pytest.raises(RuntimeError, match="has not begun"):
        conversation.user_says("Hi")
    with conversation:
        pass
    with pytest.raises(RuntimeError, match="is over"):
        conversation.user_says("Hi")
    with pytest.raises(RuntimeError, match="another one"):
        with conversation:
            pass


@pytest.mark.parametrize("kind", ["slow", -1, True, float("inf")])
def test_a_time_that_is_none(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no time"):
        with Conversation(Quiet, time=kind):
            pass


def test_a_wait_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="within_s=0"):
        Conversation(Quiet, within_s=0)


def test_a_call_that_does_not_begin_in_time() -> None:
    with pytest.raises(ExpectationFailed, match="the call to begin"):
        with Conversation(Quiet, options=Options(latency="service"), within_s=0.01):
            pass


def test_a_call_that_cannot_begin() -> None:
    class Refused(VoiceAgent):
        config = SessionConfig(extra={"voice": {"type": "azure-standard"}})

    with pytest.raises(SessionLostError):
        with Conversation(Refused) as call:
            call.user_waits(100)
