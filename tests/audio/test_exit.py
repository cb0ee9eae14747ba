"""The end of a process while PortAudio is being loaded: no crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .pulse import Card

pytestmark = [pytest.mark.audio]

PROGRAM = """
import sys, time
from voicelive_agent import _device_portaudio as card

def look() -> None:
    with card._portaudio() as sounddevice:
        sounddevice.query_devices()

card.detach(look)
time.sleep(float(sys.argv[1]))
"""


def test_a_process_that_ends_while_portaudio_is_loaded_ends_well(card: Card) -> None:
    """Ctrl-C at the beginning of a program: without a guard, one of four of these crashed here."""
    for delay_ms in range(0, 100, 5):
        program = [sys.executable, "-c", PROGRAM, str(delay_ms / 1000)]
        run = subprocess.run(program, env=card.environ, capture_output=True, timeout=30, check=False)
        assert (run.returncode, delay_ms) == (0, delay_ms)
