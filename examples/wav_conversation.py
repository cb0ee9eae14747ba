"""A spoken conversation between two files, all in one program: nothing else has to run, and no account is needed.

    python examples/wav_conversation.py question.wav answer.wav

``question.wav`` is 16-bit PCM of any rate; the recordings in tests/data/audio will do. With the speech packages
(``pip install "voicelive-agent[emulator]"``) the emulator understands what is said; without them it only notices
that somebody speaks, and answers in a tone.
"""

from __future__ import annotations

import asyncio
import sys

from voicelive_agent import AgentSpoke, TurnEnded, UserSpoke, VoiceAgent, VoiceLiveError, WavSink, WavSource
from voicelive_agent.emulator import serve
from voicelive_agent.emulator.protocols import Brain, Ears, Voice
from voicelive_agent.emulator.speech import load_speech, missing_packages


def speech() -> tuple[Ears, Brain, Voice] | tuple[None, None, None]:
    """Real ears, a brain and a voice where they are installed; None stands for the scripted ones."""
    return (None, None, None) if missing_packages() else load_speech()


async def converse(question: str, answer: str) -> None:
    """Say ``question`` to the agent, and record in ``answer`` what is heard, when it is heard."""
    ears, brain, voice = speech()
    source = WavSource(question)
    async with serve(ears=ears, brain=brain, voice=voice) as server:
        agent = VoiceAgent(server.url)
        async with WavSink(answer) as speaker, agent.events(source, speaker) as events:
            async for event in events:
                match event:
                    case UserSpoke(text=text):
                        print("question:", text)
                    case AgentSpoke(text=text):
                        print("answer:  ", text)
                    case TurnEnded(response_ms=int(response_ms)):
                        print(f"({response_ms} ms from the end of the question to the first sound of the answer)")
    print("recorded:", answer)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/wav_conversation.py question.wav answer.wav")
    try:
        asyncio.run(converse(sys.argv[1], sys.argv[2]))
    except VoiceLiveError as error:
        sys.exit(f"wav_conversation.py: {error}")
