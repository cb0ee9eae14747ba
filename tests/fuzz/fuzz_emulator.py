"""Fuzzes the emulator's session: any frames, in any order and at any time, are answered and survived.

    python tests/fuzz/fuzz_emulator.py -max_total_time=60 [CORPUS]

Needs atheris (``nox -s fuzz`` installs it). What has to hold is in emulator_trial.py.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["voicelive_agent"]):
    import emulator_trial


def seeds(folder: Path) -> None:
    """Sessions of random decisions: long enough that something happens in them."""
    chance = random.Random(1)
    for number in range(40):
        (folder / str(number)).write_bytes(chance.randbytes(20 + 10 * number))


def main() -> None:
    arguments = sys.argv
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="voicelive-fuzz-"))
        seeds(corpus)
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, emulator_trial.trial)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
