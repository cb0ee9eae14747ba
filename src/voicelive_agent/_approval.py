"""What an agent is asked before something is done: may this tool run, with these arguments?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["ApprovalAnswer", "ApprovalRequest"]

ApprovalAnswer: TypeAlias = bool | Literal["always"]
"""False refuses, True approves this one call, "always" approves every later call of that tool in this call too."""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A tool that may only run if :meth:`VoiceAgent.approve` says so.

    ``arguments`` is the JSON text that the model wrote. ``server_label`` is the MCP server whose tool it is; None
    for a tool of the agent's own, whose arguments have been checked already.
    """

    call_id: str
    name: str
    arguments: str
    server_label: str | None = None
    _tool: Any = field(default=None, compare=False, repr=False)  # as in CallTool
