"""Scripts: what they answer in a session, and what is said about a wrong one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from voicelive_agent.emulator import Call, EmulatorSession, Fail, Say, Script, Turn, Wait, _script_file
from voicelive_agent.errors import ConfigurationError

from .driver import Driver, every, noise, only

EXAMPLES = Path(__file__).parents[2] / "examples" / "emulator_script"
TOOL = {"type": "function", "name": "get_weather"}


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": text}]}


def call(name: str, call_id: str = "c") -> dict[str, Any]:
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": "{}"}


def output(text: str, call_id: str = "c") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def load(tmp_path: Path, text: str, name: str = "answers.yaml") -> Script:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return Script.load(path)


def answers(script: Script, *items: Mapping[str, Any], **turn: Any) -> list[Any]:
    return list(script.answer(Turn(items, **turn)))


def rules(tmp_path: Path, text: str) -> Script:
    return load(tmp_path, f"rules:\n{text}")


# --- When -------------------------------------------------------------------------------------------------


def test_the_first_rule_that_applies_answers(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: {matches: hello}, say: One.}\n  - {when: anything, say: Two.}")
    assert answers(script, user("Oh, HELLO there")) == [Say("One.")]
    assert answers(script, user("Bye")) == [Say("Two.")]


def test_exact_words_ignore_case_and_punctuation_but_no_word_more(tmp_path: Path) -> None:
    script = rules(
        tmp_path, "  - {when: {says: [yes please, of course]}, say: Good.}\n  - {when: anything, say: Hm.}"
    )
    assert answers(script, user("Yes, please!")) == [Say("Good.")]
    assert answers(script, user(" Of course. ")) == [Say("Good.")]
    assert answers(script, user("yes please not")) == [Say("Hm.")]


def test_the_nth_turn_counts_what_the_user_said(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: {turn: 2}, say: Second.}\n  - {when: anything, say: Other.}")
    assert answers(script, user("a")) == [Say("Other.")]
    assert answers(script, user("a"), said("Other."), user("b")) == [Say("Second.")]


def test_a_start_is_an_answer_before_the_user_has_spoken(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: start, say: Welcome.}")
    assert answers(script) == [Say("Welcome.")]
    assert answers(script, {**user("x"), "role": "system"}) == [Say("Welcome.")]


def test_a_sound_without_words(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: nothing, say: 'Pardon?'}\n  - {when: anything, say: Ah.}")
    heard = {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": ""}]}
    assert answers(script, heard) == [Say("Pardon?")]
    assert answers(script, user("x")) == [Say("Ah.")]


def test_outputs_of_functions_by_name_and_text(tmp_path: Path) -> None:
    script = rules(
        tmp_path,
        "  - {when: {output_of: a, matches: 'error (.*)'}, say: 'Sorry: \\1'}\n"
        "  - {when: {output_of: a}, say: 'A says \\0'}\n"
        "  - {when: output, say: 'Some: \\0'}",
    )
    assert answers(script, user("x"), call("a"), output("error 7")) == [Say("Sorry: 7")]
    two = [call("a", "1"), call("b", "2"), output("fine", "1"), output("ok", "2")]
    assert answers(script, user("x"), said("One moment."), *two) == [Say("A says fine"), Say("Some: ok")]


def test_an_output_that_a_further_call_has_answered_is_not_answered_again(tmp_path: Path) -> None:
    script = rules(
        tmp_path,
        "  - {when: {output_of: a}, call: b, arguments: {of: '\\0'}}\n"
        "  - {when: {output_of: b}, say: 'B says \\0'}",
    )
    first = [call("a", "1"), output("fine", "1")]
    assert answers(script, user("x"), *first) == [Call("b", {"of": "fine"})]
    assert answers(script, user("x"), *first, call("b", "2"), output("ok", "2")) == [Say("B says ok")]


def test_an_mcp_result_is_an_output(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: {output_of: find}, say: 'Found: \\0'}")
    item = {"type": "mcp_call", "id": "m", "name": "find", "arguments": "{}"}
    assert answers(script, user("x"), {**item, "output": "7"}) == [Say("Found: 7")]
    assert answers(script, user("x"), {**item, "error": {"message": "down"}}) == [Say("Found: down")]


def test_a_result_that_was_answered_is_not_answered_again(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: {output_of: find}, say: 'Found: \\0'}")
    first = {"type": "mcp_call", "id": "m", "name": "find", "arguments": "{}", "output": "7"}
    both = user("x"), first, {**first, "id": "n", "output": "8"}
    assert answers(script, *both) == [Say("Found: 7"), Say("Found: 8")]
    assert answers(script, *both, answered={"m"}) == [Say("Found: 8")]


def test_a_silence_is_a_rule_of_its_own(tmp_path: Path) -> None:
    script = rules(
        tmp_path, "  - {when: {silence_ms: 3000}, say: 'Hello?'}\n  - {when: {silence_ms: 900}, say: Hm.}"
    )
    assert script.silences_ms == (900, 3000)
    assert answers(script, user("x"), said("y"), silence_ms=3000.0) == [Say("Hello?")]


# --- Then -------------------------------------------------------------------------------------------------


def test_groups_fill_texts_and_arguments(tmp_path: Path) -> None:
    text = r"""
  - when: {matches: '(\w+) in (?P<city>\w+)( please)?'}
    do:
      - say: 'A \1 for \g<city>\3. \d stays.'
      - call: get
        arguments: {what: '\1', where: [{city: '\g<city>'}], n: 2}
"""
    call = Call("get", {"what": "room", "where": [{"city": "Rome"}], "n": 2})
    assert answers(rules(tmp_path, text), user("a room in Rome")) == [Say(r"A room for Rome. \d stays."), call]


def test_every_step(tmp_path: Path) -> None:
    text = """
  - when: anything
    do: [One., {say: Two., realtime_factor: 0.5}, {wait_ms: 250}, {call: f}, {fail: Broken., code: overloaded}]
"""
    wanted = [Say("One."), Say("Two.", 0.5), Wait(250), Call("f", {}), Fail("Broken.", "overloaded")]
    assert answers(rules(tmp_path, text), user("x")) == wanted


def test_one_of_several_in_turn_counts_in_the_conversation(tmp_path: Path) -> None:
    script = rules(
        tmp_path, "  - {when: {says: a}, in_turn: [One., [Two., Three.]]}\n  - {when: anything, say: Other.}"
    )
    past = [user("a"), said("One."), user("b"), said("Other.")]
    assert answers(script, user("a")) == [Say("One.")]
    assert answers(script, *past, user("A!")) == [Say("Two."), Say("Three.")]
    assert answers(script, *past, user("a"), said("."), user("a")) == [Say("One.")]
    # Another session, or the same answer asked for again, changes nothing.
    assert answers(script, *past, user("A!")) == [Say("Two."), Say("Three.")]


def test_starts_and_silences_are_in_turn_too(tmp_path: Path) -> None:
    script = rules(
        tmp_path, "  - {when: start, in_turn: [One., Two.]}\n  - {when: {silence_ms: 1}, in_turn: [A., B.]}"
    )
    assert answers(script, said("One.")) == [Say("Two.")]
    assert answers(script, user("x"), said("y"), silence_ms=1.0) == [Say("B.")]


def test_what_no_rule_is_for_fails_and_names_it(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: {says: a}, say: A.}")
    for items, words in (
        ([user("b")], 'turn 1 of the user: "b"'),
        ([], "when: start"),
        ([user("a"), call("f"), output("1")], "the output of f: 1"),
    ):
        [fail] = answers(script, *items)
        assert isinstance(fail, Fail)
        assert fail.code == "no_rule"
        assert words in fail.message
        assert "answers.yaml" in fail.message
    assert "a silence of 5 ms" in answers(script, silence_ms=5.0)[0].message


def test_no_calls_where_the_session_forbids_them(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: anything, do: [Moment., {call: f}]}")
    assert answers(script, user("x"), tool_choice="none") == [Say("Moment.")]


def test_an_exact_instruction_is_obeyed(tmp_path: Path) -> None:
    script = rules(tmp_path, "  - {when: anything, say: No.}")
    assert answers(script, user("x"), request={"instructions": 'Say exactly: "Yes."'}) == [Say("Yes.")]


# --- In a session -----------------------------------------------------------------------------------------


def example(name: str) -> Driver:
    script = Script.load(EXAMPLES / name)
    return Driver(brain=script, ears=script.ears())


def transcripts(events: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["transcript"] for each in every(list(events), "response.audio_transcript.done")]


STILL = "Are you still there?"
"""What the example says once after each answer, as soon as time passes."""


def test_the_weather_example_in_a_spoken_session() -> None:
    driver = example("weather.yaml")
    driver.update(tools=[TOOL])
    assert transcripts(driver.ask("response.create")) == ["Hello! Ask me about the weather.", STILL]
    events = driver.speak()
    assert transcripts(events) == ["One moment.", STILL]
    done = only(events, "response.function_call_arguments.done")
    assert (done["name"], json.loads(done["arguments"])) == ("get_weather", {"city": "Rome"})
    item = {"type": "function_call_output", "call_id": done["call_id"], "output": "sunny"}
    driver.ask("conversation.item.create", item=item)
    assert transcripts(driver.ask("response.create")) == ["The weather is: sunny."]
    assert "weather vane" in transcripts(driver.speak())[0]
    assert transcripts(driver.speak()) == ["You are welcome.", STILL]
    assert transcripts(driver.speak()) == ["One moment.", STILL]  # the transcripts begin again


def test_a_failure_in_a_session() -> None:
    driver = example("weather.yaml")
    done = next(every(driver.say("It is broken"), "response.done"))["response"]
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["code"] == "rate_limit_exceeded"
    assert done["status_details"]["error"]["message"] == "The model is overloaded."


def test_the_python_example_in_a_session() -> None:
    driver = example("booking.py")
    driver.update(tools=[{"type": "function", "name": "book"}])
    assert transcripts(driver.ask("response.create")) == ["Good evening, how many are you?"]
    assert transcripts(driver.speak()) == ["At what time?"]
    done = only(driver.speak(), "response.function_call_arguments.done")
    assert json.loads(done["arguments"]) == {"people": 2, "time": "20:00"}


SILENCES = """
  - {when: {silence_ms: 3000}, say: 'Hello?'}
  - {when: {silence_ms: 5000}, say: I hang up.}
  - {when: anything, say: Ah.}
"""


def spoken_at(driver: Driver, after: int = 0) -> list[tuple[float, str]]:
    """What was said, and how many seconds after the end of what was heard before."""
    found, heard = [], 0.0
    for at, event in driver.log[after:]:
        if event["type"] == "response.created":
            began = at
        if event["type"] == "response.audio_transcript.done":
            found.append((round(began - heard, 3), event["transcript"]))
            heard = at + len(event["transcript"]) * 0.06 // 0.001 / 1000
    return found


def test_each_silence_is_spoken_into_once_after_what_was_heard(tmp_path: Path) -> None:
    driver = Driver(brain=rules(tmp_path, SILENCES))
    driver.say("a")
    assert [each[1] for each in spoken_at(driver)] == ["Ah.", "Hello?", "I hang up."]
    gaps = [each[0] for each in spoken_at(driver)[1:]]
    assert gaps == pytest.approx([3.0, 5.0], abs=0.02)
    after = len(driver.log)
    driver.say("b")  # and then again
    assert [each[1] for each in spoken_at(driver, after)] == ["Ah.", "Hello?", "I hang up."]


def test_who_speaks_breaks_the_silence(tmp_path: Path) -> None:
    script = rules(tmp_path, SILENCES)
    driver = Driver(brain=script)
    driver.send("response.create")
    driver.say("a")
    driver.log.clear()
    driver.send("conversation.item.create", item=user("b"))
    driver.wait(60)
    assert transcripts(driver.events) == []  # nothing is counted until there was an answer
    driver.send("response.create")
    driver.wait(2)
    assert transcripts(driver.speak()) == ["Ah.", "Hello?", "I hang up."]


def test_without_such_rules_silence_is_silence(tmp_path: Path) -> None:
    driver = Driver(brain=rules(tmp_path, "  - {when: anything, say: Ah.}"))
    driver.say("a")
    assert driver.wait(600) == []


def test_ears_of_their_own_for_every_session(tmp_path: Path) -> None:
    script = load(tmp_path, "transcripts: [One, Two]\nrules: []")
    loud = noise(0.5, 16_000)
    first, second = script.ears(), script.ears()
    assert first is not None
    assert second is not None
    assert [first.transcribe(loud).text for _ in range(3)] == ["One", "Two", "One"]
    assert second.transcribe(loud).text == "One"
    assert load(tmp_path, "rules: []").ears() is None


def test_rules_in_python(tmp_path: Path) -> None:
    script = load(tmp_path, "rules = [{'when': {'says': 'a'}, 'say': 'A' * 3}]\ntranscripts = ('a',)", "r.py")
    assert answers(script, user("a")) == [Say("AAA")]
    assert script.ears() is not None
    assert EmulatorSession(brain=script, ears=script.ears())


GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "emulator-answers.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_scripts_of_the_guide_are_scripts(tmp_path: Path) -> None:
    [yaml] = fenced("yaml")
    script = load(tmp_path, yaml)
    assert answers(script, user("The weather in Rome?")) == [
        Say("One moment."),
        Call("get_weather", {"city": "Rome"}),
    ]
    assert answers(script, user("Thanks!")) == [Say("You are welcome.")]
    booking = load(tmp_path, fenced("python")[0], "booking.py")
    assert answers(booking, user("x")) == [Call("book_table", {"people": 2})]
    assert answers(booking, call("book_table"), output("ok")) == [Say("Your table is booked.")]


def test_the_error_of_the_guide_is_that_of_the_loader(tmp_path: Path) -> None:
    [shown] = fenced("text")
    text = "transcripts:\n  - a\n\nrules:\n  - when: start\n    say: a\n\n  - when: start\n    sey: a"
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    for part in shown.strip().split(" ... "):
        assert part.strip() in str(caught.value)


def test_every_condition_and_step_is_in_the_guide() -> None:
    words = [*_script_file._STEPS, *_script_file._SEVERAL, *_script_file._WORDS, *_script_file._CONDITIONS]
    beside = [name for names in _script_file._STEPS.values() for name in names]
    for word in (*words, *beside):
        assert re.search(rf"`(\{{)?{word}\b", GUIDE), word


# --- Wrong scripts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is not a mapping"]),
        ("rules: {a: 1}", ["line 1, rules: must be a list"]),
        ("transcripts: [a]", ["has no 'rules'"]),
        ("rules: []\ntranscript: [a]", ["line 2, transcript: is not known", "Did you mean 'transcripts'?"]),
        ("rules: []\ntranscripts: [a, yes]", ["line 2, transcripts, 2: must be a text, not True", "quotes"]),
        ("rules: []\ntranscripts: a", ["line 2, transcripts: must be a list"]),
        ("rules:\n  - hello", ["line 2, rule 1: must be a mapping"]),
        ("rules:\n  - say: a", ["line 2, rule 1: has no 'when'"]),
        ("rules:\n  - when: anything", ["rule 1: does nothing", "say, call"]),
        ("rules:\n  - {when: anything, say: a, call: b}", ["rule 1: has 'say' and 'call'", "'do'"]),
        ("rules:\n  - when: anything\n    sey: a", ["line 3, rule 1, sey: is not known", "Did you mean 'say'?"]),
        ("rules:\n  - {when: allways, say: a}", ["when: does not know 'allways'"]),
        ("rules:\n  - {when: anythin, say: a}", ["Did you mean 'anything'?"]),
        ("rules:\n  - {when: [a], say: a}", ["when: must be a word or a mapping"]),
        ("rules:\n  - {when: {say: a}, say: a}", ["when, say: is not known", "Did you mean 'says'?"]),
        ("rules:\n  - {when: {says: yes}, say: a}", ["says: must be a text, not True", "quotes"]),
        ("rules:\n  - {when: {says: '!'}, say: a}", ["says: has no words"]),
        ("rules:\n  - {when: {says: []}, say: a}", ["says: is empty"]),
        ("rules:\n  - {when: {says: a, matches: a}, say: a}", ["'says' as well as 'matches'"]),
        ("rules:\n  - {when: {matches: '('}, say: a}", ["matches: is not a regular expression"]),
        ("rules:\n  - {when: {turn: 0}, say: a}", ["turn: must be 1, 2, 3 ..., not 0"]),
        ("rules:\n  - {when: {silence_ms: -1}, say: a}", ["silence_ms: must be a number greater than 0"]),
        ("rules:\n  - {when: {silence_ms: 9, says: a}, say: a}", ["'silence_ms' beside words"]),
        ("rules:\n  - {when: {matches: 'a(b)'}, say: '\\2'}", ["refers to the group '2'", "Its groups are: 1"]),
        ("rules:\n  - {when: anything, call: f, arguments: {a: '\\g<x>'}}", ["the group 'x'", "are: none"]),
        ("rules:\n  - {when: anything, call: f, arguments: a}", ["arguments: must be a mapping"]),
        ("rules:\n  - {when: anything, call: f, arguments: {d: 2026-01-01}}", ["arguments: is not JSON"]),
        ("rules:\n  - {when: anything, say: a, code: b}", ["code: is not known", "say, realtime_factor"]),
        ("rules:\n  - {when: anything, say: a, realtime_factor: 0}", ["realtime_factor: must be a number"]),
        ("rules:\n  - {when: anything, wait_ms: .inf}", ["wait_ms: must be a number greater than 0, not inf"]),
        ("rules:\n  - {when: anything, fail: [a]}", ["fail: must be a text"]),
        ("rules:\n  - {when: anything, do: []}", ["do: must be a list"]),
        ("rules:\n  - {when: anything, do: [a, 5]}", ["do, step 2: must be a text or a mapping, not 5"]),
        ("rules:\n  - {when: anything, do: [{}]}", ["do, step 1: does nothing"]),
        ("rules:\n  - {when: anything, do: [{cal: f}]}", ["step 1, cal: is not known", "Did you mean 'call'?"]),
        ("rules:\n  - {when: anything, do: [a], in_turn: [b]}", ["has 'do' and 'in_turn'"]),
        ("rules:\n  - {when: anything, do: [a], code: b}", ["code: is not known"]),
        ("rules:\n  - {when: anything, in_turn: [a, [b, 5]]}", ["in_turn, step 2, step 2: must be a text"]),
        ("rules: []\nrules: []", ["line 2: 'rules' is there twice"]),
        ("1: a", ["line 1: the key 1 is not a text"]),
        ("rules: &a [*a]", ["line 1: the alias contains itself"]),
        ('rules:\n  - {when: anything, say: "\\d"}', ["line 2: not valid YAML", "single quotes"]),
        ("rules: [", ["not valid YAML"]),
    ],
)
def test_a_wrong_yaml_script_says_where_and_how_to_mend_it(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "answers.yaml") in str(caught.value)
    assert caught.value.hint
    for each in words:
        assert each in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules = [", ["line 1: is not Python"]),
        ("import os\n\nraise OSError('x')", ["line 3: raises OSError: x"]),
        ("x = 1", ["has no 'rules'"]),
        ("answer = 3", ["has an 'answer' that is no function"]),
        ("def answer(turn): ...\nrules = []", ["has 'rules' as well as 'answer'"]),
        ("rules = [{'when': 'anything', 'say': 1}]", ["rule 1, say: must be a text, not 1"]),
    ],
)
def test_a_wrong_python_script_says_where(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, "answers.py")
    for each in words:
        assert each in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Script.load(tmp_path / "no.yaml")


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    text = "rules:\n  - &a {when: {says: a}, say: A.}\n  - {<<: *a, when: anything}"
    assert answers(load(tmp_path, text), user("b")) == [Say("A.")]


def test_without_the_yaml_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicelive_agent.emulator._script_yaml.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"voicelive-agent\[scenarios\]"):
        load(tmp_path, "rules: []")
