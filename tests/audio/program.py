"""A child process that uses the virtual sound card, and says in lines of JSON what happens to it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from .pulse import Card, prefer

PROGRAMS: Final = Path(__file__).parent / "programs"
LINE_S: Final = 20.0
"""The longest that a line is waited for."""
_KEPT = 20_000
_NOISE = (b"Expression ", b"ALSA lib ")
"""What PortAudio and ALSA print by the million when a sound server dies."""

Line: TypeAlias = dict[str, Any]


class Program:
    """A running program. ``lines`` is what it said so far, each with its ``kind`` and the time ``at`` which."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[Line] = []
        self.errors = ""
        self._watching = asyncio.ensure_future(self._collect_errors())

    async def _collect_errors(self) -> None:
        """Keep the beginning of what it complains of, and let it complain as much as it likes."""
        assert self.process.stderr is not None
        rest = b""
        while block := await self.process.stderr.read(1 << 16):
            *whole, rest = (rest + block).split(b"\n")
            if len(self.errors) < _KEPT:
                kept = [line for line in whole if line.strip() and not line.startswith(_NOISE)]
                self.errors += b"".join(line + b"\n" for line in kept).decode(errors="replace")
        self.errors += rest.decode(errors="replace")

    async def line(self) -> Line:
        """The next line it says. AssertionError when it has no more to say."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LINE_S):
            text = await self.process.stdout.readline()
        assert text, f"it ended with code {await self.process.wait()}: {await self._complaints()}"
        said: Line = json.loads(text)
        self.lines.append(said)
        return said

    async def until(self, kind: str, **fields: Any) -> Line:
        """The next line of this kind that has these fields."""
        while True:
            said = await self.line()
            if said["kind"] == kind and fields.items() <= said.items():
                return said

    async def tell(self, **command: Any) -> None:
        """Write a line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        try:
            await self.process.stdin.drain()
        except ConnectionError:
            raise AssertionError(f"it is gone: {await self._complaints()}") from None

    async def end(self, limit_s: float = LINE_S) -> int:
        """Read what else it says, and the code it ends with."""
        assert self.process.stdout is not None
        async with asyncio.timeout(limit_s):
            async for text in self.process.stdout:
                self.lines.append(json.loads(text))
            code = await self.process.wait()
        await self._watching
        return code

    async def finish(self, limit_s: float = LINE_S) -> list[Line]:
        """All it said until its end, which must be a good one, without a complaint."""
        code = await self.end(limit_s)
        assert code == 0, f"it ended with code {code}: {self.errors}"
        assert not self.errors, self.errors
        return self.lines

    async def _complaints(self) -> str:
        await asyncio.wait([self._watching], timeout=2)
        return self.errors

    def all(self, kind: str) -> list[Line]:
        """The lines of a kind so far."""
        return [line for line in self.lines if line["kind"] == kind]


@asynccontextmanager
async def running(
    card: Card, program: str, environ: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Program]:
    """A program of the folder ``programs`` on this card; ``options`` reach it as JSON. It is gone at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAMS / program),
        json.dumps(options),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=card.environ | (environ or {}),
        limit=1 << 20,
    )
    prefer(process.pid)  # its threads have it from their beginning
    child = Program(process)
    try:
        yield child
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await child._watching
        if process.stdin is not None:
            process.stdin.close()
