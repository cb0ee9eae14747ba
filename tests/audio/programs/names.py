"""What devices there are, and what is said of wrong names and rates."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from child import options, say

from voicelive_agent.devices import Microphone, Speaker, list_devices
from voicelive_agent.errors import AudioDeviceError


async def attempt(kind: type[Microphone | Speaker], **settings: Any) -> str:
    """How opening it ends: the device that is open then, or the complaint."""
    try:
        async with kind(**settings) as opened:
            return f"open: {opened.device}"
    except AudioDeviceError as refusal:
        return str(refusal)


async def main(microphones: list[dict[str, Any]], speakers: list[dict[str, Any]]) -> None:
    say("devices", found=[dataclasses.asdict(device) for device in list_devices()])
    say("microphones", said=[await attempt(Microphone, **settings) for settings in microphones])
    say("speakers", said=[await attempt(Speaker, **settings) for settings in speakers])


if __name__ == "__main__":
    asyncio.run(main(**options()))
