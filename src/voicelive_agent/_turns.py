"""The user's side: whose turn it is, and what the service is about to answer."""

from __future__ import annotations

from . import _wire as wire
from ._plan import Plan
from ._turn_detection import TurnPolicy
from ._turnclock import TurnClock


class Turns:
    """The turns of one conversation. A turn begins when the user speaks or types."""

    def __init__(self, plan: Plan) -> None:
        self._policy = plan.turns
        self.clock = TurnClock(rate=plan.input_rate)
        self.number = 0
        self.failed = False  # the open turn's answer failed
        self.user_item: str | None = None  # what the user is saying now
        self.by_hand = False  # the user has the word by push-to-talk
        self.due_item: str | None = None  # what the user said that the service is about to answer by itself
        self.due_at = 0.0
        self._speech_end: tuple[float, float] | None = None  # (moment, when it was noticed), not yet answered

    @property
    def user_speaks(self) -> bool:
        """Whether it is the user who speaks, as the service heard or as the user said."""
        return self.user_item is not None or self.by_hand

    @property
    def user_has_the_floor(self) -> bool:
        """Whether an answer of ours would only be in the way: the user speaks, or was not answered yet."""
        return self.user_speaks or self.due_item is not None

    def follow(self, policy: TurnPolicy) -> None:
        """The turn detection is another one from now on."""
        self._policy = policy

    def typed(self) -> None:
        """The user typed something."""
        self.number += 1
        self.failed = False
        self._speech_end = None

    def taken(self) -> None:
        """The user took the word by push-to-talk."""
        self.typed()
        self.by_hand = True

    def taken_back(self) -> None:
        """That was nothing: the turn counts as not having begun."""
        self.by_hand = False
        self.number -= 1

    def given(self, now: float) -> None:
        """The user gave the word by push-to-talk, and has stopped speaking at this moment."""
        self.by_hand = False
        self._speech_end = (now, now)

    def speech_began(self, message: wire.SpeechBegan, now: float) -> int | None:
        """The user began to speak. Milliseconds since the onset of the speech, if that is known."""
        self.number += 1
        self.failed = False
        self.user_item, self.due_item = message.item_id, None
        self._speech_end = None
        onset = self.clock.when(message.audio_start_ms + self._policy.prefix_padding_ms)
        return None if onset is None else max(0, round((now - onset) * 1000))

    def speech_ended(self, message: wire.SpeechEnded, now: float, *, answering: bool = False) -> None:
        """The user stopped speaking, as the service sees it: the silence that ends a turn is over.

        The service answers nothing new while it is still answering (an answer that was not interrupted).
        """
        self.user_item = None
        end = self.clock.when(message.audio_end_ms - self._policy.silence_ms)
        self._speech_end = (now if end is None else end, now)
        if self._policy.creates_response and not answering:
            self.due_item, self.due_at = message.item_id, now

    def committed(self, item_id: str) -> None:
        """The user's audio became an item, so that it is at its end."""
        if self.user_item == item_id:
            self.user_item = None

    def came_to_nothing(self, item_id: str | None) -> None:
        """There will be no answer to what the user said: the turn counts as not having begun."""
        if item_id is not None and item_id == self.due_item:
            self.due_item = self._speech_end = None
            self.number -= 1

    def answered(self) -> None:
        """A response exists."""
        self.due_item, self.failed = None, False

    def heard(self, at: float) -> tuple[int, int] | None:
        """The first sample of an answer was heard: (response, endpointing) milliseconds, once per turn."""
        if self._speech_end is None:
            return None
        end, noticed = self._speech_end
        self._speech_end = None
        return max(0, round((at - end) * 1000)), round((noticed - end) * 1000)
