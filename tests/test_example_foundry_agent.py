"""The example of a Foundry agent, run as its docstring says, and what agents take and refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.agent_driver import Recorder

from voicelive_agent import AgentTarget, VoiceAgent, tool
from voicelive_agent.emulator import Options, ScriptedBrain, serve
from voicelive_agent.errors import ConfigurationError, ConnectError
from voicelive_agent.events import ServiceFailed, SessionStarted, TurnEnded

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "tests" / "data" / "audio" / "cards_001.wav"
CLERK = AgentTarget("clerk", "library")


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if "VOICE" not in name and "AGENT" not in name}
    return subprocess.run(
        [sys.executable, "examples/foundry_agent.py", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env=ours | {"PYTHONIOENCODING": "utf-8"} | environ,
        timeout=50,
        check=False,
    )


@pytest.mark.e2e
@pytest.mark.parametrize("variable", ["AGENT_NAME", "AGENT_ID"])
async def test_a_recorded_question_to_an_emulated_agent(variable: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    async with serve(brain=ScriptedBrain([(".", "We are open today.")])) as server:
        environ = {"AZURE_VOICELIVE_ENDPOINT": server.url, variable: "clerk", "PROJECT_NAME": "library"}
        done = await anyio.to_thread.run_sync(lambda: run(str(RECORDING), str(answer), **environ))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["connected to clerk", "agent: Hello! What can I do for you?"]
    assert "voice: en-US-AndrewNeural" in lines
    assert "agent: We are open today." in lines
    assert answer.stat().st_size > 48_000


@pytest.mark.e2e
def test_what_is_missing_or_refused_is_one_line() -> None:
    done = run(AZURE_VOICELIVE_ENDPOINT="https://a.services.ai.azure.com", AGENT_NAME="clerk")
    assert done.stderr == "foundry_agent.py: Set PROJECT_NAME, and AGENT_NAME (for a classic agent AGENT_ID).\n"
    assert done.returncode == 1
    done = run(
        AZURE_VOICELIVE_ENDPOINT="https://a.services.ai.azure.com",
        AZURE_VOICELIVE_API_KEY="key",
        AGENT_NAME="clerk",
        PROJECT_NAME="library",
    )
    assert done.stderr.startswith("foundry_agent.py: A Foundry agent accepts Microsoft Entra identities only")


class WithTools(VoiceAgent):
    @tool
    def look(self) -> str:
        """Looks."""
        return "found"


class Instructed(VoiceAgent):
    instructions = "Be brief."


@pytest.mark.parametrize("kind", [WithTools, Instructed])
def test_what_an_agent_does_not_take_is_refused_when_it_is_made(kind: type[VoiceAgent]) -> None:
    with pytest.raises(ConfigurationError, match="a Foundry agent has"):
        kind("emulator", target=CLERK)
    kind("emulator", target="gpt-4.1")


class Typing(Recorder):
    """Types one question and hangs up when it was answered."""

    def on_session_started(self, event: SessionStarted) -> None:
        self.send_text("Are you open?")

    def on_turn_ended(self, event: TurnEnded) -> None:
        self.stop()


async def test_an_agent_of_a_project_over_a_socket() -> None:
    target = AgentTarget("clerk", "library", version="7", conversation_id="thread_7")
    async with serve(brain=ScriptedBrain([("open", "Yes.")])) as server:
        agent = Typing(server.url, target=target)
        await agent.run()
    (started,) = agent.all(SessionStarted)
    assert (started.granted["agent"]["name"], started.granted["agent"]["thread_id"]) == ("clerk", "thread_7")
    assert [item.text for item in agent.history] == ["Are you open?", "Yes."]


async def test_an_agent_that_fails() -> None:
    async with serve(options=Options(agent_failure="message")) as server:
        agent = Typing(server.url, target=CLERK)
        await agent.run()
    assert [(event.code, event.message) for event in agent.all(ServiceFailed)] == [
        ("message_creation_failed", "Failed to create message")
    ]


async def test_an_agent_that_does_not_start() -> None:
    async with serve(options=Options(agent_failure="initialization")) as server:
        with pytest.raises(ConnectError, match="Failed to initialize AI agent"):
            await Typing(server.url, target=CLERK).run()
