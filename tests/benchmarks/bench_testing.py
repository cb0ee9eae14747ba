"""How long a whole spoken conversation takes in a unit test, and what the pytest plugin costs those without it.

python tests/benchmarks/bench_testing.py
"""

from __future__ import annotations

import subprocess
import sys
import time

from voicelive_agent import VoiceAgent, tool
from voicelive_agent.emulator import Call
from voicelive_agent.testing import Conversation

ROUNDS = 20
ANSWERS = [
    (r"open on (\w+)", Call("opening_hours", {"day": r"\1"})),
    ("story", "Once upon a time there was a library with a thousand and one rooms."),
]


class Receptionist(VoiceAgent):
    """The agent of the benchmark."""

    greeting = "City library, good morning!"

    @tool
    def opening_hours(self, day: str) -> str:
        """When the library is open."""
        return "closed" if day == "Sunday" else "9 to 17"


def talk() -> float:
    """Three spoken turns, a tool and a barge-in; how long the conversation was in its own time."""
    with Conversation(Receptionist, ANSWERS) as call:
        call.expect_says("good morning")
        call.user_says("Are you open on Sunday?")
        call.expect_tool("opening_hours", {"day": "Sunday"})
        call.expect_says("closed")
        call.user_says("Tell me a story.")
        call.user_interrupts("Thank you, that is enough.", after_ms=1000)
        call.expect_interrupted(1000, 1500)
        call.expect_says("I heard")
        call.expect_state("ready")
        call.expect_no_errors()
    return float(call.story.splitlines()[-1].split()[0])


def main() -> None:
    """Print what was measured."""
    began = time.perf_counter()
    lasted = talk()
    first = time.perf_counter() - began
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        talk()
        times.append(time.perf_counter() - began)
    print(f"a conversation of {lasted:.1f} s: first {first:.3f} s, then median {sorted(times)[ROUNDS // 2]:.3f} s")
    code = "import pytest, time; t = time.perf_counter(); import voicelive_agent.testing.plugin; "
    code += "print(f'loading the pytest plugin: {(time.perf_counter() - t) * 1000:.1f} ms')"
    subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    main()
