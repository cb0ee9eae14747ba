"""What the conversation machine needs to know of the configuration, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .config import TurnPolicy

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One call, as the core sees it."""

    session: Mapping[str, Any]
    """The complete session object of ``session.update``."""
    turns: TurnPolicy
    """What turn detection was asked for: read from what is *sent*, since the cascade echoes nulls."""
    profile: Literal["cascade", "realtime"] = "cascade"
    input_rate: int = 24_000
    """Samples per second of microphone audio on the wire."""
    output_rate: int = 24_000
    """Samples per second of the agent's audio on the wire."""
    output_sample_bytes: int = 2
    """2 for PCM16, 1 for G.711."""
    heard_estimated: bool = False
    """Whether the sink only estimates what was heard, because nothing confirms it."""
    client_barge_in: bool = False
    """Whether speech of the user interrupts the agent though the service was told not to (interrupt_response)."""
    pregenerated: bool = True
    """Whether ``say`` may hand the service a finished message (Azure voices), or must ask the model to say it."""
    tools: Mapping[str, bool] = field(default_factory=dict)
    """The agent's own tools, and whether an interruption cancels them."""
    greeting: str | None = None
    stall_s: float = 30.0
    """How long a response may be due, or be open without a sign of life."""
    start_s: float = 10.0
    """How long the service may take to accept the configuration."""
