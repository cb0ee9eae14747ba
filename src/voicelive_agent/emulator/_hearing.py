"""The user's turns: from appended audio to committed items and their transcripts."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from ._audio import EARS_RATE, InputDecoder
from ._config import TurnSettings
from ._context import Context
from ._end_of_utterance import EndOfUtterance
from ._errors import commit_empty
from ._options import Job
from ._schema import SEMANTIC_VADS
from ._timeline import Step, Stream
from ._transcription import LOGPROBS, PHRASES, cleaned, deltas, logprobs, phrases, timed
from ._vad import InputAudio, SpeechIgnored, SpeechStarted, SpeechStopped, TurnEvent, TurnPolicy
from .protocols import Ears, RunningEars, TimingEars, Transcript

_SMALLEST_COMMIT_MS = 100


@dataclass(slots=True, eq=False)
class Utterance:
    """Speech that waits for its words."""

    item: dict[str, Any]
    pcm: bytes
    at: float
    """When it was committed."""
    previous: str | None = None
    manual: bool = False
    automatic: bool = False
    """Whether the service answers it by itself."""
    silent: bool = False
    """Whether no event tells of it: the client sent the audio inside an item."""


class Hearing:
    """The input audio buffer, turn detection and transcription of one session."""

    def __init__(
        self,
        context: Context,
        ears: Ears,
        *,
        on_interrupt: Callable[[], None],
        on_committed: Callable[[Utterance], None],
        on_words: Callable[[Utterance, str], None],
    ) -> None:
        self._context = context
        self._ears = ears
        self._on_interrupt = on_interrupt
        self._on_committed = on_committed
        self._on_words = on_words
        self._events = Stream(context.timeline)
        self._speech_item = ""
        self._waiting: deque[Utterance] = deque()  # the first one is with the ears
        self._pending = 0
        self.user_speaking = False
        """Whether the client was told that speech started, and not yet that it stopped."""
        self._audio = InputAudio(ears.listener(), self._decoder(), self._policy())

    def _decoder(self) -> InputDecoder:
        config = self._context.config
        return InputDecoder(config["input_audio_format"], config.input_rate, config.input_channels)

    def _policy(self) -> TurnPolicy | None:
        """How turns are found; the words have a say only where the ears hear them in time."""
        config = self._context.config
        turn = config.turn
        if turn is None:
            return None
        if not isinstance(self._ears, RunningEars):
            return TurnPolicy(turn)
        waits_for = EndOfUtterance.of(config["turn_detection"])
        return TurnPolicy(turn, waits_for, self._removes_fillers, self._language_of_words)

    @property
    def _removes_fillers(self) -> bool:
        return (self._context.config["turn_detection"] or {}).get("remove_filler_words") is True

    @property
    def _language(self) -> str | None:
        """What the client says the user speaks."""
        return (self._context.config["input_audio_transcription"] or {}).get("language") or None

    @property
    def _language_of_words(self) -> str | None:
        languages = (self._context.config["turn_detection"] or {}).get("languages") or (None,)
        return self._language or languages[0]

    @property
    def item_decoder(self) -> InputDecoder:
        """What reads the audio of an item: the same format, always one channel."""
        config = self._context.config
        return InputDecoder(config["input_audio_format"], config.input_rate)

    @property
    def decoder(self) -> InputDecoder:
        """What reads appended audio."""
        return self._audio.decoder

    @property
    def pending(self) -> bool:
        """Whether the words of a committed turn are still to come."""
        return self._pending > 0

    @property
    def detects_turns(self) -> bool:
        """Whether every frame of audio costs a look by the listener."""
        return self._audio.policy is not None

    @property
    def deciding(self) -> bool:
        """Whether no more audio can be heard until the ears have said what was spoken so far."""
        return self._audio.undecided is not None

    # --- The buffer ---------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Take over the audio format and turn detection of the session."""
        self._audio.configure(self._decoder(), self._policy())
        if not self.detects_turns:
            self.user_speaking = False

    def append(self, raw: bytes) -> None:
        """Hear more audio; whatever the listener raises comes through."""
        self._follow(self._audio.feed(raw))

    def _follow(self, events: Iterable[TurnEvent]) -> None:
        turn = self._context.config.turn
        for event in events:
            assert turn is not None
            match event:
                case SpeechStarted(audio_start_ms):
                    self._start(audio_start_ms, turn)
                case SpeechStopped(audio_end_ms, pcm):
                    self._stop(audio_end_ms, pcm, turn)
                case SpeechIgnored(pcm):
                    self._ignore(pcm)
        undecided = self._audio.undecided
        if undecided is not None:
            self._look(undecided)

    def _look(self, pcm: bytes) -> None:
        """Have the ears say what was spoken so far."""
        ears, language = self._ears, self._language
        assert isinstance(ears, RunningEars)

        def run() -> object:
            return ears.transcribe_so_far(pcm, language=language)

        self._context.work(Job("transcribe", ears, run, self._looked))

    def _ignore(self, pcm: bytes) -> None:
        """Have what was no turn transcribed for nobody: ears that follow a script go on by one utterance."""
        ears, language = self._ears, self._language
        self._context.work(
            Job("transcribe", ears, lambda: ears.transcribe(pcm, language=language), lambda _: None)
        )

    def _looked(self, result: object) -> None:
        # A failure is told where it counts, when the whole turn is transcribed.
        self._follow(self._audio.decide(result.text if _heard_words(result) else None))

    def commit(self) -> None:
        """End the turn by hand; raises ClientError under 100 ms."""
        if self._audio.buffered_ms < _SMALLEST_COMMIT_MS:
            raise commit_empty(self._audio.buffered_ms)
        item_id = self._speech_item if self._audio.speaking else self._new_id()
        pcm = self._audio.take()

        def act() -> None:
            self.user_speaking = False
            self._commit(item_id, pcm, manual=True, automatic=False)

        self._events.add(Step(act))

    def clear(self) -> None:
        """Forget what was appended and not committed."""
        self._audio.take()

        def act() -> None:
            self.user_speaking = False
            self._context.timeline.send("input_audio_buffer.cleared")

        self._events.add(Step(act))

    def _new_id(self) -> str:
        turn = self._context.config.turn
        if turn is not None and turn.type in SEMANTIC_VADS:
            return self._context.ids.service("item")
        return self._context.model_id("item")

    # --- Turns --------------------------------------------------------------------------------------------

    def _start(self, audio_start_ms: int, turn: TurnSettings) -> None:
        context = self._context
        item_id = self._speech_item = self._new_id()

        def act() -> None:
            self.user_speaking = True
            context.timeline.send(
                "input_audio_buffer.speech_started", audio_start_ms=audio_start_ms, item_id=item_id
            )
            if turn.auto_truncate:
                self._truncate_playing()
            if turn.interrupt_response:
                self._on_interrupt()

        self._events.add(Step(act, not_before=context.timeline.now + context.delays.started))

    def _truncate_playing(self) -> None:
        playing = self._context.items.playing(self._context.timeline.now)
        if playing is None:
            return
        item_id, played_ms = playing
        self._context.items.truncate(item_id, 0, played_ms, appended=self._context.config.appended_text)
        self._context.timeline.send(
            "conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=played_ms
        )

    def _stop(self, audio_end_ms: int, pcm: bytes, turn: TurnSettings) -> None:
        context, item_id = self._context, self._speech_item

        def act() -> None:
            self.user_speaking = False
            context.timeline.send("input_audio_buffer.speech_stopped", audio_end_ms=audio_end_ms, item_id=item_id)
            self._commit(item_id, pcm, manual=False, automatic=turn.create_response)

        self._events.add(Step(act, not_before=context.timeline.now + context.delays.stopped))

    def _commit(self, item_id: str, pcm: bytes, *, manual: bool, automatic: bool) -> None:
        context, realtime = self._context, self._context.profile.realtime
        last_user = context.items.last_user_id
        part: dict[str, Any] = {"type": "input_audio", "transcript": None if realtime else ""}
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [part],
        }
        last = context.items.add(item)
        context.items.speech_ms[item_id] = len(pcm) * 500 / EARS_RATE
        previous = last if realtime else last_user
        context.timeline.send("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        utterance = Utterance(item, pcm, context.timeline.now, previous, manual, automatic)
        if realtime:
            self._send_item("created", utterance)
            if not self._from_azure:
                # Leaks from the model behind; the SDK has no type for it.
                self._send_item("done", utterance)
        self._pending += 1
        self._on_committed(utterance)
        self._listen(utterance)

    @property
    def _from_azure(self) -> bool:
        turn = self._context.config.turn
        return turn is not None and turn.type in SEMANTIC_VADS

    def _send_item(self, what: str, utterance: Utterance) -> None:
        self._context.timeline.send(
            f"conversation.item.{what}",
            previous_item_id=utterance.previous,
            item=copy.deepcopy(utterance.item),
        )

    # --- Words --------------------------------------------------------------------------------------------

    def listen_to_item(self, item: dict[str, Any], raw: bytes) -> None:
        """Hear the audio that the client put into an item, in the session's input format."""
        decoder = self.item_decoder
        pcm = decoder.decode(raw) + decoder.finish()
        self._pending += 1
        self._listen(Utterance(item, pcm, self._context.timeline.now, silent=True))

    def _listen(self, utterance: Utterance) -> None:
        self._waiting.append(utterance)
        if len(self._waiting) == 1:
            self._transcribe()

    def _transcribe(self) -> None:
        pcm, ears, language = self._waiting[0].pcm, self._ears, self._language
        timing = isinstance(ears, TimingEars) and bool(self._included & {PHRASES, LOGPROBS})

        def run() -> object:
            if timing and isinstance(ears, TimingEars):
                return ears.transcribe_words(pcm, language=language)
            return ears.transcribe(pcm, language=language)

        self._context.work(Job("transcribe", ears, run, self._heard))

    @property
    def _included(self) -> set[str]:
        return set(self._context.config["include"] or ())

    def _heard(self, result: object) -> None:
        utterance = self._waiting.popleft()
        due = utterance.at + self._context.delays.transcript
        self._context.timeline.at(due, lambda: self._tell(utterance, result))
        if self._waiting:
            self._transcribe()

    def _tell(self, utterance: Utterance, result: object) -> None:
        """Send what the ears made of it, then the item where it was held back until now."""
        text, error = "", None
        if _heard_words(result):
            result = cleaned(result, self._language_of_words) if self._removes_fillers else result
            text = result.text
        else:
            wrong = TypeError(f"The ears must return a Transcript, not {result!r:.40}.")
            error = result if isinstance(result, BaseException) else wrong
        self._context.items.hear(utterance.item["id"], text)
        if error is not None:
            self._send_failed(utterance, error)
        elif not utterance.silent:
            assert isinstance(result, Transcript)
            self._send_transcript(utterance, result)
        gap = self._context.delays.item if utterance.manual else 0.0
        self._context.timeline.at(self._context.timeline.now + gap, lambda: self._settle(utterance, text))

    def _send_transcript(self, utterance: Utterance, transcript: Transcript) -> None:
        context, options = self._context, self._context.config["input_audio_transcription"]
        fields: dict[str, Any] = {"item_id": utterance.item["id"], "content_index": 0}
        if context.profile.realtime and options is None:
            return
        words = timed(transcript, utterance.pcm) if self._included else ()
        likely = logprobs(words) if LOGPROBS in self._included else None
        if context.profile.realtime:
            for index, delta in enumerate(parts := deltas(options["model"], transcript.text)):
                extra = (
                    {}
                    if likely is None
                    else {"logprobs": likely if len(parts) == 1 else likely[index : index + 1]}
                )
                context.timeline.send(f"{_TRANSCRIPTION}.delta", **fields, delta=delta, **extra)
        utterance.item["content"][0]["transcript"] = transcript.text
        fields["transcript"] = transcript.text
        if not context.profile.realtime and not context.config.first_version:
            fields["language"] = transcript.language
        if likely is not None:
            fields["logprobs"] = likely
        if PHRASES in self._included:
            fields["phrases"] = phrases(words, transcript.language)
        context.timeline.send(f"{_TRANSCRIPTION}.completed", **fields)

    def _send_failed(self, utterance: Utterance, error: BaseException) -> None:
        """Tell of a failed transcription, also to a client that did not ask for transcripts."""
        item_id = utterance.item["id"]
        details = {
            "type": "server_error",
            "code": "transcription_failed",
            "message": f"Input transcription failed for item '{item_id}'. {type(error).__name__}: {error}",
            "param": None,
        }
        hidden = self._context.profile.realtime and self._context.config["input_audio_transcription"] is None
        if hidden or utterance.silent:
            self._context.timeline.send("error", error={**details, "event_id": None})
        else:
            self._context.timeline.send(
                f"{_TRANSCRIPTION}.failed", item_id=item_id, content_index=0, error=details
            )

    def _settle(self, utterance: Utterance, text: str) -> None:
        if not self._context.profile.realtime and not utterance.silent:
            self._send_item("created", utterance)
            if utterance.manual and self._doubles:
                self._send_again(utterance)
        self._pending -= 1
        self._on_words(utterance, text)

    @property
    def _doubles(self) -> bool:
        noise_reduction = self._context.config["input_audio_noise_reduction"] or {}
        suppresses = noise_reduction.get("type") == "azure_deep_noise_suppression"
        return self._context.options.noise_suppression_doubles and suppresses

    def _send_again(self, utterance: Utterance) -> None:
        """What deep noise suppression was seen to do: the same item a second time, without words."""
        item_id = utterance.item["id"]
        self._context.timeline.send(f"{_TRANSCRIPTION}.completed", item_id=item_id, content_index=0, transcript="")
        self._send_item("created", replace(utterance, previous=item_id))


def _heard_words(result: object) -> TypeGuard[Transcript]:
    return isinstance(result, Transcript) and isinstance(result.text, str)


_TRANSCRIPTION = "conversation.item.input_audio_transcription"
