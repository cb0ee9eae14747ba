"""What ``voicelive-agent emulator`` can be told: the options, what they become, and which do not go together."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from ..errors import ConfigurationError

__all__ = ["STDERR", "Settings", "add_options", "port_number"]

STDERR: Final = "-"
_ANSWERS: Final = ("scripted", "script", "brain", "brain_model", "ears_model", "voice")
_BEHAVES: Final = (
    *("profile", "api_version", "latency", "speed", "max_session_s", "agent_failure", "update", "model_update"),
    *("update_first", "fixed_turn_detection", "second_create", "refuse_truncation", "unknown_call"),
    "error_event_ids",
)
_BREAKS: Final = ("faults", "control")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line. What was not given is at its default, so that a contradiction can be told from a default.

    Raises ConfigurationError for options that contradict each other.
    """

    port: int = 8765
    host: str = "127.0.0.1"
    allow_remote: bool = False
    api_key: str | None = None
    scripted: bool = False
    script: str | None = None
    brain: str | None = None
    brain_model: str | None = None
    ears_model: str | None = None
    voice: str | None = None
    pace: float | None = None
    latency: Literal["none", "service"] = "none"
    speed: float | None = None
    profile: Literal["cascade", "realtime"] | None = None
    api_version: str | None = None
    update: Literal["merge", "replace", "deep"] = "merge"
    model_update: Literal["ignore", "error"] = "ignore"
    update_first: bool = False
    fixed_turn_detection: bool = False
    second_create: Literal["error", "cancel"] = "error"
    refuse_truncation: Literal["yes", "no"] | None = None
    unknown_call: Literal["accept", "error"] | None = None
    error_event_ids: Literal["yes", "no"] = "yes"
    agent_failure: Literal["initialization", "message"] | None = None
    max_session_s: float | None = None
    faults: str | None = None
    control: bool = False
    record: str | None = None
    replay: str | None = None
    proxy: str | None = None
    log_events: str | None = None
    no_view: bool = False
    _given: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        given = {each.name for each in fields(self) if each.init and getattr(self, each.name) != each.default}
        object.__setattr__(self, "_given", frozenset(given))
        from ..emulator.server import is_loopback  # loads much, and other commands need none of it

        if not (self.allow_remote or is_loopback(self.host)):
            raise ConfigurationError(
                f"The emulator would listen on {self.host}, where other machines reach it.",
                hint="Use --host 127.0.0.1, or add --allow-remote if that is wanted.",
            )
        if self.proxy is not None:
            theirs = (*_ANSWERS, *_BEHAVES, *_BREAKS, "pace", "api_key", "replay")
            self._refuse("proxy", "passes everything on to the service", theirs)
        if self.replay is not None:
            self._refuse("replay", "says what was recorded", (*_ANSWERS, *_BEHAVES))
        if self.scripted:
            self._refuse("scripted", "uses no speech packages", ("ears_model", "voice"))
        if self.script is not None:
            self._refuse("script", "decides on the answers", ("brain", "brain_model"))
        self._check_brain()
        if self.speed is not None and self.latency == "none":
            raise ConfigurationError(
                "--speed divides the service's delays, and there are none.", hint="Add --latency service."
            )

    def _check_brain(self) -> None:
        is_url = self.brain is not None and self.brain.startswith(("http://", "https://"))
        if self.brain not in (None, "rules", "echo") and not is_url:
            raise ConfigurationError(
                f"There is no brain {self.brain!r}.",
                hint="It is rules, echo, or the URL of an OpenAI-compatible endpoint like "
                "http://127.0.0.1:11434/v1.",
            )
        if is_url and self.brain_model is None:
            raise ConfigurationError(
                "--brain with a URL needs the model that is to answer.", hint="Name it with --brain-model."
            )
        if self.brain_model is not None and not is_url:
            raise ConfigurationError(
                "--brain-model is the model of an endpoint, and none is given.", hint="Give its URL with --brain."
            )

    def _refuse(self, name: str, why: str, others: Sequence[str]) -> None:
        for other in others:
            if other in self._given:
                raise ConfigurationError(
                    f"--{_dashed(name)} and --{_dashed(other)} contradict each other: --{_dashed(name)} {why}.",
                    hint="Leave one of them out.",
                )

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio delivered per second. The service has no limit; a recording was made in real time."""
        return (1.0 if self.replay else math.inf) if self.pace is None else self.pace


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, in groups."""
    _add_server(parser)
    _add_answers(parser.add_argument_group("ways to answer"))
    _add_behaviour(parser.add_argument_group("like the service"))
    _add_switches(parser.add_argument_group("where the service is described in different ways"))
    _add_tools(parser.add_argument_group("watch, record, break"))


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=port_number,
        default=Settings.port,
        help="the port to listen on, 0 for a free one (%(default)s)",
    )
    parser.add_argument("--host", default=Settings.host, help="the address to listen on (%(default)s)")
    parser.add_argument("--allow-remote", action="store_true", help="listen where other machines connect, too")
    parser.add_argument("--api-key", metavar="KEY", help="refuse every other key (default: any key will do)")


def _add_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scripted", action="store_true", help="no speech packages: loudness for ears, rules, a tone for a voice"
    )
    group.add_argument("--script", metavar="FILE", help="what it answers to what: YAML or Python")
    group.add_argument(
        "--brain",
        metavar="BRAIN",
        help="rules, echo, or the URL of an OpenAI-compatible endpoint (default: rules)",
    )
    group.add_argument("--brain-model", metavar="NAME", help="which model of that endpoint; key: OPENAI_API_KEY")
    group.add_argument("--ears-model", metavar="NAME", help="another Whisper model: its name or its directory")
    group.add_argument("--voice", metavar="NAME", help="another voice")


def _add_behaviour(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pace",
        type=_pace,
        metavar="PACE",
        help="how fast answers are delivered: realtime, fast (as the service), or so many times real time",
    )
    group.add_argument(
        "--latency",
        choices=("none", "service"),
        default=Settings.latency,
        help="add the delays of the service (%(default)s)",
    )
    group.add_argument("--speed", type=_factor, metavar="N", help="divide those delays by N (1)")
    group.add_argument(
        "--profile", choices=("cascade", "realtime"), help="kind of model (default: by the model's name)"
    )
    group.add_argument(
        "--api-version", type=_api_version, metavar="VERSION", help="behave as this one (default: the URL's)"
    )
    group.add_argument(
        "--max-session-s", type=_factor, metavar="S", help="close a session after S seconds (never)"
    )
    group.add_argument(
        "--agent-failure",
        choices=("initialization", "message"),
        help="a Foundry agent does not start, or fails each response (default: it works)",
    )


def _add_switches(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--update",
        choices=("merge", "replace", "deep"),
        default=Settings.update,
        help="what session.update leaves out is kept, reset, or kept in nested objects too (%(default)s)",
    )
    group.add_argument(
        "--model-update",
        choices=("ignore", "error"),
        default=Settings.model_update,
        help="a model in session.update: ignored, or an error (%(default)s)",
    )
    group.add_argument(
        "--update-first", action="store_true", help="refuse every other event before the first session.update"
    )
    group.add_argument(
        "--fixed-turn-detection",
        action="store_true",
        help="refuse another type of turn_detection after the first session.update",
    )
    group.add_argument(
        "--second-create",
        choices=("error", "cancel"),
        default=Settings.second_create,
        help="response.create during a response: an error, or it cancels that one (%(default)s)",
    )
    group.add_argument(
        "--refuse-truncation",
        choices=("yes", "no"),
        help="refuse conversation.item.truncate (default: cascade models do)",
    )
    group.add_argument(
        "--unknown-call",
        choices=("accept", "error"),
        help="an output for a call that was never made (default: an error of realtime models)",
    )
    group.add_argument(
        "--error-event-ids",
        choices=("yes", "no"),
        default=Settings.error_event_ids,
        help="name the client's event in an error (%(default)s)",
    )


def _add_tools(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--log-events",
        metavar="FILE",
        nargs="?",
        const=STDERR,
        help="a line per event, to FILE or to standard error",
    )
    group.add_argument("--no-view", action="store_true", help="no live view in the browser")
    group.add_argument("--record", metavar="DIR", help="record every session in this directory")
    group.add_argument("--replay", metavar="FILE", help="serve this recording, and tell where a client departs")
    group.add_argument("--proxy", metavar="URL", help="pass everything on to the service at this endpoint")
    group.add_argument("--faults", metavar="FILE", help="what goes wrong, and when: JSON, or a known fault's name")
    group.add_argument("--control", action="store_true", help="an HTTP API that controls it, for this machine")


def port_number(text: str) -> int:
    """A port for argparse."""
    port = int(text)
    if not 0 <= port < 65_536:
        raise ValueError(text)
    return port


port_number.__name__ = "port (0 to 65535)"  # argparse says: invalid port (0 to 65535) value: '99999'


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


_factor.__name__ = "number above 0"


def _api_version(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?|v1", text):
        raise ValueError(text)
    return text


_api_version.__name__ = "API version (like 2026-07-15)"


def _pace(text: str) -> float:
    return {"realtime": 1.0, "fast": math.inf}.get(text) or _factor(text)


_pace.__name__ = "pace (realtime, fast, or a number above 0)"
