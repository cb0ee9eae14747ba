"""One tree of errors, each with the fix; and how an open connection says that it is over."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from voicelive_agent import errors
from voicelive_agent._connection import ConnectionEnded
from voicelive_agent.errors import (
    AudioFileError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    DeviceLost,
    RateLimitedError,
    ServiceUnavailableError,
    SessionLostError,
    SessionRefusedError,
    ToolError,
    TransportError,
    VoiceLiveError,
)
from voicelive_agent.events import EndReason, Verdict

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    lines = re.findall(r"^ *((?:\|   )*)(\+-- )?([A-Z]\w+)  ", errors.__doc__ or "", re.MULTILINE)
    path: list[type] = []
    for bars, branch, name in lines:
        depth = len(bars) // 4 + bool(branch)
        kind = getattr(errors, name)
        del path[depth:]
        if path:
            assert kind.__bases__[0] is path[-1]
        path.append(kind)
    assert [name for *_, name in lines] == [kind.__name__ for kind in CLASSES]


def test_every_error_is_exported_and_under_one_root() -> None:
    assert errors.__all__ == sorted(kind.__name__ for kind in CLASSES)
    assert all(issubclass(kind, VoiceLiveError) for kind in CLASSES)


@pytest.mark.parametrize("kind", [ConfigurationError, AudioFileError])
def test_bad_input_is_a_value_error_too(kind: type[Exception]) -> None:
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize(
    ("hint", "text"), [("", "It failed."), ("Try again.", "It failed. Try again."), (" ", "It failed.")]
)
def test_the_fix_is_part_of_the_message(hint: str, text: str) -> None:
    error = ConfigurationError("It failed.", hint=hint)
    assert (str(error), error.message, error.hint) == (text, "It failed.", hint)


def test_a_tool_may_speak_in_its_own_words() -> None:
    assert str(ToolError("Sold out.")) == "Sold out."


def test_a_refused_connection_has_its_status() -> None:
    assert ConnectError("No.").status is None
    refused = AuthenticationError("No.", hint="Check the key.", status=401)
    assert (str(refused), refused.status, refused.hint) == ("No. Check the key.", 401, "Check the key.")
    limited = RateLimitedError("Slowly.", status=429, retry_after_s=2.5)
    assert (limited.status, limited.retry_after_s) == (429, 2.5)
    assert RateLimitedError("Slowly.").retry_after_s is None
    assert isinstance(ServiceUnavailableError("Gone."), ConnectError)


@pytest.mark.parametrize(
    ("detail", "hint", "text"),
    [
        ("", "", "The session ended: network."),
        ("connection reset", "", "The session ended: connection reset."),
        ("connection reset", "Try again.", "The session ended: connection reset. Try again."),
    ],
)
def test_a_lost_session_says_how_it_was_lost(detail: str, hint: str, text: str) -> None:
    verdict = Verdict(EndReason.NETWORK, detail, hint)
    error = SessionLostError(verdict)
    assert (str(error), error.verdict, error.hint) == (text, verdict, hint)


def test_a_refused_change_is_told_as_the_service_said_it() -> None:
    refused = SessionRefusedError("Not now.", code="cannot_update_voice", param="session.voice")
    assert str(refused) == "The service refused to change the session: Not now. Mend voice."
    assert (refused.reason, refused.code, refused.param) == ("Not now.", "cannot_update_voice", "session.voice")
    bare = SessionRefusedError("no reason given")
    assert (str(bare), bare.code) == ("The service refused to change the session: no reason given.", "")
    assert bare.param is None


@pytest.mark.parametrize("path", ["noise.wav", Path("noise.wav")])
def test_a_file_that_is_not_audio_is_named(path: str | Path) -> None:
    error = AudioFileError(path, "no RIFF header", hint="Convert it.")
    assert str(error) == "noise.wav: no RIFF header Convert it."
    assert (error.path, error.fault) == ("noise.wav", "no RIFF header")


@pytest.mark.parametrize(("detail", "text"), [("", "network"), ("reset", "reset")])
def test_the_end_of_a_connection_is_a_verdict_and_no_error_of_the_user(detail: str, text: str) -> None:
    verdict = Verdict(EndReason.NETWORK, detail)
    ended = ConnectionEnded(verdict)
    assert (str(ended), ended.verdict) == (text, verdict)
    assert not isinstance(ended, VoiceLiveError)


def test_a_lost_device_is_named() -> None:
    error = DeviceLost("USB microphone", "no audio for 0.6 s", hint="Plug it in.")
    assert str(error) == "USB microphone: no audio for 0.6 s Plug it in."
    assert (error.device, error.fault) == ("USB microphone", "no audio for 0.6 s")


def test_a_far_end_was_told_why() -> None:
    error = TransportError("Half a sample.", close_code=1007)
    assert (str(error), error.close_code) == ("Half a sample.", 1007)
    assert TransportError("It left.").close_code is None
