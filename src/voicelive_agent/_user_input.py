"""What the user may do besides speaking freely: type, show an image, and say when a turn begins and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from ._image_link import download, is_link, shown_link
from ._images import Detail, check_detail, load_image
from ._manual_turns import MAX_PRE_ROLL_MS
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._shell import Shell

__all__ = ["UserInput", "text_of"]


def text_of(text: str) -> str:
    """The text, or a TypeError for anything else."""
    if not isinstance(text, str):
        raise TypeError(f"This is no text: {text!r:.80}. What is said or typed is a str.")
    return text


class UserInput:
    """The part of an agent that stands in for the user. RuntimeError from all of it when no call is running."""

    _shell: Shell | None
    _running: bool

    def _current(self) -> Shell:
        if self._shell is None or not self._running:
            raise RuntimeError("No call is running: use this from hooks, or while run() or events() is open.")
        return self._shell

    def send_text(self, text: str, *, respond: bool = True) -> None:
        """Let the user have typed this, and answer it; from hooks and from any thread.

        What the agent is saying goes on, and the answer follows it; call :meth:`interrupt` first for an answer at
        once. Without ``respond`` it is only for the model to know, when it next answers.
        RuntimeError when no call is running.
        """
        shell = self._current()
        shell.post(shell.conversation.send_text, text_of(text), respond=respond)

    async def send_image(
        self,
        image: bytes | bytearray | memoryview | Path | str,
        *,
        text: str | None = None,
        detail: Detail = "auto",
        respond: bool = True,
    ) -> None:
        """Show the agent an image, with a text about it, and let it answer as with :meth:`send_text`.

        ``image`` is its bytes, the Path of a file, a data URI, or a link (``https://...``): a PNG, JPEG, WebP or
        GIF of 3 MB at most. A link is downloaded by this program, within 10 s: give none that a stranger wrote,
        since it may lead into your own network. The image is read and encoded in a thread, so this is awaited; the
        history shows it as ``[image/png, 12,345 bytes]``, after the text.

        Raises :class:`~voicelive_agent.errors.ImageError`, which names what was found instead, OSError for a file
        that cannot be read, and RuntimeError when no call is running.
        """
        check_detail(detail)
        text = text_of(text) if text is not None else ""
        shell = self._current()
        if is_link(image):
            loaded = await asyncio.to_thread(load_image, await download(image), shown_link(image))
        else:
            loaded = await asyncio.to_thread(load_image, image)
        content = [{"type": "input_text", "text": text}] if text else []
        shown = f"{text} {loaded.note}" if text else loaded.note
        shell.post(shell.conversation.send_content, [*content, loaded.part(detail)], shown, respond=respond)

    def begin_turn(self, *, pre_roll_ms: int = 0, limit_s: float = 60.0) -> None:
        """The user presses the button to talk; from hooks and from any thread.

        The agent falls silent, the state is LISTENING, and from here to :meth:`end_turn` the microphone is heard;
        what it hears otherwise is not sent. ``pre_roll_ms`` (0 to 1000) adds what it heard just before. A turn
        not ended within ``limit_s`` is ended then, with a ``TurnTimedOut`` event. Does nothing within a turn.

        Raises :class:`~voicelive_agent.errors.ConfigurationError` where the service detects turns (they need
        ``SessionConfig(turn_detection=None)``), ValueError, and RuntimeError when no call is running.
        """
        if type(pre_roll_ms) is not int or not 0 <= pre_roll_ms <= MAX_PRE_ROLL_MS:
            raise ValueError(f"pre_roll_ms must be 0 to {MAX_PRE_ROLL_MS} whole milliseconds, not {pre_roll_ms!r}")
        limit: object = limit_s
        if not isinstance(limit, int | float) or not limit > 0:
            raise ValueError(f"limit_s must be positive, not {limit_s!r}")
        shell = self._with_turns_by_hand()
        shell.post(shell.conversation.begin_turn, pre_roll_ms=pre_roll_ms, limit_s=limit_s)

    def end_turn(self) -> None:
        """The user lets the button go: what was said is answered; from hooks and from any thread.

        Under 100 ms nothing is sent, and a ``TurnTooShort`` event says so. Does nothing without a turn. Raises the
        same as :meth:`begin_turn`.
        """
        shell = self._with_turns_by_hand()
        shell.post(shell.conversation.end_turn)

    def _with_turns_by_hand(self) -> Shell:
        shell = self._current()
        if not shell.conversation.turns_by_hand:
            raise ConfigurationError(
                "begin_turn() and end_turn() are for turns by hand, and here the service detects turns: it would "
                "commit the same audio as well.",
                hint="Use SessionConfig(turn_detection=None).",
            )
        return shell
