"""``voicelive-agent devices``: the microphones and speakers that there are."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..errors import AudioDeviceError

if TYPE_CHECKING:
    from ..devices import Device

__all__ = ["devices"]


def devices(*, as_json: bool) -> int:
    """Print them; 0, or 2 if there are none. AudioDeviceError without PortAudio."""
    from ..devices import list_devices

    found = list_devices()
    if as_json:
        print(json.dumps([asdict(device) for device in found], indent=2, ensure_ascii=False))
    elif found:
        print("\n".join(_table(found)))
    if not found:
        hint = "Plug one in, or use files: voicelive-agent talk --source question.wav --sink answer.wav"
        print(f"voicelive-agent: {AudioDeviceError('There is no sound card.', hint=hint)}", file=sys.stderr)
    return 0 if found else 2


def _table(found: Sequence[Device]) -> list[str]:
    rows = [("", "Nr", "Device", "Host API", "In", "Out", "Rate")]
    for device in found:
        mark = (">" if device.is_default_input else " ") + ("<" if device.is_default_output else " ")
        channels = (str(device.inputs or "-"), str(device.outputs or "-"))
        rows.append((mark, str(device.index), device.name, device.host_api, *channels, f"{device.rate} Hz"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligns = ("<", ">", "<", "<", ">", ">", ">")
    lines = [
        "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(row, aligns, widths, strict=True))
        for row in rows
    ]
    return [*lines, "", "> is the default microphone, < the default speaker. Name one with --input and --output."]
