"""Scenarios in YAML: what they may say, and what is said about one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicelive_agent import VoiceAgent, tool
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.testing.scenario import STEPS, load_scenarios

AUDIO = Path(__file__).parents[1] / "data" / "audio"
ANSWERS = r"""
answers:
  - when: {matches: 'open on (\w+)'}
    call: opening_hours
    arguments: {day: '\1'}
  - when: {output_of: opening_hours}
    say: 'We are \0.'
  - when: anything
    say: Pardon?
"""


class Receptionist(VoiceAgent):
    @tool
    def opening_hours(self, day: str) -> str:
        """When it is open."""
        return "closed"


def written(folder: Path, text: str, name: str = "scenario.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def fault(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_scenarios(written(folder, text))
    return str(refused.value).replace(str(folder), "").lstrip("/\\")


# --- the words -------------------------------------------------------------------------------------------------


def test_the_steps_are_the_methods_of_a_conversation() -> None:
    assert {words: " ".join(parameters) for words, parameters in STEPS.items()} == {
        "user says": "text",
        "user plays": "recording transcript",
        "user waits": "ms",
        "user types": "text",
        "user presses": "keys",
        "user interrupts": "text after_ms",
        "user hangs up": "",
        "expect says": "words matching similar score within_s",
        "expect heard as": "words matching similar score within_s",
        "expect tool": "name arguments within_s",
        "expect no tool": "name within_s",
        "expect heard": "at_least_ms at_most_ms within_s",
        "expect interrupted": "at_least_ms at_most_ms within_s",
        "expect state": "state within_s",
        "expect ended": "reason within_s",
        "expect no errors": "",
    }


# --- performing ------------------------------------------------------------------------------------------------


def test_all_kinds_of_steps(tmp_path: Path) -> None:
    steps = f"""
    steps:
      - user says: Are you open on Sunday?
      - expect heard as: {{similar: are you open on a sunday}}
      - expect tool: {{name: opening_hours, arguments: {{day: Sunday}}}}
      - expect says: we are closed
      - expect heard: {{at_least_ms: 500, at_most_ms: 2000}}
      - user plays: {{recording: {AUDIO.as_posix()}/goforward.wav, transcript: Go forward.}}
      - expect says: {{matching: 'pardon\\?', within_s: 10}}
      - user interrupts: {{text: Stop., after_ms: 100}}
      - expect interrupted
      - expect interrupted: 50
      - user waits: 3000
      - user presses: 42
      - user types: Hello
      - expect no tool: opening_hours
      - expect no tool
      - expect state: ready
      - expect no errors
      - user hangs up
      - expect ended
      - expect ended: hung_up
    """
    text = f"{ANSWERS}\nscenarios:\n  - name: Everything\n{steps}"
    [scenario] = load_scenarios(written(tmp_path, text))
    assert {step.method.replace("_", " ") for step in scenario.steps} == set(STEPS)
    outcome = scenario.perform(Receptionist)
    assert outcome.failure == ""
    assert outcome.passed
    assert "user:   presses 42" in outcome.story


def test_a_failure_names_the_line_and_the_step(tmp_path: Path) -> None:
    steps = "  - user types: Are you open on Monday?\n  - expect says: {words: open, within_s: 4}\n"
    text = f"{ANSWERS}\nsteps:\n{steps}"
    [scenario] = load_scenarios(written(tmp_path, text))
    outcome = scenario.perform(Receptionist)
    assert outcome.line == text.splitlines().index("  - expect says: {words: open, within_s: 4}") + 1
    assert outcome.place == f"{tmp_path / 'scenario.yaml'}:{outcome.line}"
    assert outcome.failure.splitlines() == [
        "expect says: words open, within_s 4",
        "expected: the agent to say the words 'open'",
        "but:      the agent said 'We are closed.' (the agent is ready, after 4 s)",
    ]
    assert "user:   types 'Are you open on Monday?'" in outcome.story


def test_what_the_agent_raises_is_a_failure_of_its_scenario(tmp_path: Path) -> None:
    class Touchy(VoiceAgent):
        def on_agent_spoke(self, event: object) -> None:
            raise LookupError("no such word")

    [scenario] = load_scenarios(
        written(tmp_path, "steps: [user types: Hi, expect state: processing, user waits: 9]")
    )
    outcome = scenario.perform(Touchy)
    assert "the agent raised LookupError: no such word" in outcome.failure


def test_an_agent_that_cannot_be_made_is_a_failure_without_a_story(tmp_path: Path) -> None:
    def make() -> VoiceAgent:
        raise ConfigurationError("no key")

    [scenario] = load_scenarios(written(tmp_path, "steps: [user types: Hi]"))
    outcome = scenario.perform(make)
    assert (outcome.failure, outcome.story, outcome.line) == ("user types: Hi\nno key", "", 1)


def test_a_call_that_is_lost_is_a_failure(tmp_path: Path) -> None:
    text = "options: {max_session_s: 2}\nsteps: [user waits: 5000]"
    [scenario] = load_scenarios(written(tmp_path, text))
    assert "session_expired" in scenario.perform(Receptionist).failure


# --- files -----------------------------------------------------------------------------------------------------


def test_what_a_scenario_leaves_out_the_file_says(tmp_path: Path) -> None:
    written(tmp_path, "rules: [{when: anything, say: Aha.}]", "answers.yaml")
    text = """
agent: hello.py
answers: answers.yaml
model: gpt-realtime
within_s: 7
scenarios:
  - name: One
    steps: [user types: Hi, expect says: aha]
  - agent: other.py:Name
    model: gpt-4.1
    time: real
    speech: false
    options: {latency: service}
    answers: [{when: anything, say: Oh.}]
    steps: [user types: Hi, expect says: oh]
"""
    one, two = load_scenarios(written(tmp_path, text))
    assert (one.name, one.agent, one.line) == ("One", "hello.py", 7)
    assert one.setting == {"model": "gpt-realtime", "within_s": 7.0}
    assert (two.name, two.agent, two.line) == ("scenario", "other.py:Name", 9)
    assert two.setting["options"].latency == "service"
    assert {name: two.setting[name] for name in ("model", "time", "speech", "within_s")} == {
        "model": "gpt-4.1",
        "time": "real",
        "speech": False,
        "within_s": 7.0,
    }
    assert one.perform(VoiceAgent).failure == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "scenario.yaml: is no mapping. Begin with `agent:`"),
        ("[]", "scenario.yaml: is no mapping"),
        ("steps: {", "line 1: not valid YAML"),
        (
            "agent: x.py\nstep: []",
            "line 2, step: is not known. Known here: agent, answers, options, model, speech",
        ),
        ("agent: x.py\nsteps: []", "line 2, steps: is no list of steps"),
        ("agent: x.py", "steps: is no list of steps"),
        ("scenarios: []", "line 1, scenarios: is no list of scenarios"),
        ("scenarios: [7]", "line 1, scenarios, scenario 1: is no mapping"),
        ("scenarios: [{name: A, stepz: []}]", "Did you mean 'steps'?"),
        ("steps:\n- user sings: La", "line 2, steps, step 1, user sings: is not known"),
        ("steps:\n- user say: La", "Did you mean 'user says'?"),
        ("steps:\n- expect no error", "Did you mean 'expect no errors'?"),
        ("steps:\n- 7", "line 2, steps, step 1: is not one step"),
        ("steps:\n- {user says: A, user types: B}", "line 2, steps, step 1: is not one step"),
        ("steps:\n- user says", "line 2, steps, step 1: 'user says' has no 'text'"),
        ("steps:\n- user says: 42", "step 1, text: must be a text, not 42. Put it in quotes"),
        ("steps:\n- user says: {txt: A}", "Did you mean 'text'?"),
        ("steps:\n- user waits: soon", "must be a number greater than 0, not 'soon'"),
        ("steps:\n- user waits: .nan", "must be a number greater than 0"),
        ("steps:\n- user presses: 12x", "'12x' are no keys of a telephone"),
        ("steps:\n- user hangs up: now", "'user hangs up' takes nothing"),
        ("steps:\n- expect state: redy", "does not know 'redy'. Known here: connecting, ready"),
        ("steps:\n- expect state: redy", "Did you mean 'ready'?"),
        ("steps:\n- expect ended: hangup", "does not know 'hangup'"),
        ("steps:\n- expect tool: {arguments: {}}", "'expect tool' has no 'name'"),
        ("steps:\n- expect tool: {name: a, arguments: 7}", "must be a mapping, not 7"),
        ("steps:\n- expect says: {matching: '('}", "'(' is no regular expression"),
        ("steps:\n- expect says: {words: a, similar: b}", "is compared with one text"),
        ("steps:\n- expect says: {similar: a, score: 3}", "A score of 3"),
        ("steps: [user hangs up]\nname: 7", "line 2, name: must be a text, not 7"),
        ("steps: [user hangs up]\nagent: [x]", "line 2, agent: must be a text"),
        ("steps: [user hangs up]\nmodel: 7", "line 2, model: must be a str"),
        ("steps: [user hangs up]\nspeech: loud", "line 2, speech: must be a bool"),
        ("steps: [user hangs up]\ntime: slow", "line 2, time: must be a number"),
        ("steps: [user hangs up]\nwithin_s: 0", "line 2, within_s: must be a number greater than 0"),
        ("steps: [user hangs up]\noptions: fast", "line 2, options: must be a mapping"),
        ("steps: [user hangs up]\noptions: {latncy: none}", "Did you mean 'latency'?"),
        ("steps: [user hangs up]\noptions: {latency: some}", "Options.latency must be one of"),
        ("steps: [user hangs up]\nanswers:\n- {when: anything}", "line 3"),
        ("steps: [user hangs up]\nanswers: [{when: anything, sey: Yes}]", "Did you mean 'say'?"),
        ("steps: [user hangs up]\nanswers: missing.yaml", "missing.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_the_fix(tmp_path: Path, text: str, told: str) -> None:
    assert told in fault(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_scenarios(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_scenarios(tmp_path / "binary.yaml")
