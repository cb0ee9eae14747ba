"""The receptionist, run as its docstring says, in real time with recorded speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.test_examples import RECORDING, run

from voicelive_agent._toolcalls import REFUSED
from voicelive_agent.emulator import Action, Call, Say, Turn, serve

pytestmark = pytest.mark.e2e

RESERVE = {"title": "Emma", "until": "2030-12-31"}


class Librarian:
    """A model that finds, then reserves, then tells what came of it."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        last = turn.items[-1]
        if last["type"] != "function_call_output":
            yield Call("find_book", {"title": "Emma"})
        elif "shelf" in last["output"]:
            yield Call("reserve", RESERVE)
        else:
            yield Say(last["output"])


@pytest.mark.parametrize(
    ("typed", "told"),
    [("y", "Emma is at the north desk until December 31."), ("n", REFUSED["refused"])],
    ids=["approved", "refused"],
)
async def test_receptionist(tmp_path: Path, typed: str, told: str) -> None:
    answer = tmp_path / "answer.wav"
    files = (str(RECORDING), str(answer))
    async with serve(brain=Librarian()) as server:
        endpoint = server.url
        out = await anyio.to_thread.run_sync(
            lambda: run("examples/receptionist.py", *files, words=f"{typed}\n", AZURE_VOICELIVE_ENDPOINT=endpoint)
        )
    assert out.splitlines() == [
        "you:   Hello.",
        "agent: One moment, I am looking.",
        'May I reserve {"title": "Emma", "until": "2030-12-31"}? [y/n/always]',
        f"agent: {told}",
    ]
    assert answer.stat().st_size > 48_000
