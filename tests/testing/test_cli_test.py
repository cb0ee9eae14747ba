"""``voicelive-agent test``: what it prints, what it reports, and its exit code."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from voicelive_agent.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "testing" / "scenarios"
AGENT = """
from voicelive_agent import VoiceAgent

class Echo(VoiceAgent):
    pass
"""
GOOD = "agent: echo.py\nscenarios:\n- {name: Good one, steps: [user types: Hi, expect says: hi]}\n"
BAD = """agent: echo.py
scenarios:
- name: "Bad \\x07 one"
  steps:
  - user types: <Hi> & bye
  - expect says: {words: ho, within_s: 3}
- name: Third
  steps: [user types: Hi]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AZURE_VOICELIVE_ENDPOINT", raising=False)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "echo.py").write_text(AGENT, encoding="utf-8")
    return tmp_path


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_the_example_passes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    assert main(["test", str(EXAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["passed", "passed", "2"]
    assert "opening_hours.yaml:14  Sundays" in lines[0]


def test_a_failure_is_shown_with_its_place_and_the_conversation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "a.yaml", GOOD)
    add(folder, "b.yml", BAD)
    assert main(["test", "."]) == 1
    out = capsys.readouterr().out
    assert "passed  a.yaml:3  Good one  (" in out
    assert "FAILED  b.yml:6  Bad" in out
    assert "    expected: the agent to say the words 'ho'\n" in out
    assert "user:   types '<Hi> & bye'" in out
    assert "user:   types 'Hi'" not in out  # of what passed, nothing is shown
    assert out.splitlines()[-1] == "2 passed, 1 failed"


def test_it_can_stop_at_the_first_failure_and_show_everything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "a.yaml", GOOD)
    add(folder, "b.yaml", BAD)
    assert main(["test", ".", "--fail-fast", "--verbose"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "1 passed, 1 failed, 1 not tried"
    assert "user:   types 'Hi'" in out


def test_the_report_is_what_others_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(folder, "deep/a.yaml", GOOD.replace("echo.py", "../echo.py"))
    add(folder, "deep/b.yaml", BAD.replace("echo.py", "../echo.py"))
    assert main(["test", "deep", "--junit", "reports/junit.xml"]) == 1
    root = xml.parse(folder / "reports" / "junit.xml").getroot()
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "0")
    one, two = root
    assert (one.get("name"), one.get("tests"), one.get("failures")) == ("deep/a.yaml", "1", "0")
    assert float(one.get("time") or "") >= 0
    assert (one[0].get("name"), one[0].get("classname"), one[0].find("failure")) == ("Good one", "deep.a", None)
    bad = two[0]
    assert bad.get("name") == "Bad � one"
    assert bad.get("line") == "6"
    failure = bad.find("failure")
    assert failure is not None
    assert failure.get("message") == "expected: the agent to say the words 'ho'"
    assert "deep/b.yaml:6: expect says" in (failure.text or "").replace("\\", "/")
    assert "types '<Hi> & bye'" in (failure.text or "")


def test_a_word_chooses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(folder, "a.yaml", GOOD)
    add(folder, "b.yaml", BAD)
    assert main(["test", ".", "-k", "THIRD"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed"
    assert main(["test", ".", "-k", "fourth"]) == 2
    assert "No scenario has 'fourth' in its name. There are 'Good one'" in capsys.readouterr().err


def test_the_target_may_be_named_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(folder, "other.py", AGENT + "agent = Echo()\n")
    add(folder, "a.yaml", "steps: [user types: Hi, expect says: hi]")
    assert main(["test", "a.yaml"]) == 2
    assert "a.yaml, line 1: nobody says which agent is tested" in capsys.readouterr().err
    assert main(["test", "a.yaml", "other.py"]) == 0
    assert main(["test", "a.yaml", "other:Echo"]) == 0


@pytest.mark.parametrize(
    ("files", "arguments", "told"),
    [
        ({}, ["."], "there are no scenarios in it"),
        ({}, ["missing.yaml"], "cannot be read"),
        ({"a.yaml": "steps: [user sing: La]"}, ["."], "a.yaml, line 1, steps, step 1, user sing: is not known"),
        ({"a.yaml": "steps: 7", "b.yaml": "7", "c.yaml": GOOD}, ["."], "2 files are wrong."),
        ({"a.yaml": GOOD.replace("echo.py", "missing.py")}, ["."], "missing.py: there is no such file"),
        ({"a.yaml": GOOD}, [".", "--junit", "echo.py/x.xml"], "Cannot write to echo.py/x.xml"),
    ],
)
def test_what_is_wrong_is_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], arguments: list[str], told: str
) -> None:
    for name, text in files.items():
        add(folder, name, text)
    assert main(["test", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_an_agent_file_is_loaded_once_and_each_scenario_has_an_agent_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "counting.py", AGENT.replace("    pass", "    made = 0") + COUNTING)
    text = "agent: counting.py:Counting\nscenarios:\n"
    for number in (1, 2):
        text += f"- {{name: '{number}', steps: [expect says: number {number}]}}\n"
    add(folder, "a.yaml", text)
    assert main(["test", "a.yaml"]) == 0, capsys.readouterr().out


COUNTING = """
class Counting(Echo):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        type(self).made += 1
        self.greeting = f"This is number {self.made}."
"""
