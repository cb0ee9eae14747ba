"""What ``talk`` shows: which lines a conversation becomes, and what they look like with and without rich."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields

import pytest

from voicelive_agent import events as happened
from voicelive_agent.cli._live import LiveScreen, bar, status, written
from voicelive_agent.cli._screen import HELP, PlainScreen, View, open_screen, plain
from voicelive_agent.cli._transcript import MOST_OPEN, Line, Transcript
from voicelive_agent.events import EVENT_TYPES, EndReason, Event, State, StateChanged, Verdict
from voicelive_agent.history import History

rich_console = pytest.importorskip("rich.console")

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Scene:
    """Events on one side, a history on the other, and what the transcript makes of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.history = History()
        self.transcript = Transcript(lambda: self.now)

    def happen(self, *events: Event) -> Scene:
        for event in events:
            self.transcript.observe(event)
        return self

    def hear(self, item_id: str, text: str, heard_ms: int, received_ms: int) -> None:
        """So much of an answer of the agent's was heard."""
        self.history.mention(item_id, "assistant")
        self.history.say(item_id, text, spoken=True)
        self.history.progress(item_id, heard_ms=heard_ms, received_ms=received_ms, complete=True)

    def settled(self, *, over: bool = False) -> list[str]:
        """The settled lines, without their times; what was not heard is struck out with tildes."""
        return [shown(line) for line in self.transcript.settled(self.history, over=over)]

    def open(self) -> list[str]:
        return [shown(line) for line in self.transcript.open(self.history)]


def shown(line: Line) -> str:
    unheard = f"~{line.unheard}~" if line.cut else f"({line.unheard})" if line.unheard else ""
    return f"{line.label}: {line.text}{unheard}"


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- the lines of a conversation --------------------------------------------------------------------------------


def test_the_words_of_the_user_settle_with_their_transcript(scene: Scene) -> None:
    scene.happen(happened.SpeechStarted("u", 0))
    assert (scene.settled(), scene.open()) == ([], ["you: "])
    scene.happen(happened.UserSpeaking("u", "when are"))
    assert (scene.settled(), scene.open()) == ([], ["you: when are"])
    scene.happen(happened.UserSpoke("u", "When are you open?"))
    assert (scene.settled(), scene.open()) == (["you: When are you open?"], [])


def test_the_words_of_the_agent_settle_when_they_were_heard(scene: Scene) -> None:
    scene.happen(happened.AgentSpeaking("a", "From nine"))
    assert (scene.settled(), scene.open()) == ([], ["agent: (From nine)"])
    scene.happen(happened.AgentSpoke("a", "From nine to five."))
    scene.hear("a", "From nine to five.", 500, 1000)
    assert (scene.settled(), scene.open()) == ([], ["agent: From nine( to five.)"])
    scene.hear("a", "From nine to five.", 1000, 1000)
    assert scene.settled() == ["agent: From nine to five."]
    assert scene.settled() == []


def test_what_was_cut_off_is_settled_at_once(scene: Scene) -> None:
    scene.happen(happened.AgentSpeaking("a", "From nine to"), happened.Interrupted("a", 500, 900, "From nine"))
    assert scene.settled() == ["agent: From nine~ to~"]


def test_late_words_of_what_was_cut_off_do_not_come_back(scene: Scene) -> None:
    scene.happen(happened.AgentSpeaking("a", "From nine to"), happened.Interrupted("a", 500, 900, "From nine"))
    scene.happen(happened.AgentSpoke("a", "From nine to five."))
    assert scene.settled() == ["agent: From nine~ to~"]
    scene.happen(happened.AgentSpoke("a", "From nine to five."), happened.Interrupted("a", 1, 2, ""))
    assert (scene.settled(), scene.open()) == ([], [])


def test_a_transcript_that_comes_late_keeps_its_place(scene: Scene) -> None:
    scene.happen(happened.SpeechStarted("u", 0), happened.AgentSpoke("a", "Yes."))
    scene.happen(happened.UserSpoke("u", "Open?"))
    scene.hear("a", "Yes.", 100, 100)
    assert scene.settled() == ["you: Open?", "agent: Yes."]


def test_a_cough_holds_up_nothing(scene: Scene) -> None:
    scene.happen(happened.SpeechStarted("cough", 0), happened.AgentSpoke("a", "Yes."))
    scene.hear("a", "Yes.", 100, 100)
    assert scene.settled() == ["agent: Yes."]
    scene.happen(happened.UserSpoke("cough", "Ahem."))  # it was speech after all
    assert scene.settled() == ["you: Ahem."]


def test_when_it_is_the_users_turn_everything_was_heard(scene: Scene) -> None:
    scene.happen(happened.AgentSpoke("a", "Yes."))
    assert scene.open() == ["agent: (Yes.)"]
    scene.happen(StateChanged(State.SPEAKING, State.READY))
    assert scene.settled() == ["agent: Yes."]


def test_nothing_is_held_up_for_ever(scene: Scene) -> None:
    scene.happen(*(happened.UserSpeaking(f"u{number}", str(number)) for number in range(MOST_OPEN)))
    assert scene.settled() == []
    scene.happen(happened.UserSpoke("late", "late"))
    assert scene.settled() == ["you: 0"]


def test_only_words_wait_for_words(scene: Scene) -> None:
    scene.happen(happened.AgentSpeaking("a", "One"), happened.UserSpoke("u", "Two"), happened.Warned("c", "now"))
    scene.transcript.note("at once")
    assert scene.settled() == ["note: now", ": at once"]
    scene.happen(happened.Interrupted("a", 1, 2, "One"))
    assert scene.settled() == ["agent: One", "you: Two"]


def test_at_the_end_everything_is_told(scene: Scene) -> None:
    scene.happen(happened.AgentSpeaking("a", "One two three"), happened.UserSpeaking("u", "wh"))
    scene.hear("a", "One two three", 500, 1000)
    assert scene.settled() == []
    assert scene.settled(over=True) == ["agent: One~ two three~", "you: wh"]


def test_words_spelt_otherwise_by_their_timestamps(scene: Scene) -> None:
    scene.happen(happened.AgentSpeaking("a", "Straße 5 ist"), happened.Interrupted("a", 1, 2, "Strasse"))
    assert scene.settled() == ["agent: Straße ~5 ist~"]


def test_lines_know_when_they_began(scene: Scene) -> None:
    scene.now = 1.5
    scene.happen(happened.UserSpeaking("u", "hm"))
    scene.now = 3.0
    scene.happen(happened.UserSpoke("u", "Hm."))
    assert [line.at_s for line in scene.transcript.settled(scene.history)] == [1.5]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (happened.SessionStarted("s", {}), ": Connected."),
        (happened.SessionEnded(Verdict(EndReason.SOURCE_FINISHED)), ": Ended: source finished."),
        (happened.SessionEnded(Verdict(EndReason.NETWORK, "reset")), ": Ended: network (reset)."),
        (happened.TranscriptionFailed("u", "no_words", ""), "you: (not transcribed: no_words)"),
        (happened.ToolCalled("c", "look", '{"at": 1}'), 'tool: look {"at": 1}'),
        (happened.ToolFinished("c", "look", "nothing", 12), "tool: look -> nothing, after 12 ms"),
        (happened.ToolFinished("c", "look", "no", 12, "timeout"), "tool: look -> no (timeout), after 12 ms"),
        (happened.ToolUnknown("c", "look", "{}"), "tool: look {} (not a tool of this agent)"),
        (
            happened.ToolApprovalAsked("c", "pay", '{"eur": 1}'),
            'tool: pay {"eur": 1} needs an approval',
        ),
        (happened.ToolApprovalAsked("c", "pay", "{}", "bank"), "tool: bank.pay {} needs an approval"),
        (happened.ToolApprovalAnswered("c", "pay", True), "tool: pay approved"),
        (
            happened.ToolApprovalAnswered("c", "pay", False, "timeout", "bank"),
            "tool: bank.pay not approved (timeout)",
        ),
        (happened.ToolRoundsExceeded(8), "tool: 8 rounds of calls in one turn"),
        (happened.ToolRoundsExceeded(8, ("look",)), "tool: 8 rounds of calls in one turn; not run: look"),
        (happened.McpListed("docs", ("search", "fetch")), "tool: docs has search, fetch"),
        (happened.McpListed("docs", ()), "tool: docs has no tools"),
        (happened.McpListingFailed("docs"), "tool: docs does not tell its tools"),
        (happened.McpListingFailed("docs", "404"), "tool: docs does not tell its tools: 404"),
        (happened.McpCalled("c", "docs", "search", "{}"), "tool: docs.search {}"),
        (happened.McpFinished("c", "docs", "search", "page", 9), "tool: docs.search -> page, after 9 ms"),
        (
            happened.McpFinished("c", "docs", "search", "", 9, "refused"),
            "tool: docs.search -> (refused), after 9 ms",
        ),
        (
            happened.SettingNotGranted("voice.rate", "1.2", None),
            "note: voice.rate was asked for as '1.2', and granted as None",
        ),
        (happened.TurnTooShort(80), "you: (too short to be said: 80 ms)"),
        (happened.TurnTimedOut(60_000), "you: (a turn nobody ended within 60 s)"),
        (happened.DtmfReceived("5"), "you: (pressed 5)"),
        (
            happened.TurnEnded("r", "completed", 900, 757, 505),
            "turn: answered after 757 ms (505 ms of them to notice the end of speech)",
        ),
        (happened.TurnEnded("r", "completed", 900, 757), "turn: answered after 757 ms"),
        (
            happened.TurnEnded("r", "interrupted", 3400, barge_in_ms=103),
            "turn: interrupted after 3.4 s, silent 103 ms after the interruption began",
        ),
        (happened.ServiceFailed("c", "it broke"), "error: the service failed: it broke"),
        (happened.RequestRefused("r", "c", ""), "error: the service refused r: c"),
        (happened.Stalled("an answer", 5000), "error: no sign of an answer for 5 s; not waiting any longer"),
        (happened.AudioRejected("a", 9, "x"), "error: 9 samples of the answer could not be decoded: x"),
        (happened.MessageRejected("x", 9), "error: a message of 9 bytes could not be read: x"),
        (happened.Warned("c", "look out"), "note: look out"),
        (happened.HookFailed("on_x", KeyError("k")), "error: on_x raised KeyError: 'k'"),
        (happened.EventsDropped(3), "error: the hooks are too slow: 3 events were left out"),
        (
            happened.MicrophoneDropped(200),
            "error: the network is too slow: 200 ms of the microphone were left out",
        ),
        (
            happened.SinkStalled(400, 2000),
            "error: the speaker has played nothing for 2 s (400 ms are waiting)",
        ),
        (
            happened.DeviceReopened("input", "A", "B", 300),
            "error: the microphone A is gone; B took its place after 300 ms",
        ),
        (
            happened.DeviceReopened("output", "A", "B", 300),
            "error: the speaker A is gone; B took its place after 300 ms",
        ),
    ],
)  # fmt: skip
def test_everything_else_is_a_line(event: Event, line: str, scene: Scene) -> None:
    assert scene.happen(event).settled() == [line]


@pytest.mark.parametrize(
    "event",
    [
        happened.TurnEnded("r", "completed", 900),  # of a greeting that was heard
        happened.SpeechStopped("u", 100),
        happened.MessageReceived("x", {}),
        happened.Interrupted("never said", 1, 2, ""),
    ],
)
def test_not_everything_is_worth_a_line(event: Event, scene: Scene) -> None:
    assert scene.happen(event).settled() == []


def test_no_event_is_forgotten() -> None:
    """An event of a new kind needs a line, or a place among those that have none."""
    silent = {"StateChanged", "SpeechStarted", "SpeechStopped", "TurnEnded", "Interrupted", "MessageReceived"}
    partial = {"UserSpeaking", "AgentSpeaking", "AgentSpoke"}
    for kind in EVENT_TYPES:
        if kind.__name__ in silent | partial:
            continue
        values = {field.name: VALUES.get(str(field.type), "x") for field in fields(kind)}
        scene = Scene().happen(kind(**values))
        assert len(scene.settled()) == 1, kind


VALUES = {
    "int": 1,
    "bool": True,
    "Verdict": Verdict(EndReason.STOPPED),
    "State": State.READY,
    "Exception": OSError(),
}


# --- without rich -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (Line(0.5, "", "Connected."), "    0.50 s           Connected."),
        (Line(12.345, "you", "Hello."), "   12.35 s  you:     Hello."),
        (Line(1, "agent", "One", " two.", cut=True), "    1.00 s  agent:   One [not heard: two.]"),
        (Line(1, "agent", "", "One two.", cut=True), "    1.00 s  agent:   [not heard: One two.]"),
        (Line(1, "agent", "One", " two."), "    1.00 s  agent:   One two."),
        (Line(1, "error", "one\n  two"), "    1.00 s  error:   one\n                       two"),
        (Line(1, "you", ""), "    1.00 s  you:     "),
    ],
)
def test_a_plain_line(line: Line, text: str) -> None:
    assert plain(line) == text


def view(state: State = State.READY, *lines: Line, **more: object) -> View:
    values = {"microphone_dbfs": -120.0, "speaker_dbfs": -120.0, "muted": False, "keys": True} | more
    return View(state, lines, **values)  # type: ignore[arg-type]


def test_the_plain_screen_prints_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainScreen() as screen:
        screen.show([Line(1, "you", "Hello.")], view(State.SPEAKING, Line(2, "agent", "", "Hi.")))
        screen.show([], view())
    assert capsys.readouterr().out == "    1.00 s  you:     Hello.\n"


def test_what_an_old_terminal_cannot_show_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    with PlainScreen() as screen:
        screen.show([Line(1, "you", "Grüß Gott")], view())
    assert b"Gr?? Gott" in out.getvalue()
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # takes every letter
    with PlainScreen() as screen:
        screen.show([Line(1, "you", "Grüß Gott")], view())
    assert "Grüß Gott" in sys.stdout.getvalue()  # type: ignore[attr-defined]


# --- with rich --------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """What a terminal of this size got."""

    def __init__(self, width: int = 80, height: int = 24, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding
        self.console = rich_console.Console(
            file=self, width=width, height=height, force_terminal=True, color_system="truecolor", highlight=False
        )

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return CODES.sub("", self.getvalue())


def frame(terminal: Terminal, below: View, lines: Sequence[Line] = ()) -> list[str]:
    """What one frame shows, row by row."""
    screen = LiveScreen(terminal.console)
    with screen:
        screen.show([], view())
        terminal.truncate(0)
        terminal.seek(0)
        screen.show(lines, below)
        return [row.rstrip() for row in terminal.text.replace("\r", "\n").splitlines() if row.strip()]


def styles(render: Callable[[], object]) -> list[tuple[str, str]]:
    """The pieces of a text, each with its style."""
    text = render()
    return [(segment.text, str(segment.style)) for segment in text.render(Terminal().console)]  # type: ignore[attr-defined]


def test_finished_lines_are_above_and_how_things_stand_is_below() -> None:
    rows = frame(
        Terminal(),
        view(State.SPEAKING, Line(2, "agent", "Hi", " there.")),
        [Line(0, "", "Connected."), Line(1, "you", "Hello.")],
    )
    assert rows[:2] == ["        Connected.", "   you  Hello."]
    assert rows[-3:] == [
        " agent  Hi there.",
        f" ● speaking    you {'━' * 17}          agent {'━' * 17}",
        " space interrupts   m mutes   t types   q hangs up   ? explains",
    ]


def test_what_was_not_heard_looks_different() -> None:
    console = Terminal().console
    heard, unheard = styles(lambda: written(Line(0, "agent", "One", " two"), console, 80)[0])[1:3]
    assert heard == ("One", "none")
    assert unheard == (" two", "bright_black")
    struck = styles(lambda: written(Line(0, "agent", "One", " two", cut=True), console, 80)[0])[2]
    assert struck == (" two", "strike bright_black")


def test_what_is_not_known_yet_is_dots() -> None:
    (row,) = written(Line(0, "you", ""), Terminal().console, 80)
    assert row.plain == "   you  ..."


def test_long_lines_are_wrapped_beside_their_label() -> None:
    rows = written(Line(0, "agent", "One two three four five six"), Terminal().console, 24)
    assert [row.plain for row in rows] == [" agent  One two three", "        four five six"]


def test_of_an_answer_that_is_too_long_the_end_is_shown() -> None:
    text = " ".join(f"word{number}" for number in range(300))
    rows = frame(Terminal(60, 12), view(State.SPEAKING, Line(0, "agent", text)))
    assert len(rows) <= 12
    assert "word299" in rows[-3]
    assert "space interrupts" in rows[-1]


@pytest.mark.parametrize(
    ("level", "cells", "colour", "number"),
    [
        (-120.0, 0, "green", "       "),
        (-60.0, 0, "green", "       "),
        (-45.0, 5, "green", "-45 dB"),
        (-9.0, 17, "yellow", " -9 dB"),
        (0.0, 20, "red", "  0 dB"),
        (3.0, 20, "red", "  3 dB"),
    ],
)
def test_a_meter(level: float, cells: int, colour: str, number: str) -> None:
    pieces = styles(lambda: bar(level, 20, ascii_only=True))
    full = "".join(text for text, style in pieces if style == colour)
    assert full == "#" * cells
    plain_bar = "".join(text for text, _ in pieces)
    assert plain_bar.strip("\n").startswith("#" * cells + "." * (20 - cells))
    assert number in plain_bar


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("muted", [True, False])
def test_the_state_fits_into_one_row(width: int, muted: bool) -> None:
    loud = view(State.PROCESSING, microphone_dbfs=-20.0, speaker_dbfs=-20.0, muted=muted)
    text = status(loud, width, ascii_only=False).plain
    assert len(text) <= max(width, 54)
    assert ("muted" in text) == muted
    assert len(text) == len(status(view(State.READY), width, ascii_only=False).plain)  # nothing jumps


def test_a_narrow_terminal_loses_the_end_of_a_row_and_no_more() -> None:
    rows = frame(Terminal(40), view())
    assert len(rows) == 2
    assert all(len(row) <= 40 and row.endswith("…") for row in rows)


def test_a_terminal_without_such_letters_gets_others() -> None:
    rows = frame(Terminal(encoding="ascii"), view())
    assert " * ready " in rows[0]
    "\n".join(rows).encode("ascii")


def test_what_is_typed_is_shown() -> None:
    assert frame(Terminal(), view(typed="What ti"))[-1] == " > What ti_   Enter sends, Esc does not"


def test_the_keys_are_explained() -> None:
    rows = frame(Terminal(), view(help=True))
    assert rows[-len(HELP) :] == [f" {key:>5}  {what}" for key, what in HELP]


def test_without_keys_there_is_ctrl_c() -> None:
    assert frame(Terminal(), view(keys=False))[-1] == " Ctrl-C hangs up"


def test_what_the_program_prints_is_above_too() -> None:
    terminal = Terminal()
    with LiveScreen(terminal.console) as screen:
        screen.show([], view())
        print("printed by a hook")  # to sys.stdout, which is not this terminal
        screen.show([], view())
    assert "printed by a hook\n" in terminal.text
    assert terminal.text.index("printed") < terminal.text.rindex("ready")


def test_entered_again_it_leaves_what_is_above_alone() -> None:
    terminal = Terminal()
    screen = LiveScreen(terminal.console)
    with screen:
        screen.show([], view(help=True))
    with screen:
        end = len(terminal.getvalue())
        screen.show([Line(0, "you", "Back again.")], view())
    assert "\x1b[1A" not in terminal.getvalue()[end : terminal.getvalue().index("Back again.")]


def test_the_cursor_comes_back() -> None:
    terminal = Terminal()
    with pytest.raises(LookupError), LiveScreen(terminal.console):
        raise LookupError
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


# --- which one --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_terminal", "kind", "wants_plain", "has_rich", "live"),
    [
        (True, "xterm", False, True, True),
        (False, "xterm", False, True, False),
        (True, "dumb", False, True, False),
        (True, "xterm", True, True, False),
        (True, "xterm", False, False, False),
    ],
)
def test_the_live_screen_needs_a_terminal_and_rich(
    is_terminal: bool, kind: str, wants_plain: bool, has_rich: bool, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setenv("TERM", kind)
    if not has_rich:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    screen = open_screen(plain=wants_plain)
    assert screen.live is live
    assert isinstance(screen, LiveScreen if live else PlainScreen)
