"""What the service hears of the user: speech that begins and ends, and what was said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from . import _wire as wire
from . import events
from ._answers import Answers
from ._step import Step
from ._turns import Turns
from .history import History


class UserSpeech:
    """The user's side of one conversation, as the service tells it."""

    def __init__(self, step: Step, turns: Turns, answers: Answers, history: History) -> None:
        self._step = step
        self._turns = turns
        self._answers = answers
        self._history = history

    def on_began(self, message: wire.SpeechBegan) -> None:
        """The user began to speak, which interrupts the agent unless that is ruled out."""
        onset_ms = self._turns.speech_began(message, self._step.now)
        self._history.mention(message.item_id, "user")
        self._step.tell(events.SpeechStarted(message.item_id, message.audio_start_ms))
        service_interrupts = self._step.plan.turns.interrupts_response
        if self._answers.responses.uninterruptible or not (service_interrupts or self._step.plan.client_barge_in):
            return
        # Where the service interrupts, it cancels its own response: one more cancel would only be refused.
        self._answers.interrupt(cancel=not service_interrupts, barge_in_ms=onset_ms)

    def on_ended(self, message: wire.SpeechEnded) -> None:
        """The user stopped speaking."""
        answer = self._answers.responses.open
        answering = answer is not None and not answer.dropped and not answer.silent
        self._turns.speech_ended(message, self._step.now, answering=answering)
        self._step.tell(events.SpeechStopped(message.item_id, message.audio_end_ms))

    def on_committed(self, message: wire.InputCommitted) -> None:
        """What was said is an item of the conversation."""
        if (commit := self._step.requests.confirmed(wire.CommitInput)) is not None:
            self._history.name(commit.event_id, message.item_id)
        self._history.mention(message.item_id, "user")
        self._turns.committed(message.item_id)

    def on_delta(self, message: wire.UserTranscriptDelta) -> None:
        """A piece of what was said."""
        self._history.mention(message.item_id, "user")
        text = self._history.say(message.item_id, message.delta or "", append=True)
        self._step.tell(events.UserSpeaking(message.item_id, text))

    def on_transcript(self, message: wire.UserTranscript) -> None:
        """All that was said."""
        text = (message.transcript or "").strip()
        if text:  # noise suppression makes the service send a second, empty one
            self._history.mention(message.item_id, "user")
            self._history.say(message.item_id, text)
            self._step.tell(events.UserSpoke(message.item_id, text, message.language))
        else:
            self._turns.came_to_nothing(message.item_id)

    def on_failed(self, message: wire.UserTranscriptFailed) -> None:
        """Nobody will know what was said."""
        error = message.error
        self._step.tell(events.TranscriptionFailed(message.item_id, error.code or "", error.message or ""))
        # A realtime model hears the audio itself, and answers whether its words are known or not. A cascade needs
        # words, and has none. It was never seen what the service does then: if it answers all the same, no event
        # before response.created says so, and to wait for that would be to wait for what may never come.
        if self._step.plan.profile == "cascade":
            self._turns.came_to_nothing(message.item_id)


SPEECH_HANDLERS: Final[dict[type[Any], Callable[[UserSpeech, Any], None]]] = {
    wire.SpeechBegan: UserSpeech.on_began,
    wire.SpeechEnded: UserSpeech.on_ended,
    wire.InputCommitted: UserSpeech.on_committed,
    wire.UserTranscriptDelta: UserSpeech.on_delta,
    wire.UserTranscript: UserSpeech.on_transcript,
    wire.UserTranscriptFailed: UserSpeech.on_failed,
}
"""The messages that are about what the user says."""
