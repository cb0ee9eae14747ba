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
    """How an emulated session behaves where the service differs from model to model, or is slow.

    * ``profile``: ``"cascade"`` (speech to text, chat model, text to speech: the service writes the events) or
      ``"realtime"`` (an audio model's events passed through). None: by the model's name.
    * ``latency``: ``"none"`` waits only as long as the work takes; ``"service"`` adds the service's own delays.
    * ``speed`` divides each of those delays.
    * ``realtime_factor`` is how many seconds of audio are delivered per second; the service has none (``inf``),
      1.0 makes an answer last as long as it sounds, so that an interruption finds it in progress.
    * ``refuse_truncation``: whether ``conversation.item.truncate`` is refused. None: cascade refuses.
    * ``update``: ``"merge"`` keeps what a ``session.update`` leaves out, ``"replace"`` sets it to the default.
      Nested objects are replaced either way.
    * ``second_create``: what a ``response.create`` does while a response is in progress.
    * ``max_session_s``: the session is closed after this long (1001, after an error event). None: never.
    """

    profile: ProfileName | None = None
    latency: Literal["none", "service"] = "none"
    speed: float = 1.0
    realtime_factor: float = math.inf
    refuse_truncation: bool | None = None
    update: Literal["merge", "replace"] = "merge"
    second_create: Literal["error", "cancel"] = "error"
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
    "update": ("merge", "replace"),
    "second_create": ("error", "cancel"),
}


@dataclass(slots=True, eq=False)
class Job:
    """Work for a processor: hearing an utterance, or the next step of thinking or speaking.

    ``run()`` blocks; give what it returned or raised to :meth:`EmulatorSession.finish`. Jobs with the same
    ``owner`` (the plug-in whose code runs) must not run at the same time; jobs with different owners may.
    """

    kind: Literal["transcribe", "think", "speak"]
    owner: object
    run: Callable[[], object]
    then: Callable[[object], None] = field(repr=False)
    """The session's own: what happens with the result."""
