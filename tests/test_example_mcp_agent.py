"""The example of an agent with an MCP server, run as its docstring says."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest
from mcp import Client

from voicelive_agent.emulator import Call, ScriptedBrain, serve

from .emulator.mcp_servers import serving

pytestmark = pytest.mark.e2e  # a program, run as people run it: once is enough

ROOT = Path(__file__).parents[1]
EXAMPLE = str(ROOT / "examples" / "mcp_agent.py")
RULES = [
    (r"find (\w+)", Call("find_book", {"title": r"\1"})),
    (r"borrow (\w+)", Call("borrow", {"title": r"\1"})),
]


async def run(*arguments: str, words: str) -> list[str]:
    """What the example prints, given these words to read, while an emulator is served."""
    async with serve(brain=ScriptedBrain(RULES)) as server:
        ours = {name: value for name, value in os.environ.items() if "VOICE" not in name}
        environment = ours | {"PYTHONIOENCODING": "utf-8", "AZURE_VOICELIVE_ENDPOINT": server.url}
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, EXAMPLE, *arguments],
                input=words,
                capture_output=True,
                text=True,
                encoding="utf-8",
                env=environment,
                timeout=50,
                check=False,
            )
        )
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.replace("you:   ", "").splitlines()
    assert first == f"(connected; the service asks {arguments[0]} for its tools)"
    return lines


async def test_it_asks_before_it_does_anything_that_is_not_harmless() -> None:
    with serving() as library:
        words = "find Emma\nborrow Emma\nn\nborrow Emma\na\nborrow Ulysses\n\n"
        lines = await run(library.url, "find_book", words=words)
    question = 'May it borrow {"title": "Emma"}? [y]es, [a]lways, no: '
    assert lines[:8] == [
        "(library has find_book, borrow, burn; an empty line hangs up)",
        "(find_book is called)",
        "(find_book: done)",
        "agent: Emma: shelf 7",
        "(borrow is called)",
        f"{question}(borrow: refused)",
        "agent: The user did not approve this call.",
        "(borrow is called)",
    ]
    assert lines[8] == f"{question}(borrow: done)"
    assert [name for name, _ in library.calls] == ["find_book", "borrow", "borrow"]
    assert lines.count("(borrow is called)") == 3
    assert len([line for line in lines if line.startswith("May it")]) == 2


async def test_it_goes_on_without_a_server() -> None:
    with socket.socket() as taken:  # nobody else can take the port, and nobody listens there
        taken.bind(("127.0.0.1", 0))
        lines = await run(f"http://127.0.0.1:{taken.getsockname()[1]}/mcp", words="hello\n\n")
    assert lines == [
        "(it goes on without the tools: the server does not answer)",
        "agent: I heard: hello",
    ]


def test_what_is_wrong_is_one_line() -> None:
    done = subprocess.run([sys.executable, EXAMPLE, "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("mcp_agent.py: MCPServer.server_url is 'nonsense'; it must be text that begins")
    assert len(done.stderr.splitlines()) == 1


async def test_the_server_of_the_examples() -> None:
    """Its own `run()` takes the port that its docstring names; here it is asked in memory."""
    spec = importlib.util.spec_from_file_location("mcp_server", ROOT / "examples" / "mcp_server.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    async with Client(program.library) as client:
        assert [each.name for each in (await client.list_tools()).tools] == ["find_book", "borrow"]
        result = await client.call_tool("borrow", {"title": "Emma"})
    assert result.content[0].text == "Emma is yours for 14 days."


def test_without_a_server_it_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "examples/mcp_agent.py http" in done.stderr
