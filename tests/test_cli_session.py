"""One call of ``talk``, piece by piece, in this process: what ends it, what the keys do, and what it opens."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import pytest

from voicelive_agent import Interrupted, State, VoiceAgent, cli, devices
from voicelive_agent.audio import AudioFormat
from voicelive_agent.cli import _emulated, talk
from voicelive_agent.cli._emulated import ENDPOINT, emulated
from voicelive_agent.cli._options import Audio
from voicelive_agent.cli._reload import Watch, forget, users_modules
from voicelive_agent.cli._screen import View
from voicelive_agent.cli._session import Session, told
from voicelive_agent.cli._transcript import Line
from voicelive_agent.config import ModelTarget
from voicelive_agent.errors import AudioDeviceError, ConfigurationError
from voicelive_agent.events import Event, SessionStarted
from voicelive_agent.files import WavSink
from voicelive_agent.testing import MemorySink, connect

from .agent_driver import LONG, Microphone, Recorder
from .agent_driver import emulated as session_of
from .test_lifecycle import SIGNALS


class Screen:
    """Writes down what is shown, and presses a key when something holds."""

    interval_s = 0.01

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.lines: list[Line] = []
        self.views: list[View] = []
        self.threads: set[int] = set()
        self.log: list[str] = []

    def __enter__(self) -> Self:
        self.log.append("on")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.log.append("off")

    def show(self, lines: Sequence[Line], view: View) -> None:
        self.threads.add(threading.get_ident())
        self.lines += lines
        self.views.append(view)

    @property
    def view(self) -> View:
        """How things stand."""
        return self.views[-1] if self.views else View(State.CONNECTING, (), -120, -120, muted=False, keys=True)

    @property
    def text(self) -> list[str]:
        return [f"{line.label}: {line.text}" for line in self.lines]


class Keyboard:
    """Presses each key as soon as its condition holds."""

    def __init__(self, *presses: tuple[Callable[[], object], str]) -> None:
        self.presses = presses
        self.log: list[str] = []

    def __enter__(self) -> Self:
        self.log.append("on")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.log.append("off")

    async def __aiter__(self) -> AsyncIterator[str]:
        for holds, keys in self.presses:
            with anyio.fail_after(20):
                while not holds():  # noqa: ASYNC110 - nothing tells
                    await anyio.sleep(0.005)
            for key in keys:
                yield key


class Talkative(Recorder):
    greeting = LONG

    def __init__(self, *rules: Any, **more: Any) -> None:
        super().__init__(connect(session_of(*rules)), **more)


@pytest.fixture
def air(monkeypatch: pytest.MonkeyPatch) -> Air:
    return Air(monkeypatch)


class Air:
    """A sound card of objects: what is opened with which arguments, and what is heard."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failure: Exception | None = None
        air = self

        class FakeDevice:
            def __init__(self, *arguments: Any, **options: Any) -> None:
                air.log.append((type(self).__name__, arguments, options))
                super().__init__()

            @property
            def device(self) -> str:
                return f"a {type(self).__name__}"

            async def __aenter__(self) -> Self:
                if air.failure is not None:
                    raise air.failure
                return self

            async def __aexit__(self, *exc_info: object) -> None:
                air.log.append((f"close {type(self).__name__}", (), {}))

        class FakeMicrophone(FakeDevice, Microphone):
            pass

        class FakeSpeaker(FakeDevice, MemorySink):
            pass

        class FakeSoundCard(FakeDevice):
            microphone = Microphone()
            speaker = MemorySink(AudioFormat())

        monkeypatch.setattr(devices, "Microphone", FakeMicrophone)
        monkeypatch.setattr(devices, "Speaker", FakeSpeaker)
        monkeypatch.setattr(devices, "SoundCard", FakeSoundCard)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.log]


# --- what ends it -----------------------------------------------------------------------------------------------


def hold(
    agent: VoiceAgent | None, *presses: tuple[Callable[[], object], str], **more: Any
) -> tuple[Session, Screen]:
    """One call with these keys."""
    screen = more.pop("screen", None) or Screen()
    keyboard = Keyboard(*presses)
    session = Session(agent, Audio(), screen=screen, keyboard=keyboard, **more)
    assert session.run() == more.get("code", 0)
    assert keyboard.log == ["on", "off"]
    assert screen.log == ["on", "off"]
    return session, screen


@pytest.mark.usefixtures("air")
def test_q_hangs_up(air: Air) -> None:
    agent = Talkative()
    session, screen = hold(agent, (lambda: agent.state is State.SPEAKING, "q"), notes=["A note."])
    assert session.began
    assert session.failure is None
    assert screen.text[:4] == [
        ": A note.",
        ": Microphone: a FakeMicrophone.",
        ": Speaker: a FakeSpeaker.",
        ": Connected.",
    ]
    assert screen.text[-1] == ": Ended: stopped."
    assert screen.lines[-3].cut
    assert air.names[-2:] == ["close FakeMicrophone", "close FakeSpeaker"]
    assert threading.get_ident() in screen.threads  # the last lines
    assert len(screen.threads) > 1  # all others


@pytest.mark.usefixtures("air")
def test_space_interrupts() -> None:
    agent = Talkative()
    _, screen = hold(
        agent,
        (lambda: agent.state is State.SPEAKING, " "),
        (lambda: agent.all(Interrupted), "q"),
    )
    (line,) = [line for line in screen.lines if line.label == "agent"]
    assert line.cut
    assert (line.text + line.unheard).strip() == LONG.strip()


@pytest.mark.usefixtures("air")
def test_m_mutes_and_unmutes() -> None:
    agent, screen = Talkative(), Screen()
    hold(
        agent,
        (lambda: agent.state is State.SPEAKING, "m"),
        (lambda: screen.view.muted, "m"),
        (lambda: not screen.view.muted, "q"),
        screen=screen,
    )
    assert [text for text in screen.text if "uted" in text] == [": Muted.", ": Not muted any more."]


@pytest.mark.usefixtures("air")
def test_t_types() -> None:
    agent, screen = Talkative(), Screen()
    agent.greeting = None
    hold(
        agent,
        (lambda: agent.state is State.READY, "thelx"),
        (lambda: screen.view.typed == "helx", "\x7flo \x00mq?\r"),
        (lambda: any(line.label == "agent" for line in screen.lines), "t\x1b"),
        (lambda: screen.view.typed is None, "t \n"),
        (lambda: screen.view.typed is None, "q"),
        screen=screen,
    )
    assert screen.text[3:5] == ["you: hello mq?", "agent: I heard: hello mq?"]
    assert len([line for line in screen.lines if line.label == "you"]) == 1


@pytest.mark.usefixtures("air")
def test_what_cannot_be_shown_cannot_be_typed() -> None:
    agent = Talkative()
    agent.greeting = None
    _, screen = hold(agent, (lambda: agent.state is State.READY, "tq"), screen=Screen(live=False))
    assert all(view.typed is None for view in screen.views)


@pytest.mark.usefixtures("air")
def test_help_comes_and_goes_and_other_keys_do_nothing() -> None:
    agent, screen = Talkative(), Screen()
    hold(
        agent,
        (lambda: agent.state is State.SPEAKING, "x?"),
        (lambda: screen.view.help, "h"),
        (lambda: not screen.view.help, "\x04"),
        screen=screen,
    )


def test_keys_that_come_too_early_or_too_late_do_nothing() -> None:
    watch, screen = Watch(), Screen()
    hold(None, (lambda: True, " imt?"), (lambda: screen.views, "q"), screen=screen, watch=watch)
    assert screen.text == [": Waiting for a change of the code."]
    assert all(view.typed is None and not view.muted for view in screen.views)


@pytest.mark.usefixtures("air")
def test_a_call_that_ends_while_somebody_types() -> None:
    agent, screen = Talkative(), Screen()
    agent.greeting = None
    hold(
        agent,
        (lambda: agent.state is State.READY, "thello"),
        (lambda: screen.view.typed == "hello" and (agent.stop() or True), ""),
        (lambda: agent.state is State.CLOSED, "\r"),
        (lambda: True, "q"),
        screen=screen,
        watch=Watch(),
    )
    assert not [line for line in screen.lines if line.label == "you"]


@SIGNALS
@pytest.mark.usefixtures("air")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (getattr(signal, "SIGHUP", 1), 129)], ids=str)
def test_signals_hang_up(number: int, code: int) -> None:
    ended: list[Event] = []

    class Signalled(Talkative):
        def on_session_started(self, event: SessionStarted) -> None:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)  # the first one counts

        def on_session_ended(self, event: Event) -> None:
            ended.append(event)

    session = Session(Signalled(), Audio(), screen=Screen())
    assert session.run() == code
    assert session.failure is None
    assert len(ended) == 1  # the hooks have seen the end


@SIGNALS
@pytest.mark.usefixtures("air")
def test_what_does_not_end_politely_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Talkative):
        async def on_session_started(self, event: SessionStarted) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep(60)

    session = Session(Hanging(), Audio(), screen=Screen())
    assert session.run() == 143


@SIGNALS
@pytest.mark.usefixtures("air")
def test_ctrl_z_gives_the_terminal_back_and_takes_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kill, stopped = os.kill, list[int]()

    def stop_or_kill(process: int, number: int) -> None:
        if number == signal.SIGSTOP:
            stopped.append(number)
            assert (screen.log[-1], keyboard.log[-1]) == ("off", "off")
            agent.stop()
        else:
            kill(process, number)

    class Suspended(Talkative):
        def on_session_started(self, event: SessionStarted) -> None:
            kill(os.getpid(), signal.SIGTSTP)

    agent, screen, keyboard = Suspended(), Screen(), Keyboard()
    monkeypatch.setattr(os, "kill", stop_or_kill)
    assert Session(agent, Audio(), screen=screen, keyboard=keyboard).run() == 0
    assert stopped == [signal.SIGSTOP]
    assert screen.log == keyboard.log == ["on", "off", "on", "off"]


@SIGNALS
@pytest.mark.usefixtures("air")
def test_ctrl_c_is_a_keyboard_interrupt_after_the_end() -> None:
    class Interrupting(Talkative):
        def on_session_started(self, event: SessionStarted) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    screen, keyboard = Screen(), Keyboard()
    with pytest.raises(KeyboardInterrupt):
        Session(Interrupting(), Audio(), screen=screen, keyboard=keyboard).run()
    assert screen.text[-1] == ": Ended: stopped."
    assert screen.log == keyboard.log == ["on", "off"]


@pytest.mark.usefixtures("air")
def test_where_loops_have_no_signals_it_works_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*numbers: int) -> None:
        raise NotImplementedError

    monkeypatch.setattr(anyio, "open_signal_receiver", refuse)
    agent = Talkative()
    hold(agent, (lambda: agent.state is State.SPEAKING, "q"))


@pytest.mark.usefixtures("air")
def test_a_changed_file_ends_it_without_an_exit_code(tmp_path: Path) -> None:
    file, watch = tmp_path / "hello.py", Watch()
    file.write_text("1")
    watch.add([file])

    class Editing(Talkative):
        def on_session_started(self, event: SessionStarted) -> None:
            file.write_text("one")

    screen = Screen()
    assert Session(Editing(), Audio(), screen=screen, watch=watch).run() is None
    assert ": Changed: hello.py." in screen.text


def test_what_a_device_says_is_the_failure(air: Air) -> None:
    air.failure = AudioDeviceError("There is no sound card.")
    session, screen = hold(Talkative())
    assert session.failure is air.failure
    assert not session.began
    assert screen.text == []


def test_a_reader_that_has_gone_is_the_failure(air: Air) -> None:
    class Broken(Screen):
        def show(self, lines: Sequence[Line], view: View) -> None:
            if threading.current_thread() is not threading.main_thread():
                raise BrokenPipeError

    session = Session(Talkative(), Audio(), screen=Broken())
    assert session.run() == 1
    assert isinstance(session.failure, BrokenPipeError)


@pytest.mark.usefixtures("air")
def test_both_sides_have_a_level() -> None:
    agent, screen = Talkative(), Screen()
    hold(agent, (lambda: screen.views and screen.view.speaker_dbfs > -20, "q"), screen=screen)
    assert screen.view.speaker_dbfs == screen.view.microphone_dbfs == -120  # when it is over


@pytest.mark.usefixtures("air")
def test_devices_that_are_being_closed_have_no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing takes a while, and the screen goes on meanwhile."""
    screen = Screen()

    class Closing(devices.Speaker):
        closed = False

        @property
        def pending(self) -> int:
            if self.closed:
                raise RuntimeError("The sound card is closed.")
            return super().pending

        async def __aexit__(self, *exc_info: object) -> None:
            self.closed = True
            shown = len(screen.views)
            with anyio.fail_after(20):
                while len(screen.views) < shown + 3:  # noqa: ASYNC110 - nothing tells
                    await anyio.sleep(0.005)

    monkeypatch.setattr(devices, "Speaker", Closing)
    session, _ = hold(Talkative(), (lambda: screen.views and screen.view.speaker_dbfs > -20, "q"), screen=screen)
    assert session.failure is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("Wrong.", hint="Mend it."), "Wrong. Mend it."),
        (OSError(28, "full"), "OSError: [Errno 28] full."),
    ],
)
def test_how_an_error_is_told(error: Exception, text: str) -> None:
    assert told(error) == text


# --- what it opens ----------------------------------------------------------------------------------------------


async def opened(audio: Audio) -> tuple[Any, Any]:
    async with AsyncExitStack() as stack:
        return await audio.open(stack)


@pytest.mark.usefixtures("air")
async def test_a_recording_that_the_disk_did_not_take_is_told_in_a_sentence(tmp_path: Path) -> None:
    stack = AsyncExitStack()
    _, sink = await Audio(sink=str(tmp_path / "answer.wav")).open(stack)
    assert isinstance(sink, WavSink)
    sink.error = OSError(28, "No space left on device")
    with pytest.raises(ConfigurationError, match=r"Cannot write to .*answer\.wav: No space left on device\."):
        await stack.aclose()


async def test_microphone_and_speaker(air: Air) -> None:
    await opened(Audio(input=3, output="Head", reopen=True))
    assert air.log[:2] == [
        ("FakeSpeaker", ("Head",), {"on_loss": "reopen"}),
        ("FakeMicrophone", (3,), {"on_loss": "reopen"}),
    ]
    assert air.names[2:] == ["close FakeMicrophone", "close FakeSpeaker"]


async def test_half_duplex_tells_the_microphone_of_the_speaker(air: Air) -> None:
    _, sink = await opened(Audio(half_duplex=True))
    options = {"on_loss": "raise", "half_duplex": sink, "echo_cancellation": None}
    assert air.log[1] == ("FakeMicrophone", (None,), options)


async def test_an_echo_reference_needs_both_on_one_clock(air: Air) -> None:
    source, sink = await opened(Audio(input=1, output=2, echo_reference=True, half_duplex=True))
    options = {"echo_reference": True, "half_duplex": True, "on_loss": "raise"}
    assert air.log[0] == ("FakeSoundCard", (1, 2), options)
    assert isinstance(source, Microphone)
    assert isinstance(sink, MemorySink)


def test_one_side_may_be_a_file(tmp_path: Path) -> None:
    Audio(sink=str(tmp_path / "a.wav"), input=3, reopen=True)
    Audio(source=str(tmp_path / "a.wav"), output=3, reopen=True)


@pytest.mark.parametrize(
    ("audio", "echoes"),
    [
        (Audio(), True),
        (Audio(half_duplex=True), False),
        (Audio(echo_reference=True), False),
        (Audio(source="a"), False),
        (Audio(sink="a"), False),
    ],
)
def test_whether_the_agent_may_hear_itself(audio: Audio, echoes: bool) -> None:
    assert audio.echoes is echoes


# --- the emulator -----------------------------------------------------------------------------------------------


@pytest.fixture
def speechless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_emulated, "missing_packages", lambda: ["hibari-tts"])


@pytest.mark.usefixtures("speechless")
@pytest.mark.parametrize("before", [None, "https://elsewhere.example"])
def test_while_it_is_served_the_environment_names_it(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if before is None:
        monkeypatch.delenv(ENDPOINT, raising=False)
    else:
        monkeypatch.setenv(ENDPOINT, before)
    said: list[str] = []
    with emulated(said.append) as url:
        assert os.environ[ENDPOINT] == url
        assert VoiceAgent.from_env()._settings.endpoint == url
    assert os.environ.get(ENDPOINT) == before
    assert "hibari-tts" in said[0]
    assert 'pip install "voicelive-agent[emulator]"' in said[1]


def test_with_the_speech_packages_they_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_emulated, "missing_packages", list)
    monkeypatch.setattr(_emulated, "load_speech", lambda: (None, None, None))
    said: list[str] = []
    with emulated(said.append):
        assert said == ["Loading ears, brain and voice of the emulator ..."]


@pytest.mark.usefixtures("speechless", "air")
def test_an_agent_is_pointed_at_the_emulator_though_it_was_made_for_another_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_modules: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere.py").write_text(
        "from voicelive_agent import VoiceAgent\n"
        "class Brief(VoiceAgent):\n"
        "    def on_session_started(self, event):\n"
        "        self.stop()\n"
        "agent = Brief('https://elsewhere.example', 'secret', target='gpt-4o')\n"
    )
    assert cli.main(["talk", "elsewhere.py", "--emulator"]) == 0
    agent = sys.modules["elsewhere"].agent
    assert agent._settings.endpoint.startswith("http://127.0.0.1:")
    assert agent._settings.credential is None
    assert agent._settings.target == ModelTarget("gpt-4o")
    out = capsys.readouterr().out
    assert "Brief of elsewhere.py, on the emulator." in out
    assert "The emulator cancels no echo of what it has sent: use headphones, --echo-reference or" in out
    assert out.strip().endswith("Ended: stopped.")


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    yield
    forget(users_modules(tmp_path, ()))


@pytest.mark.usefixtures("speechless", "air", "own_modules")
def test_a_hook_that_raises_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing.py").write_text(
        "from voicelive_agent import VoiceAgent\n"
        "class Failing(VoiceAgent):\n"
        "    def on_session_started(self, event):\n"
        "        raise LookupError('in a hook')\n"
    )
    assert cli.main(["talk", "failing.py", "--emulator"]) == 1
    assert capsys.readouterr().err.splitlines()[:2] == [
        "voicelive-agent: LookupError: in a hook.",
        '  File "failing.py", line 4, in on_session_started',
    ]


@pytest.mark.usefixtures("speechless", "air", "own_modules")
def test_reload_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    brief = (
        "from voicelive_agent import VoiceAgent\n"
        "class Brief(VoiceAgent):\n"
        "    def on_session_started(self, event):\n"
        "        import os, pathlib, signal\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    (tmp_path / "changing.py").write_text("x = = 1\n")

    changed = Watch.changed

    def repair(self: Watch) -> Any:
        monkeypatch.setattr(Watch, "changed", changed)
        (tmp_path / "changing.py").write_text(brief)
        return changed(self)

    monkeypatch.setattr(Watch, "changed", repair)
    assert cli.main(["talk", "changing.py", "--emulator", "--reload"]) == 143
    out = capsys.readouterr().out
    assert "error:   changing.py, line 1: invalid syntax: 'x = = 1'." in out
    assert "Changed: changing.py." in out
    assert "Connected." in out


# --- what comes of it ----------------------------------------------------------------------------------------


class Outcome:
    """A session that is over at once, and how it was."""

    def __init__(self, code: int | None = 0, failure: Exception | None = None, *, began: bool = True) -> None:
        self.code, self.failure, self.began = code, failure, began
        self.notes: list[str] = []

    def __call__(self, agent: VoiceAgent | None, audio: Audio, *, notes: list[str], **more: Any) -> Outcome:
        self.notes = notes
        return self

    def run(self) -> int | None:
        return self.code


def talk_once(outcome: Outcome, monkeypatch: pytest.MonkeyPatch, **options: Any) -> int:
    monkeypatch.setenv(ENDPOINT, "emulator")
    monkeypatch.setattr(talk, "Session", outcome)
    return talk.talk(talk.Options(**options))


@pytest.mark.parametrize("code", [0, 143])
def test_the_exit_code_is_that_of_the_session(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert talk_once(Outcome(code), monkeypatch) == code


def test_a_call_that_failed_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk_once(Outcome(143, AudioDeviceError("It is gone.")), monkeypatch) == 1
    assert capsys.readouterr().err == "voicelive-agent: It is gone.\n"
    assert talk_once(Outcome(0, OSError("broken"), began=False), monkeypatch) == 1
    assert capsys.readouterr().err == "voicelive-agent: OSError: broken.\n"


@pytest.mark.parametrize("failure", [AudioDeviceError("There is none."), BrokenPipeError()])
def test_what_kept_it_from_beginning_is_raised(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(failure)):
        talk_once(Outcome(0, failure, began=False), monkeypatch)


@pytest.mark.parametrize("keyboard", [None, Keyboard()])
def test_keys_are_explained_where_there_are_any(
    keyboard: Keyboard | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "open_keyboard", lambda: keyboard)
    outcome = Outcome()
    talk_once(outcome, monkeypatch)
    assert (talk.KEYS in outcome.notes) == (keyboard is not None)
    assert outcome.notes[0] == "Assistant."


def test_the_next_call_has_the_new_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_modules: None
) -> None:
    target = tmp_path / "changing.py"
    greetings = []

    class Changing(Outcome):
        def __call__(self, agent: VoiceAgent | None, *rest: Any, watch: Watch, **more: Any) -> Outcome:
            greetings.append(agent and agent.greeting)
            self.code = 0 if len(greetings) == 3 else None
            return self

        def run(self) -> int | None:
            target.write_text("x = = 1" if len(greetings) == 1 else code.replace("first", "third"))
            return self.code

    code = "from voicelive_agent import VoiceAgent\nclass Changing(VoiceAgent):\n    greeting = 'first'\n"
    target.write_text(code)
    assert talk_once(Changing(), monkeypatch, target=str(target), reload=True) == 0
    assert greetings == ["first", None, "third"]


def test_what_is_saved_while_it_is_loaded_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_modules: None
) -> None:
    class Watched(Outcome):
        def __call__(self, agent: VoiceAgent | None, *rest: Any, watch: Watch, **more: Any) -> Outcome:
            changed.extend(anyio.run(watch.changed))
            return self

    changed: list[Path] = []
    target = tmp_path / "changing.py"
    target.write_text(
        "import os, time\n"
        "from voicelive_agent import VoiceAgent\n"
        "os.utime(__file__, ns=(0, time.time_ns()))\n"
        "class Changing(VoiceAgent):\n"
        "    pass\n"
    )
    os.utime(target, ns=(0, 0))
    assert talk_once(Watched(), monkeypatch, target=str(target), reload=True) == 0
    assert changed == [target.resolve()]


def test_the_built_in_agent_knows_the_time() -> None:
    agent = talk.Assistant("emulator")
    hour, minute = map(int, agent.current_time().split(":"))
    assert 0 <= hour < 24
    assert 0 <= minute < 60
