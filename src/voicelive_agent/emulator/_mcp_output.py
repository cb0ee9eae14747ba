"""A call of an MCP tool as an output item of a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ._mcp import McpCall, McpServer
from ._writer import Entry, Writer


def mcp_call(
    writer: Writer,
    server: McpServer,
    name: str,
    arguments: Sequence[str],
    *,
    response_id: str,
    on_done: Callable[[], None],
) -> None:
    """A whole call whose ``arguments`` (JSON) come in these pieces, and then the tool, if nobody has to approve.

    ``on_done``: the tool has answered, or an approval is waited for. It is not called where the response was cut
    off before the client had the whole call: then the tool is never asked.
    """
    item = {
        "id": writer.context.model_id("mcp"),
        "object": "realtime.item",
        "type": "mcp_call",
        "server_label": server.label,
        "name": name,
        "arguments": "",
    }
    entry = writer.begin(item, partial(_close, writer))
    entry.text, entry.final = "".join(arguments), True
    for piece in arguments:
        writer.count(piece)
        writer.add(partial(_send_arguments, writer, entry, piece))

    def start() -> None:
        writer.let_go()
        _close(writer, entry)
        writer.context.mcp.start(McpCall(item, server, response_id, entry.index, on_done))

    writer.add(start)


def _send_arguments(writer: Writer, entry: Entry, piece: str) -> None:
    entry.sent += piece
    writer.send("response.mcp_call_arguments.delta", entry, delta=piece)


def _close(writer: Writer, entry: Entry) -> None:
    entry.item["arguments"] = entry.sent
    writer.send("response.mcp_call_arguments.done", entry, arguments=entry.sent)
