"""A small MCP server, for examples/mcp_agent.py to have one to talk to with no account and no network.

    pip install "voicelive-agent[mcp]"
    python examples/mcp_server.py

It serves http://127.0.0.1:8000/mcp until Ctrl-C.
"""

from __future__ import annotations

from contextlib import suppress

from mcp.server.mcpserver import MCPServer

library = MCPServer("library")


@library.tool()
def find_book(title: str) -> str:
    """Find out where a book is."""
    return f"{title} is on shelf 12."


@library.tool()
def borrow(title: str, days: int = 14) -> str:
    """Borrow a book."""
    return f"{title} is yours for {days} days."


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        library.run(transport="streamable-http")
