"""What can be set on an emulated session, and the work it hands out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Job", "Options"]

ProfileName: TypeAlias = Literal["cascade", "realtime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an emulated session behaves where the service differs by model, is slow, or contradicts itself.

    Which back end, which version:

    * ``profile``: ``"cascade"`` (speech to text, chat model, text to speech: the service writes the events) or
      ``"realtime"`` (an audio model's events passed through). None: by the URL's ``profile``, else by the
      model's name.
    * ``api_version``: behave as this version does, whatever ``api-version`` the URL names. None: as the URL says.

    Time:

    * ``latency``: ``"none"`` waits only as long as the work takes; ``"service"`` adds the service's own delays.
    * ``speed`` divides each of those delays.
    * ``realtime_factor`` is how many seconds of audio are delivered per second; the service has none (``inf``),
      1.0 makes an answer last as long as it sounds, so that an interruption finds it in progress.
    * ``max_session_s``: the session is closed after this long (1001, after an error event). None: never.

    What is told in different ways about the service; the default is what recordings show, where there are any:

    * ``update``: ``"merge"`` keeps what a ``session.update`` leaves out and replaces nested objects; ``"replace"``
      sets what is left out to its default; ``"deep"`` also keeps what a nested object of the same type leaves out.
    * ``model_update``: a ``model`` in a ``session.update`` is ``"ignore"``d (recorded) or leads to ``"error"``.
    * ``update_first``: every other event is refused until the first ``session.update`` (reported by a client).
    * ``fixed_turn_detection``: after the first ``session.update`` the type of ``turn_detection`` cannot change
      (reported by a client).
    * ``refuse_truncation``: whether ``conversation.item.truncate`` is refused. None: cascade refuses.
    * ``second_create``: a ``response.create`` while a response is in progress is an ``"error"``, or ``"cancel"``s
      that one, unless ``cancel_previous`` is false.
    * ``unknown_call``: a ``function_call_output`` whose call is not in the conversation is ``"accept"``ed or an
      ``"error"``. None: realtime refuses, as OpenAI's service does; for cascade models it is not known.
    * ``noise_suppression_doubles``: with ``azure_deep_noise_suppression`` every manual commit is transcribed
      twice, the second time to nothing, and its item created twice, the second time as its own predecessor
      (reported).
    * ``error_event_ids``: whether an ``error`` names the client's event. The service did not always.

    Agents:

    * ``agent_failure``: ``"initialization"`` ends an agent's session at its start with an error and without a
      close frame (1006); ``"message"`` fails each of its responses. None: the agent works.
    """

    profile: ProfileName | None = None
    api_version: str | None = None
    latency: Literal["none", "service"] = "none"
    speed: float = 1.0
    realtime_factor: float = math.inf
    refuse_truncation: bool | None = None
    update: Literal["merge", "replace", "deep"] = "merge"
    model_update: Literal["ignore", "error"] = "ignore"
    update_first: bool = False
    fixed_turn_detection: bool = False
    second_create: Literal["error", "cancel"] = "error"
    unknown_call: Literal["accept", "error"] | None = None
    noise_suppression_doubles: bool = False
    error_event_ids: bool = True
    agent_failure: Literal["initialization", "message"] | None = None
    max_session_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("speed", "realtime_factor", "max_session_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Options.{name} must be greater than 0, not {value!r}.")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                allowed = ", ".join(repr(value) for value in known)
                raise ValueError(f"Options.{name} must be one of {allowed}, not {getattr(self, name)!r}.")


_CHOICES: dict[str, tuple[str | None, ...]] = {
    "profile": (None, "cascade", "realtime"),
    "latency": ("none", "service"),
    "update": ("merge", "replace", "deep"),
    "model_update": ("ignore", "error"),
    "second_create": ("error", "cancel"),
    "unknown_call": (None, "accept", "error"),
    "agent_failure": (None, "initialization", "message"),
}


@dataclass(slots=True, eq=False)
class Job:
    """Work for a processor: hearing an utterance, the next step of thinking or speaking, or asking an MCP server.

    ``run()`` blocks; give what it returned or raised to :meth:`EmulatorSession.finish`. Jobs with the same
    ``owner`` (the plug-in whose code runs) must not run at the same time; jobs with different owners may.
    """

    kind: Literal["transcribe", "think", "speak", "mcp"]
    owner: object
    run: Callable[[], object]
    then: Callable[[object], None] = field(repr=False)
    """The session's own: what happens with the result."""
