"""The events about tools: the agent's own, and those of MCP servers, which the service runs.

They are a part of :mod:`voicelive_agent.events`, and are imported from there.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "McpCalled",
    "McpFinished",
    "McpListed",
    "McpListingFailed",
    "ToolApprovalAnswered",
    "ToolApprovalAsked",
    "ToolCalled",
    "ToolFinished",
    "ToolRoundsExceeded",
    "ToolUnknown",
]


# --- tools -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model called one of your tools; ``arguments`` is the JSON text it wrote.

    Comes when the response that calls it is done, before the tool runs. Calls of a response that was cut off or
    failed are not run, and have no events. Exactly one ``ToolFinished`` follows, unless the conversation ends
    first.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call was answered. ``error`` is "" or the kind of failure the model was told about.

    Comes when the tool has returned, raised, or run out of time, was refused, or was cancelled by an
    interruption. The answer that speaks about it is asked for once all calls of that response are finished.

    ``output`` is what the model was told. ``error`` is "arguments" (they are wrong, and the tool was not run),
    "raised", "timeout", "cancelled" (by an interruption, or by the tool itself) or "refused" (it was not
    approved). ``elapsed_ms`` counts from when the tool was begun.
    """

    call_id: str
    name: str
    output: str
    elapsed_ms: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class ToolUnknown:
    """The model called a function that is not registered here.

    Where the service may own it (a Foundry agent, a function of the session that is not the agent's) it was left
    alone. Elsewhere it was ``answered``: the model was told that there is no such tool. Comes in the place of
    ``ToolCalled``; no ``ToolFinished`` follows.
    """

    call_id: str
    name: str
    arguments: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class ToolApprovalAsked:
    """A tool is about to run that needs an approval: ``approve()`` is being asked.

    ``arguments`` is the JSON text that the model wrote; ``server_label`` the MCP server whose tool it is, or None.
    Comes after ``ToolCalled`` or ``McpCalled``; not for a tool that was approved for always.
    """

    call_id: str
    name: str
    arguments: str
    server_label: str | None = None


@dataclass(frozen=True, slots=True)
class ToolApprovalAnswered:
    """An approval was given or refused; exactly one follows each ``ToolApprovalAsked``.

    ``reason`` is "always" where it was (or is now) approved for always. Of a refusal it is "refused", "timeout"
    (no answer came), "failed" (the hook raised), or what made the question pointless: "arguments" (they are
    wrong), "cancelled" (the user interrupted) or "ended". Comes before ``ToolFinished`` or ``McpFinished``, and
    before the tool runs. Of a tool that was approved for always it comes without a question.
    """

    call_id: str
    name: str
    approved: bool
    reason: str = ""
    server_label: str | None = None


@dataclass(frozen=True, slots=True)
class ToolRoundsExceeded:
    """The model called tools again and again without an answer to the user: it has to answer now.

    ``rounds`` is how many responses of this turn called tools. ``not_run`` are the names of tools that it called
    all the same: they were not run, and nothing more is asked for in this turn.

    Comes after the ``ToolFinished`` of the last round that is allowed, when an answer without tools is asked for;
    a second time, with ``not_run``, if that answer called tools.
    """

    rounds: int
    not_run: tuple[str, ...] = ()


# --- MCP servers, whose tools the service runs ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class McpListed:
    """The service has asked an MCP server for its tools; ``tools`` are the names of those the model may call.

    Comes some time after ``SessionStarted``, or after a change of the session; the conversation does not wait.
    """

    server_label: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class McpListingFailed:
    """An MCP server did not tell its tools: the conversation goes on without them. ``message`` may be empty.

    Comes in the place of ``McpListed``.
    """

    server_label: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class McpCalled:
    """The model called a tool of an MCP server, which the service runs, once it is approved where that is needed.

    ``arguments`` is the JSON text that the model wrote. Exactly one ``McpFinished`` of the same ``call_id``
    follows, unless the conversation ends first. Comes when the arguments are complete, while the response is still
    open, or with the question for an approval.
    """

    call_id: str
    server_label: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class McpFinished:
    """A call of an MCP server's tool is over, and will be spoken about, unless it was "not_run".

    ``error`` is "", or the kind of failure: what the service says (``tool_execution_error``, ``http_error``,
    ``protocol_error``), "refused", "timeout" or "failed" where it was not approved, "not_run" where the response
    that made it was cut off before, "stalled" where nothing more was heard of it. ``output`` is what the model was
    told: the result, or the message of the error. ``elapsed_ms`` counts from when the service began to run it.
    Comes when the result is there. An interruption does not cancel the call; its result is spoken about even then.
    """

    call_id: str
    server_label: str
    name: str
    output: str
    elapsed_ms: int
    error: str = ""
