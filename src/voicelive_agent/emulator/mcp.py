"""The emulator as a client of real MCP servers, by the official package ``mcp`` (extra ``mcp``).

Streamable HTTP, or server-sent events where the URL's path ends in ``/sse``. Every listing and every call is a
connection of its own: nothing is left open behind a session that has ended, and a server that restarts is not
noticed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import anyio

from ..errors import ConfigurationError
from ._mcp import McpClient, McpError, McpResult, McpServer, McpTool

if TYPE_CHECKING:
    import mcp

__all__ = ["HttpMcpClient", "McpClient", "McpError", "McpResult", "McpServer", "McpTool"]

_T = TypeVar("_T")


class HttpMcpClient:
    """Lists and calls the tools of MCP servers over HTTP. ``timeout_s`` is for a listing or a call as a whole.

    Blocking and safe to use from several threads. What goes wrong with a server is an :class:`McpError`; without
    the package, a listing raises :class:`~voicelive_agent.ConfigurationError`.
    """

    def __init__(self, *, timeout_s: float = 30.0) -> None:
        if not timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {timeout_s}.", hint="Give seconds, for example 30.")
        self._timeout_s = timeout_s

    def list_tools(self, server: McpServer) -> Sequence[McpTool]:
        """All tools of the server, page by page."""

        async def listing(client: mcp.Client) -> list[McpTool]:
            tools: list[McpTool] = []
            cursor: str | None = None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += [_tool(each) for each in page.tools]
                cursor = page.next_cursor
                if not cursor:
                    return tools

        return self._ask(server, listing)

    def call(self, server: McpServer, name: str, arguments: Mapping[str, Any]) -> McpResult:
        """Run a tool: its texts, or its structured result as JSON where it has no text."""

        async def calling(client: mcp.Client) -> McpResult:
            result = await client.call_tool(name, dict(arguments))
            return McpResult(_text(result.content, result.structured_content), result.is_error)

        return self._ask(server, calling)

    def _ask(self, server: McpServer, ask: Callable[[mcp.Client], Awaitable[_T]]) -> _T:
        if find_spec("mcp") is None:
            raise ConfigurationError(
                "MCP servers are reached with the package mcp, which is not installed.",
                hint='pip install "voicelive-agent[mcp]"',
            )
        answers: list[_T] = []
        statuses: list[int] = []

        async def asking() -> None:
            with anyio.fail_after(self._timeout_s):
                async with _connected(server, statuses) as client:
                    answers.append(await ask(client))

        try:
            anyio.run(asking)
        except Exception as error:
            if not answers:  # otherwise only saying good-bye went wrong
                raise self._explained(server, error, statuses[-1:]) from error
        return answers[0]

    def _explained(self, server: McpServer, error: BaseException, last_status: list[int]) -> McpError:
        """The error in the words of its cause: the package wraps it in groups of tasks that failed together."""
        import httpx2
        from mcp import MCPError

        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        match error:
            case TimeoutError():
                return McpError(f"{server.label} did not answer within {self._timeout_s:g} s.", kind="http_error")
            case httpx2.HTTPStatusError():
                return _refused(server, error.response.status_code)
            case httpx2.HTTPError():
                return McpError(f"{server.label} cannot be reached: {error}", kind="http_error")
            case MCPError() if last_status and last_status[0] >= 400:  # which the package does not tell
                return _refused(server, last_status[0])
            case MCPError():
                return McpError(str(error), code=error.code)
            case _:
                return McpError(f"{type(error).__name__}: {error}")


def _refused(server: McpServer, status: int) -> McpError:
    return McpError(f"{server.label} answered with HTTP {status}.", kind="http_error", code=status)


@asynccontextmanager
async def _connected(server: McpServer, statuses: list[int]) -> AsyncIterator[mcp.Client]:
    """An open session with the server; the HTTP status of each request goes to ``statuses``."""
    import httpx2
    from mcp import Client
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    headers = {**server.headers, **_authorization(server)}
    if urlsplit(server.url).path.endswith("/sse"):
        async with Client(sse_client(server.url, headers=headers), mode="legacy") as client:
            yield client
        return

    async def note(response: httpx2.Response) -> None:
        if response.request.method == "POST":
            statuses.append(response.status_code)

    # The whole is limited by the caller; a tool may take longer than a request usually does.
    async with httpx2.AsyncClient(headers=headers, timeout=None, event_hooks={"response": [note]}) as http:
        async with Client(streamable_http_client(server.url, http_client=http)) as client:
            yield client


def _authorization(server: McpServer) -> dict[str, str]:
    """The header of a server's ``authorization``: a token alone is a bearer token."""
    if server.authorization is None:
        return {}
    return {
        "Authorization": server.authorization if " " in server.authorization else f"Bearer {server.authorization}"
    }


def _tool(tool: Any) -> McpTool:
    annotations = tool.annotations
    return McpTool(
        tool.name,
        tool.description or "",
        tool.input_schema,
        None if annotations is None else annotations.model_dump(mode="json", by_alias=True, exclude_none=True),
    )


def _text(content: Sequence[Any], structured: Any) -> str:
    texts = [part.text if part.type == "text" else f"[{part.type}]" for part in content]
    if texts or structured is None:
        return "\n".join(texts)
    return json.dumps(structured, ensure_ascii=False)
