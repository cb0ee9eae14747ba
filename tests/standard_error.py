"""What programs say on standard error, on a machine that does other things too."""

from __future__ import annotations


def without_slow_hooks(errors: str) -> str:
    """All but the warnings of hooks that held the event loop: any does on a machine that is busy."""
    lines = errors.splitlines(keepends=True)
    return "".join(line for line in lines if not (line.startswith("Hook ") and "held the event loop" in line))
