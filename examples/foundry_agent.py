"""Give a Foundry agent a voice: it keeps its model, its instructions and its tools, and gets ears and a mouth.

    python examples/foundry_agent.py                          # microphone and speaker, until Ctrl-C
    python examples/foundry_agent.py question.wav answer.wav  # a spoken question, and its answer recorded

It needs ``az login`` (agents take no keys), and in the environment AZURE_VOICELIVE_ENDPOINT, AGENT_NAME and
PROJECT_NAME. For an agent of the classic Agent Service set AGENT_ID (``asst_...``) instead of AGENT_NAME. With no
account: run ``voicelive-agent emulator`` in another terminal, and set AZURE_VOICELIVE_ENDPOINT to ``emulator``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

from voicelive_agent import (
    AgentSpoke,
    AgentTarget,
    SessionStarted,
    UserSpoke,
    VoiceAgent,
    VoiceLiveError,
    WavSink,
    WavSource,
)
from voicelive_agent.errors import SessionRefusedError


class Spokesperson(VoiceAgent):
    """Speaks for the agent. Instructions and tools would be refused here: they are the agent's own."""

    greeting = "Hello! What can I do for you?"
    voice = "en-US-AvaNeural"

    def on_session_started(self, event: SessionStarted) -> None:
        print("connected to", event.granted["agent"]["name"])

    async def on_user_spoke(self, event: UserSpoke) -> None:
        print("you:  ", event.text)
        try:
            granted = await self.update_session(voice="en-US-AndrewNeural")  # from now on, while the call goes on
        except SessionRefusedError as refusal:
            print("(the voice stays as it is:", refusal.reason + ")")
        else:
            print("voice:", granted["voice"]["name"])

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("agent:", event.text)


def target_in(environ: Mapping[str, str]) -> AgentTarget:
    """The agent that the environment names."""
    classic, name, project = (environ.get(each, "") for each in ("AGENT_ID", "AGENT_NAME", "PROJECT_NAME"))
    if not (classic or name) or not project:
        sys.exit("foundry_agent.py: Set PROJECT_NAME, and AGENT_NAME (for a classic agent AGENT_ID).")
    if classic:
        return AgentTarget(classic, project, classic=True)
    return AgentTarget(
        name,
        project,
        version=environ.get("AGENT_VERSION"),
        conversation_id=environ.get("CONVERSATION_ID"),
    )


async def ask(agent: Spokesperson, question: str, answer: str) -> None:
    """Say what is in one file, and record in the other what is heard."""
    async with WavSink(answer) as sink:
        await agent.run(WavSource(question), sink)


def main(files: list[str]) -> None:
    agent = Spokesperson.from_env(target=target_in(os.environ))
    if files:
        asyncio.run(ask(agent, *files))
    else:
        agent.talk()


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3):
        sys.exit("usage: python examples/foundry_agent.py [QUESTION.wav ANSWER.wav]")
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except (VoiceLiveError, OSError) as error:
        sys.exit(f"foundry_agent.py: {error}")
