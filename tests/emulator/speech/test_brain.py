"""The rules of the brain, one after the other. No speech package is needed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.emulator.protocols import Action, Call, Say, Turn
from voicelive_agent.emulator.speech.brain import RulesBrain
from voicelive_agent.emulator.speech.words import words_of

Conversation: TypeAlias = list[Mapping[str, Any] | str]
NOW = datetime(2026, 3, 6, 21, 5)
TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def function(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


MOVE = function("move", direction={"enum": ["forward", "backward", "left", "right"]}, meters=NUMBER)
WEATHER = function("get_weather", "The weather in a city.", city=TEXT)
TIME = function("get_time", "The time in a city.", city=TEXT)
LIGHT_ON = function("turn_on_light", room={"enum": ["kitchen", "living room"]})
LIGHT_OFF = function("turn_off_light", room={"enum": ["kitchen", "living room"]})
TOOLS = [MOVE, WEATHER, TIME, LIGHT_ON, LIGHT_OFF]


def user(text: str | None, *, spoken: bool = True) -> dict[str, Any]:
    part = {"type": "input_audio", "transcript": text} if spoken else {"type": "input_text", "text": text}
    return {"type": "message", "role": "user", "content": [part]}


def assistant(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": text}]}


def answer(*said: Mapping[str, Any] | str, **turn: Any) -> list[Action]:
    items = [user(one) if isinstance(one, str) else one for one in said]
    return list(RulesBrain(lambda: NOW).answer(Turn(items, **turn)))


def spoken(*said: Mapping[str, Any] | str, **turn: Any) -> str:
    (action,) = answer(*said, **turn)
    assert isinstance(action, Say)
    return action.text


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("What time is it?", "It is 9:05 PM."),
        ("What's the time?", "It is 9:05 PM."),
        ("What day is it today?", "Today is Friday, March 6, 2026."),
        ("What's the date?", "Today is Friday, March 6, 2026."),
        ("Say good evening, everybody.", "good evening, everybody."),
        ("Please say: I am here.", "I am here."),
        ("Repeat after me, the rain in Spain.", "the rain in Spain."),
        ("Could you repeat the words of the poem?", "the words of the poem?"),
        ("Count to five.", "one, two, three, four, five."),
        ("Can you count from 8 to eleven?", "eight, nine, ten, eleven."),
        ("Count down from three.", "three, two, one."),
        ("Count backwards from 3 to 2", "three, two."),
        ("Count to a million.", "I heard: Count to a million."),
        ("Count to 5,000", "I only count one thousand numbers at a time."),
        ("Count on me.", "I heard: Count on me."),
        ("Hello!", "Hello! How can I help you?"),
        ("Good morning.", "Hello! How can I help you?"),
        ("Thank you very much.", "You are welcome."),
        ("Bye bye.", "Goodbye!"),
        ("Hello my old friend.", "I heard: Hello my old friend."),
        ("10 of clubs.", "I heard: 10 of clubs."),
        ("Never mind.", "I heard: Never mind."),
    ],
)
def test_what_it_says(text: str, reply: str) -> None:
    assert spoken(text) == spoken(user(text, spoken=False)) == reply


def test_midnight_and_noon() -> None:
    for hour, time in ((0, "12:00 AM"), (12, "12:00 PM")):
        brain = RulesBrain(lambda hour=hour: datetime(2026, 3, 6, hour))  # type: ignore[misc]
        assert list(brain.answer(Turn([user("What time is it?")]))) == [Say(f"It is {time}.")]


def test_a_long_sentence_is_read_twice_the_second_time_slowly() -> None:
    sentence = "I would like to tell you a rather long story about Mr. Smith, and a well-known ship"
    assert len(words_of(sentence)) > 12
    assert spoken(sentence) == (
        f"You said: {sentence}. Once more, slowly: I, would, like, to, tell, you, a, rather, long, story, about, "
        "Mr, Smith, and, a, well, known, ship."
    )


def test_nothing_said_yet() -> None:
    assert spoken() == "Hello! How can I help you?"
    assert spoken(
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]}
    ) == ("Hello! How can I help you?")
    assert spoken("Hi.", assistant("Hello!")) == "Is there anything else I can do?"


@pytest.mark.parametrize("text", ["", None, "  "])
def test_speech_without_words(text: str | None) -> None:
    assert spoken(user(text)) == "I did not catch that. Could you say it again?"
    assert spoken(user(text), tools=TOOLS) == "I did not catch that. Could you say it again?"


def test_it_repeats_its_last_answer() -> None:
    assert spoken("Hi.", assistant("Old."), "Hm.", assistant("Good day."), "Please repeat that.") == "Good day."
    assert spoken("Say that again, please.") == "There is nothing to repeat yet."


def test_two_messages_before_an_answer_are_one() -> None:
    assert spoken("One moment,", "please.") == "I heard: One moment, please."


@pytest.mark.parametrize(
    "instructions",
    [
        'Say exactly: "Good night, Ada."',
        "You are kind.\nPlease say exactly “Good night, Ada.”",
        "say exactly Good night, Ada.",
        "Be brief. Say exactly: Good night, Ada.\nThen stop.",
    ],
)
def test_dictated(instructions: str) -> None:
    assert spoken("What time is it?", instructions=instructions) == "Good night, Ada."
    assert spoken("Go left.", tools=TOOLS, request={"instructions": instructions}) == "Good night, Ada."
    assert spoken(instructions='Say exactly: "No."', request={"instructions": instructions}) == "Good night, Ada."


def test_other_instructions_dictate_nothing() -> None:
    assert spoken("Hm.", instructions="Never say exactly what you think.") == "I heard: Hm."


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("Go forward 10 meters.", [("move", {"direction": "forward", "meters": 10})]),
        ("Go backward a hundred and five meters.", [("move", {"direction": "backward", "meters": 105})]),
        ("What's the weather in New York?", [("get_weather", {"city": "New York"})]),
        ("Turn off the light in the living room.", [("turn_off_light", {"room": "living room"})]),
        ("Turn on the kitchen light, please.", [("turn_on_light", {"room": "kitchen"})]),
        (
            "What's the time in Rome and the weather in Paris?",
            [("get_time", {"city": "Rome"}), ("get_weather", {"city": "Paris"})],
        ),
        (
            "Go forward ten meters, then left five meters.",
            [("move", {"direction": "forward", "meters": 10}), ("move", {"direction": "left", "meters": 5})],
        ),
        ("Go left. Five meters.", [("move", {"direction": "left", "meters": 5})]),
    ],
)
def test_calls(text: str, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    assert answer(text, tools=TOOLS) == [Call(name, arguments) for name, arguments in calls]


@pytest.mark.parametrize(
    "text",
    [
        "10 of clubs.",
        "He was not an ill-disposed young man.",
        "Unless to be rather cold-hearted and rather selfish is to be ill-disposed.",
        "And Mr. John Dashwood had then leisure to consider how much there might be prudently in his power.",
    ],
)
def test_no_call_where_nothing_matches(text: str) -> None:
    assert answer(text, tools=TOOLS) == answer(text)


def test_it_asks_for_what_is_missing_until_it_has_it() -> None:
    assert spoken("Move.", tools=TOOLS) == "Please tell me the direction and the meters."
    asked: Conversation = ["Move.", assistant("Please tell me the direction and the meters."), "Left."]
    assert spoken(*asked, tools=TOOLS) == "Please tell me the meters."
    asked += [assistant("Please tell me the meters."), "Five."]
    assert answer(*asked, tools=TOOLS) == [Call("move", {"direction": "left", "meters": 5})]


def test_a_bare_answer_is_the_text_that_was_asked_for() -> None:
    asked: Conversation = ["What's the weather?", assistant(spoken("What's the weather?", tools=TOOLS)), "Paris."]
    assert answer(*asked, tools=TOOLS) == [Call("get_weather", {"city": "Paris"})]


def test_a_question_can_be_dropped() -> None:
    asked: Conversation = ["What's the weather?", assistant("Please tell me the city."), "Never mind."]
    assert spoken(*asked, tools=TOOLS) == "All right."


def test_of_two_functions_that_fit_alike_the_one_with_fewer_gaps_is_called() -> None:
    tools = [function("order", item=TEXT, size=NUMBER), function("Order", item=TEXT)]
    assert answer("Order: tea.", tools=tools) == [Call("Order", {"item": "tea"})]


def test_tool_choice_none() -> None:
    assert spoken("Go left 4 meters.", tools=TOOLS, tool_choice="none") == "I heard: Go left 4 meters."


def test_tool_choice_required_calls_whatever_was_said() -> None:
    assert answer("Hm.", tools=[WEATHER], tool_choice="required") == [Call("get_weather", {"city": "Hm"})]
    assert answer("Rome", tools=TOOLS, tool_choice="required") != []
    assert answer(tools=[MOVE], tool_choice="required") == [Call("move", {})]
    assert spoken("Hm.", tool_choice="required") == "I heard: Hm."


@pytest.mark.parametrize(
    "choice", [{"type": "function", "name": "get_time"}, {"type": "function", "function": {"name": "get_time"}}]
)
def test_tool_choice_named(choice: Mapping[str, Any]) -> None:
    assert answer("The weather in Rome", tools=TOOLS, tool_choice=choice) == [Call("get_time", {"city": "Rome"})]
    assert spoken("Hm.", tools=[MOVE], tool_choice=choice) == "I heard: Hm."


def called(name: str, output: str) -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "call_id": "1", "name": name, "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": output},
    ]


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "name": "move"}])
def test_results_are_spoken_and_not_asked_for_again(choice: Any) -> None:
    items: Conversation = ["Go left 4 meters.", *called("move", json.dumps({"moved": 4}))]
    assert spoken(*items, tools=TOOLS, tool_choice=choice) == "Move: moved 4."


def test_what_is_said_after_a_call_is_answered() -> None:
    call, output = called("move", "done")
    assert spoken("Go left 4 meters.", call, "What time is it?") == "It is 9:05 PM."
    assert spoken("Go left 4 meters.", call, output, "Hm.", tools=TOOLS) == "I heard: Hm."


def test_the_clock_is_the_computers_by_default() -> None:
    before = datetime.now()
    (action,) = RulesBrain().answer(Turn([user("What's the date?")]))
    assert isinstance(action, Say)
    assert any(str(day.day) in action.text for day in (before, datetime.now()))


@given(st.text(), st.sampled_from(["auto", "none", "required"]))
def test_whatever_is_said_it_answers_and_changes_nothing(text: str, choice: str) -> None:
    items = [user(text)]
    tools = copy.deepcopy(TOOLS)
    turn = Turn(items, tools=tools, tool_choice=choice)
    actions = list(RulesBrain(lambda: NOW).answer(turn))
    assert actions
    assert actions == list(RulesBrain(lambda: NOW).answer(turn))
    assert tools == TOOLS
    assert all(isinstance(one, Call) or one.text for one in actions)
