"""Fuzzes what the service may say: any lines of bytes, decoded and fed to a conversation. Nothing may raise.

    python tests/fuzz/fuzz_service.py -max_total_time=60 [CORPUS]

Needs atheris (``nox -s fuzz`` installs it). Without a corpus it starts from tests/data/traces.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["voicelive_agent"]):
    from voicelive_agent import _wire as wire
    from voicelive_agent._conversation import Conversation
    from voicelive_agent._outputs import Play, StopPlayback
    from voicelive_agent._plan import Plan
    from voicelive_agent._turn_detection import turn_policy

TRACES = Path(__file__).parent.parent / "data" / "traces"
PLAN = Plan(session={}, turns=turn_policy({}), tools={"get_weather": False, "slow": True}, greeting="Hello.")


def one_input(data: bytes) -> None:
    """A session of these lines: the first byte of each says how much of the pending audio was heard before it."""
    conversation, pending, now = Conversation(PLAN), 0, 0.0
    for line in data.split(b"\n")[:200]:
        now += 0.1
        pending -= pending * (line[0] if line else 0) // 255
        message = wire.decode(line[1:])
        if isinstance(message, wire.Unreadable):
            message = wire.decode(line)
        for output in conversation.receive(message, pending=pending, now=now):
            if isinstance(output, Play):
                pending += output.samples
            elif isinstance(output, StopPlayback):
                pending = 0
        assert conversation.deadline is None or conversation.deadline >= now


def seeds(folder: Path) -> None:
    """The messages of each recording, as one input."""
    for trace in TRACES.glob("*.jsonl"):
        lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
        said = [json.dumps(line["data"]).encode() for line in lines if line.get("direction") == "received"]
        (folder / trace.stem).write_bytes(b"\n".join(said))


def main() -> None:
    arguments = sys.argv
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="voicelive-fuzz-"))
        seeds(corpus)
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
