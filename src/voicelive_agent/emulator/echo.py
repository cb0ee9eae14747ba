"""A brain that says back what the user said: the shortest way to hear whether everything is connected."""

from __future__ import annotations

from collections.abc import Iterator

from ._script_rules import user_words
from .protocols import Action, Say, Turn

__all__ = ["EchoBrain"]


class EchoBrain:
    """Says back the user's last words. Without any it says so; it calls no functions."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        """The user's last words."""
        spoken = [item for item in turn.items if item["type"] == "message" and item["role"] == "user"]
        if not spoken:
            yield Say("Say something, and I will say it back.")
        else:
            yield Say(user_words(spoken[-1]) or "I did not hear any words.")
