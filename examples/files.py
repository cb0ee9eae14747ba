"""Any recording to an agent (WAV, FLAC, Ogg, MP3 and more), and what is heard of its answer to a WAV file.

No account is needed. In one terminal, Voice Live on this machine, and in another one a conversation between files:

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/files.py question.mp3 answer.wav

All but WAV needs one more package: pip install "voicelive-agent[audio]".
"""

from __future__ import annotations

import asyncio
import sys

from voicelive_agent import AgentSpoke, FileSource, UserSpoke, VoiceAgent, VoiceLiveError, WavSink


class Clerk(VoiceAgent):
    instructions = "Answer in one sentence."

    def on_user_spoke(self, event: UserSpoke) -> None:
        print("question:", event.text)

    def on_agent_spoke(self, event: AgentSpoke) -> None:
        print("answer:  ", event.text)


async def answer(question: str, recording: str) -> None:
    """Say what is in ``question`` in real time, and record what a listener hears."""
    source = FileSource(question)
    print(f"{question}: {source.duration_s:.2f} s, {source.format}")
    async with WavSink(recording) as speaker:
        await Clerk.from_env().run(source, speaker)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/files.py QUESTION ANSWER.wav")
    try:
        asyncio.run(answer(*sys.argv[1:]))
    except (VoiceLiveError, OSError) as error:  # OSError: the answer cannot be written
        sys.exit(f"files.py: {error}")
