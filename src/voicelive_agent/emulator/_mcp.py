"""The MCP servers of a session: which tools they have, who has to approve a call, and what is said about it.

No I/O here: the servers are reached through an :class:`McpClient`, inside jobs. The service says (and the emulator
does the same):

    listing     conversation.item.created{mcp_list_tools} · mcp_list_tools.in_progress · .completed or .failed
    a call      response.output_item.added{mcp_call} · conversation.item.created · mcp_call_arguments.delta*, .done
    approved    response.mcp_call.in_progress · .completed or .failed · response.output_item.done{output or error}
    to approve  conversation.item.created{mcp_approval_request}, and the response ends; the client's
                mcp_approval_response item starts the call, or does not

A call that runs is not cancelled by anything.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ._errors import ClientError
from ._options import Job

if TYPE_CHECKING:
    from ._context import Context

__all__ = ["McpCall", "McpClient", "McpError", "McpResult", "McpServer", "McpServers", "McpTool"]

_log = logging.getLogger("voicelive_agent.emulator")


class McpError(Exception):
    """A server could not be reached, or does not speak MCP; ``kind`` is as in the error of an mcp_call."""

    def __init__(self, message: str, *, kind: str = "protocol_error", code: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool as its server describes it; ``input_schema`` is a JSON schema."""

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    annotations: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class McpResult:
    """What a tool returned, as text; ``failed`` where the tool says that this is an error."""

    output: str
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A server as the client of the session described it."""

    label: str
    url: str
    authorization: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allowed_tools: Sequence[str] | None = None
    require_approval: str | Mapping[str, Any] = "always"

    @classmethod
    def of(cls, tool: Mapping[str, Any]) -> McpServer:
        """The server in a session's ``{"type": "mcp"}`` tool."""
        approval = tool.get("require_approval")
        return cls(
            label=tool["server_label"],
            url=tool["server_url"],
            authorization=tool.get("authorization"),
            headers=tool.get("headers") or {},
            allowed_tools=tool.get("allowed_tools"),
            require_approval="always" if approval is None else approval,
        )

    def allows(self, name: str) -> bool:
        """Whether the session may use this tool."""
        return self.allowed_tools is None or name in self.allowed_tools

    def needs_approval(self, name: str) -> bool:
        """Whether the client has to approve a call of this tool: yes, unless it said otherwise."""
        if isinstance(self.require_approval, str):
            return self.require_approval != "never"
        if name in _names(self.require_approval.get("always")):
            return True
        return name not in _names(self.require_approval.get("never"))


def _names(given: Any) -> Sequence[str]:
    """The tools of an approval list, which comes as a list or as ``{"tool_names": list}``."""
    names = given.get("tool_names") if isinstance(given, Mapping) else given
    return names or ()


class McpClient(Protocol):
    """Reaches MCP servers. Blocking; called from several threads at the same time."""

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        """The server's tools; raises :class:`McpError`."""
        ...

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        """Run one tool; raises :class:`McpError`."""
        ...


@dataclass(slots=True, eq=False)
class McpCall:
    """One call: its item, as the client has seen it, and where it belongs."""

    item: dict[str, Any]
    server: McpServer
    response_id: str
    output_index: int
    on_done: Callable[[], None]
    """The response goes on; also called where the call waits for an approval."""


class McpServers:
    """The MCP servers of one session."""

    def __init__(self, context: Context, client: McpClient | None) -> None:
        self._context = context
        self._client = client
        self._tools: dict[str, tuple[McpServer, Sequence[McpTool]]] = {}
        """By label, of the servers whose listing has arrived."""
        self._waiting: dict[str, McpCall] = {}
        """By the id of the approval request."""

    # --- Tools --------------------------------------------------------------------------------------------

    def configure(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """Take over the tools of the session, and list those of servers that are new or have changed."""
        servers = {server.label: server for server in (McpServer.of(tool) for tool in tools if _is_mcp(tool))}
        known = {label: listed for label, listed in self._tools.items() if servers.get(label) == listed[0]}
        self._tools = known
        for server in servers.values():
            if server.label not in known:
                self._list(server)

    def _list(self, server: McpServer) -> None:
        listed: tuple[McpServer, Sequence[McpTool]] = (server, ())
        self._tools[server.label] = listed

        def then(result: object) -> None:
            if self._tools.get(server.label) is listed:  # otherwise the session was changed meanwhile
                self._listed(server, result)

        self._context.work(Job("mcp", listed, lambda: self._reach().list_tools(server), then))

    def _listed(self, server: McpServer, result: object) -> None:
        failed = isinstance(result, BaseException)
        if failed:
            _log.warning("The tools of the MCP server %r could not be listed: %s", server.label, result)
        tools = [] if failed else [tool for tool in _tools_in(result) if server.allows(tool.name)]
        self._tools[server.label] = (server, tools)
        item = {
            "id": self._context.model_id("mcpl"),
            "object": "realtime.item",
            "type": "mcp_list_tools",
            "server_label": server.label,
            "tools": [_shown(tool) for tool in tools],
        }
        self._add_item(item)
        send = self._context.timeline.send
        send("mcp_list_tools.in_progress", item_id=item["id"])
        send(f"mcp_list_tools.{'failed' if failed else 'completed'}", item_id=item["id"])

    def _reach(self) -> McpClient:
        if self._client is None:
            raise McpError("this session has no MCP client.")
        return self._client

    def functions(self, tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What a brain may call: the functions among ``tools``, and the tools of the servers among them."""
        functions = [dict(tool) for tool in tools if tool["type"] == "function"]
        names = {tool["name"] for tool in functions}
        for tool in filter(_is_mcp, tools):
            for each in self._tools.get(tool["server_label"], (None, ()))[1]:
                if each.name not in names:
                    names.add(each.name)
                    functions.append(_function(each))
        return functions

    def server_of(self, name: str, tools: Sequence[Mapping[str, Any]]) -> McpServer | None:
        """The server that a call of ``name`` goes to; None for a function of the client's."""
        if any(tool["type"] == "function" and tool["name"] == name for tool in tools):
            return None
        labels = [tool["server_label"] for tool in tools if _is_mcp(tool)]
        listed = (self._tools[label] for label in labels if label in self._tools)
        return next((server for server, tools in listed if any(tool.name == name for tool in tools)), None)

    # --- Calls --------------------------------------------------------------------------------------------

    def start(self, call: McpCall) -> None:
        """All of a call was sent: run it, or ask for an approval first."""
        if not call.server.needs_approval(call.item["name"]):
            self._run(call)
            return
        request = {
            "id": self._context.model_id("mcpr"),
            "object": "realtime.item",
            "type": "mcp_approval_request",
            "server_label": call.server.label,
            "name": call.item["name"],
            "arguments": call.item["arguments"],
        }
        call.item["approval_request_id"] = request["id"]
        self._waiting[request["id"]] = call
        self._add_item(request)
        call.on_done()
        call.on_done = _nothing

    def check_approval(self, item: Mapping[str, Any]) -> None:
        """Raise ClientError for an mcp_approval_response that nothing waits for."""
        if item["approval_request_id"] not in self._waiting:
            raise ClientError(
                f"No MCP call waits for an approval with the id '{item['approval_request_id']}'.",
                code="invalid_value",
                param="item.approval_request_id",
            )

    def approve(self, item: Mapping[str, Any]) -> None:
        """Run the call that an mcp_approval_response is about; one that is refused never runs, and says so."""
        call = self._waiting.pop(item["approval_request_id"])
        if item["approve"]:
            self._run(call)
        else:
            call.item["error"] = {"type": "tool_execution_error", "message": "The user did not approve this call."}
            self._context.items.result_came(call.item["id"])

    def _run(self, call: McpCall) -> None:
        arguments = json.loads(call.item["arguments"])
        self._send_progress("in_progress", call)

        def run() -> McpResult:
            return self._reach().call(call.server, call.item["name"], arguments)

        self._context.work(Job("mcp", call, run, lambda result: self._done(call, result)))

    def _done(self, call: McpCall, result: object) -> None:
        error = _error(result)
        if error is None:
            call.item["output"] = result.output if isinstance(result, McpResult) else ""
        else:
            call.item["error"] = error
        self._context.items.result_came(call.item["id"])
        self._send_progress("failed" if error else "completed", call)
        self._context.timeline.send(
            "response.output_item.done",
            response_id=call.response_id,
            output_index=call.output_index,
            item=copy.deepcopy(call.item),
        )
        call.on_done()

    def _send_progress(self, state: str, call: McpCall) -> None:
        self._context.timeline.send(
            f"response.mcp_call.{state}", item_id=call.item["id"], output_index=call.output_index
        )

    def _add_item(self, item: dict[str, Any]) -> None:
        previous = self._context.items.add(item)
        self._context.timeline.send(
            "conversation.item.created", previous_item_id=previous, item=copy.deepcopy(item)
        )


def _nothing() -> None:
    """What an approved call does for its response, which has ended."""


def _is_mcp(tool: Mapping[str, Any]) -> bool:
    return bool(tool["type"] == "mcp")


def _tools_in(result: object) -> Sequence[McpTool]:
    assert isinstance(result, Sequence)
    return result


def _shown(tool: McpTool) -> dict[str, Any]:
    shown = {"name": tool.name, "description": tool.description, "input_schema": copy.deepcopy(tool.input_schema)}
    return shown if tool.annotations is None else {**shown, "annotations": dict(tool.annotations)}


def _function(tool: McpTool) -> dict[str, Any]:
    parameters = copy.deepcopy(dict(tool.input_schema))
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": parameters}


def _error(result: object) -> dict[str, Any] | None:
    """The error of a call as the item has it; None for one that went well."""
    match result:
        case McpError():
            code = {} if result.code is None else {"code": result.code}
            return {"type": result.kind, **code, "message": str(result)}
        case BaseException():
            return {"type": "protocol_error", "message": f"{type(result).__name__}: {result}"}
        case McpResult(output, failed=True):
            return {"type": "tool_execution_error", "message": output}
        case _:
            return None
