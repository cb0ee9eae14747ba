"""What a TARGET on the command line means, and what is said about one that cannot be used."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voicelive_agent import ConfigurationError, VoiceAgent
from voicelive_agent.cli._reload import forget, users_modules
from voicelive_agent.cli._target import Target, explained, find, parse

HEAD = "from voicelive_agent import VoiceAgent\n"
ONE = HEAD + "class Receptionist(VoiceAgent):\n    greeting = 'Hello.'\n"
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and nothing of what is loaded stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", "emulator")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget(users_modules(tmp_path, ()))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of Python below the current folder."""

    def write(code: str, name: str = "hello.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return path

    return write


def made(text: str) -> VoiceAgent:
    return find(parse(text)).make()


def fault(text: str) -> str:
    """What is said about a target that cannot be used."""
    with pytest.raises(ConfigurationError) as refused:
        made(text)
    return str(refused.value)


# --- what a target says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("hello.py", Target(Path("hello.py"), "")),
        ("hello.py:Name", Target(Path("hello.py"), "Name")),
        ("./sub/hello.py:make_agent", Target(Path("sub/hello.py"), "make_agent")),
        ("agents", Target("agents", "")),
        ("my.agents", Target("my.agents", "")),
        ("my.agents:Name", Target("my.agents", "Name")),
        ("my.agents:Outer.Inner", Target("my.agents", "Outer.Inner")),
    ],
)
def test_a_target_is_a_file_or_a_module_and_perhaps_a_name(text: str, target: Target, write: Write) -> None:
    write(ONE)
    write(ONE, "sub/hello.py")
    assert parse(text) == target
    assert str(parse(text)) == text.removeprefix("./")


def test_a_file_needs_no_suffix_if_it_is_there(write: Write) -> None:
    write(ONE, "receptionist")
    assert parse("receptionist") == Target(Path("receptionist"), "")
    assert type(made("receptionist")).__name__ == "Receptionist"


def test_where_the_users_code_is(write: Write, tmp_path: Path) -> None:
    path = write(ONE, "sub/hello.py")
    assert parse("sub/hello.py").root == tmp_path / "sub"
    assert parse("sub/hello.py").files == [path]
    assert parse("agents").root == tmp_path
    assert parse("agents").files == []


def test_the_colon_of_a_drive_is_no_name(write: Write, tmp_path: Path) -> None:
    path = write(ONE, "C:\\agents\\hello.py" if os.name != "nt" else "hello.py")
    name = path.name if os.name != "nt" else str(path)
    assert parse(name) == Target(Path(name), "")
    assert parse(f"{name}:Receptionist") == Target(Path(name), "Receptionist")


@pytest.mark.parametrize("text", ["", "hello world", "hello.py:", "my-agents:Name", ":Name", "9lives"])
def test_what_cannot_be_a_target_is_refused(text: str, write: Write) -> None:
    write(ONE)
    assert fault(text) == f"{text!r} is no target. Write hello.py, hello.py:Name, or module:Name."


# --- what is found ---------------------------------------------------------------------------------------------


def test_the_one_class_of_a_file(write: Write) -> None:
    write(ONE)
    agent = made("hello.py")
    assert type(agent).__name__ == "Receptionist"
    assert agent.greeting == "Hello."


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("agent = Receptionist('emulator', greeting='chosen')", "agent"),
        ("def agent():\n    return Receptionist('emulator', greeting='chosen')", "agent"),
        ("def make_agent():\n    return Receptionist('emulator', greeting='chosen')", "make_agent"),
        ("make_agent = lambda: Receptionist('emulator', greeting='chosen')", "make_agent"),
    ],
)
def test_what_is_called_agent_or_make_agent_wins(code: str, name: str, write: Write) -> None:
    write(f"{ONE}\nclass Another(Receptionist):\n    pass\n{code}\n")
    assert made("hello.py").greeting == "chosen"
    assert find(parse("hello.py")).name == name


def test_a_class_is_made_from_the_environment_each_time(write: Write) -> None:
    write(ONE)
    found = find(parse("hello.py"))
    assert found.make() is not found.make()


def test_what_a_file_imports_is_not_defined_in_it(write: Write) -> None:
    write(ONE, "base.py")
    write("from base import Receptionist\nclass Night(Receptionist):\n    pass\n")
    assert type(made("hello.py")).__name__ == "Night"


def test_something_else_that_is_called_agent_does_not_matter(write: Write) -> None:
    write(ONE + "agent = 'a string'\n")
    assert type(made("hello.py")).__name__ == "Receptionist"


def test_a_name_chooses(write: Write) -> None:
    write(ONE + "class Night(Receptionist):\n    greeting = 'Good night.'\n    class Late(Receptionist): pass\n")
    assert made("hello.py:Night").greeting == "Good night."
    assert type(made("hello.py:Night.Late")).__name__ == "Late"


@pytest.mark.parametrize(
    "text", ["agents", "agents:Receptionist", "pack.agents:Receptionist", "pack:Receptionist"]
)
def test_modules_are_found_from_here(text: str, write: Write) -> None:
    write(ONE, "agents.py")
    write("from .agents import Receptionist", "pack/__init__.py")
    write(ONE, "pack/agents.py")
    assert type(made(text)).__name__ == "Receptionist"


# --- how a file is loaded --------------------------------------------------------------------------------------


def test_a_file_imports_its_neighbours(write: Write) -> None:
    write("GREETING = 'from next door'", "sub/neighbour.py")
    write(ONE + "import neighbour\nReceptionist.greeting = neighbour.GREETING", "sub/hello.py")
    assert made("sub/hello.py").greeting == "from next door"


def test_a_file_is_not_the_main_program(write: Write) -> None:
    write(ONE + "if __name__ == '__main__':\n    raise SystemExit(3)\n")
    made("hello.py")
    assert sys.modules["hello"].Receptionist.__module__ == "hello"


def test_a_file_may_be_called_like_a_module_that_is_there(write: Write) -> None:
    import queue

    write(ONE, "queue.py")
    assert type(made("queue.py")).__name__ == "Receptionist"
    assert sys.modules["queue"] is queue


def test_the_newest_code_counts_though_bytecode_is_of_the_same_second(write: Write) -> None:
    path = write(ONE)
    status = path.stat()
    made("hello.py")
    del sys.modules["hello"]
    write(ONE.replace("Hello.", "Salve."))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert made("hello.py").greeting == "Salve."


# --- what is said ----------------------------------------------------------------------------------------------


def test_no_such_file(write: Write, tmp_path: Path) -> None:
    write(ONE)
    assert fault("helo.py") == "helo.py: there is no such file. Did you mean hello.py?"
    assert fault("sub/x.py") == f"{Path('sub/x.py')}: there is no such file. It was looked for in {tmp_path}."
    (tmp_path / "folder.py").mkdir()
    assert fault("folder.py") == "folder.py is a folder. Name a file in it."


def test_a_recording_is_no_target(tmp_path: Path, write: Write) -> None:
    write(ONE)
    (tmp_path / "question.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    words = "question.wav is no Python code. A recording that is to be the user is --source FILE."
    assert fault("question.wav") == words


def test_a_file_that_cannot_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    write(ONE)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert fault("hello.py") == "hello.py cannot be read: Permission denied. It must be a file that you may read."


def test_no_such_module(write: Write, tmp_path: Path) -> None:
    write("", "pack/__init__.py")
    assert fault("nowhere:Name").startswith(f"There is no module nowhere. It was looked for in {tmp_path} and")
    assert fault("pack.nowhere").startswith("There is no module pack.nowhere.")


def test_a_module_that_misses_another_one_is_shown_where(write: Write) -> None:
    write("import not_installed\n", "agents.py")
    text = fault("agents")
    assert text.startswith("agents raised ModuleNotFoundError: No module named 'not_installed'.")
    assert 'File "agents.py", line 1' in text


def test_a_syntax_error_and_its_line(write: Write) -> None:
    write(HEAD + "\nclass Receptionist(VoiceAgent:\n    pass\n")
    text = fault("hello.py")
    assert text.startswith("hello.py, line 3: ")
    assert text.endswith(": 'class Receptionist(VoiceAgent:'.")
    write("import broken\n", "hello.py")
    write("x = = 1\n", "broken.py")
    assert fault("hello.py") == "broken.py, line 1: invalid syntax: 'x = = 1'."


def test_bytes_that_are_no_text(write: Write, tmp_path: Path) -> None:
    write(ONE)
    (tmp_path / "hello.py").write_bytes(b"x = '\xff'\n")
    assert "hello.py, line " in fault("hello.py")


def test_nothing_found(write: Write) -> None:
    write("from voicelive_agent import VoiceAgent, tool\nx = 1\n")
    assert fault("hello.py") == (
        "hello.py: there is no agent in it. "
        "Define a subclass of VoiceAgent, or a function make_agent() that returns an agent."
    )
    assert fault("hello.py:Name") == "hello.py: there is no Name in it. There is no agent in it."


def test_several_are_listed(write: Write) -> None:
    write(ONE + "class Night(Receptionist):\n    pass\n")
    assert fault("hello.py") == (
        "hello.py: there are several agents in it. Say which one: hello.py:Receptionist or hello.py:Night."
    )
    write(ONE + "agent = make_agent = Receptionist.from_env\n", "both.py")
    assert "both.py:agent or both.py:make_agent" in fault("both.py")


def test_a_wrong_name_lists_what_there_is(write: Write) -> None:
    write(ONE + "def make_agent():\n    return Receptionist()\ndef other():\n    return Receptionist()\n")
    assert fault("hello.py:Nigth") == (
        "hello.py: there is no Nigth in it. There is: Receptionist, make_agent, other."
    )
    assert fault("hello.py:Receptionist.Inner").startswith("hello.py: there is no Receptionist.Inner in it.")


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("thing = 3", "a int"),
        ("class thing: pass", "the class thing"),
        ("thing = VoiceAgent", "the class VoiceAgent"),
        ("import os as thing", "a module"),
    ],
)
def test_a_name_of_something_else(code: str, what: str, write: Write) -> None:
    write(f"{HEAD}{code}\n")
    assert fault("hello.py:thing") == (
        f"hello.py: thing is {what}. "
        "It has to be a subclass of VoiceAgent, an agent, or a function that returns one."
    )


def test_a_class_that_from_env_cannot_make(write: Write) -> None:
    init = "    def __init__(self, name):\n        super().__init__()\n"
    write(ONE + init)
    assert fault("hello.py") == (
        "hello.py: Receptionist.from_env() cannot make one: missing a required argument: 'name'. "
        "Let its __init__ take **arguments and hand them on, or write a function make_agent()."
    )
    write(ONE + init + "    @classmethod\n    def from_env(cls):\n        return cls('one')\n", "own.py")
    assert type(made("own.py")).__name__ == "Receptionist"


def test_a_factory_that_wants_arguments(write: Write) -> None:
    write(HEAD + "def make_agent(name):\n    return VoiceAgent(name)\n")
    text = fault("hello.py")
    assert text.startswith("hello.py: make_agent() cannot be called without arguments: missing a required")
    assert text.endswith("Give them defaults, or write a function make_agent() that knows them.")


def test_a_factory_without_a_signature_is_tried(write: Write) -> None:
    write("factory = vars\n")
    assert fault("hello.py:factory").startswith("hello.py: factory gave a dict, not a VoiceAgent.")


def test_a_factory_that_is_async(write: Write) -> None:
    write(ONE + "async def make_agent():\n    return Receptionist()\n")
    assert fault("hello.py") == ("hello.py: make_agent is async. Make it a plain function that returns the agent.")


def test_a_factory_that_makes_something_else(write: Write) -> None:
    write("def make_agent():\n    return 3\n")
    assert fault("hello.py").startswith("hello.py: make_agent gave a int, not a VoiceAgent.")


def test_a_factory_that_raises_is_shown_in_the_users_lines_only(write: Write) -> None:
    write(
        """
        import json

        def make_agent():
            return read("{")

        def read(text):
            return json.loads(text)
        """
    )
    lines = fault("hello.py").splitlines()
    assert lines[0].startswith("hello.py: make_agent raised JSONDecodeError: Expecting property name")
    assert [line for line in lines[1:] if "File" in line] == [
        '  File "hello.py", line 5, in make_agent',
        '  File "hello.py", line 8, in read',
    ]
    assert lines[2].strip() == 'return read("{")'


def test_code_that_raises_while_it_is_loaded(write: Write) -> None:
    write("\n\n1 / 0\n")
    assert fault("hello.py").splitlines()[:2] == [
        "hello.py raised ZeroDivisionError: division by zero.",
        '  File "hello.py", line 3, in <module>',
    ]
    assert "hello" not in sys.modules


def test_a_program_that_ends_while_it_is_loaded(write: Write) -> None:
    write("raise SystemExit(1)\n")
    assert fault("hello.py") == (
        "hello.py ended the program while it was loaded. "
        'Put what it does when it is run under `if __name__ == "__main__":`.'
    )


def test_an_error_of_ours_is_told_in_its_own_words(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_VOICELIVE_ENDPOINT")
    write(ONE)
    assert fault("hello.py").startswith("AZURE_VOICELIVE_ENDPOINT (or AZURE_VOICE_LIVE_ENDPOINT) is not set")


def test_ctrl_c_while_loading_is_ctrl_c(write: Write) -> None:
    write("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        made("hello.py")
    assert "hello" not in sys.modules


def test_an_error_that_is_nobodys_is_shown_whole() -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        json.loads("{")
    raised.value.__traceback__ = raised.tb.tb_next  # without the line of this test it is Python's own alone
    assert "decoder.py" in explained(raised.value)


def test_an_error_without_words_has_its_name() -> None:
    assert explained(ValueError()) == "ValueError."
