"""What the conversation machine needs to know of the configuration, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ._turn_detection import TurnPolicy

__all__ = ["Plan", "ToolPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """What the conversation needs to know of one of the agent's tools."""

    cancel_on_interruption: bool = False
    approval: bool = False
    """Whether it runs only when ``approve()`` says so."""
    filler: str = ""
    """What to say while it runs, if that takes longer."""
    filler_after_s: float = 1.5
    """After how much silence."""
    tool: Any = field(default=None, compare=False, repr=False)
    """What runs it, for whoever is told to; nothing that the conversation looks at."""


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
    input_frame_bytes: int = 2
    """Bytes of one sample of that, of all channels: 2 for PCM16, 1 for G.711."""
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
    tools: Mapping[str, ToolPolicy] = field(default_factory=dict)
    """The agent's own tools."""
    leaves_unknown_tools: bool = True
    """Whether a function that is not the agent's may be the service's, so that its calls are left alone."""
    max_tool_rounds: int = 8
    """How often the model may call tools before it has to answer the user."""
    approval_s: float = 30.0
    """How long an approval may take; what is not approved by then is refused."""
    continues_mcp: bool = True
    """Whether the service speaks about results of MCP servers only if asked to; a Foundry agent does by itself."""
    service_fills: bool = False
    """Whether the service itself says something when a tool is called (``interim_response``)."""
    greeting: str | None = None
    stall_s: float = 30.0
    """How long a response may be due, or be open without a sign of life."""
    start_s: float = 10.0
    """How long the service may take to accept the configuration."""
