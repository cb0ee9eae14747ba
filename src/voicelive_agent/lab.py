"""The assistant class of Microsoft's Voice Live lab, over :class:`~voicelive_agent.VoiceAgent`.

In the lab (https://microsoftlearning.github.io/mslearn-ai-language/, "Develop an Azure AI Voice Live voice agent")
people write a class that a Flask app drives; it tells a page its state, and sends it audio. This is that class,
with the same states and texts: the app and the page stay as they are.

A page of that lab confirms nothing. So what was heard is the clock's estimate, at most half a second of audio is
ever on the way, and an interruption has that much to stop.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import anyio

from . import events
from ._agent import VoiceAgent
from ._connection import Connector
from ._notices import NOTICES
from ._paced import PacedQueue
from .audio import AudioFormat, Call
from .config import Credential, SessionConfig, Voice, from_env
from .events import Event, State
from .websocket._inbox import Inbox

__all__ = ["Broadcast", "Connection", "StateCallback", "VoiceLiveAssistant", "decode_audio"]

StateCallback: TypeAlias = Callable[[str, str], object]
"""``state_callback(state, message)``."""
Broadcast: TypeAlias = Callable[[dict[str, Any]], object]
"""``broadcast(message)``: something for the page, with a ``type`` of audio, control or log."""

FORMAT: Final = AudioFormat()
IDLE_S: Final = 60.0
MOST_AUDIO: Final = 2.0
"""Times real time: what sends more, for longer than the burst, is no microphone, and Azure bills by time."""
BURST_S: Final = 4.0
"""A network that was stuck for so long may catch up."""

_SESSION_READY: Final = "Session ready. You can start speaking now."
_STATES: Final[Mapping[State, tuple[str, str]]] = {
    State.READY: ("ready", _SESSION_READY),
    State.LISTENING: ("listening", "Listening… speak now"),
    State.PROCESSING: ("processing", "Processing your input…"),
    State.SPEAKING: ("assistant_speaking", "Assistant speaking…"),
}
_HEARD: Final = ("ready", "Assistant finished. You can speak again.")


class VoiceLiveAssistant:
    """One voice session, as the lab's app wants it.

    ``endpoint``, ``credential``, ``model``, ``voice`` and ``instructions`` are as for
    :class:`~voicelive_agent.VoiceAgent`: the credential is a key, an ``AzureKeyCredential`` or an *asynchronous*
    Entra credential. ``state_callback(state, message)`` is told ``starting``, ``ready``, ``listening``,
    ``processing``, ``assistant_speaking``, ``stopped`` and ``error``. ``broadcast(message)`` gets what the page
    plays and shows: ``{"type": "audio", "audio": base64}`` (PCM16, 24 kHz, mono), ``{"type": "control", "action":
    "stop_playback"}`` and ``{"type": "log", "level", "msg"}``; with VOICE_LIVE_VERBOSE in the environment also
    ``{"type": "log", "level": "debug", "event_type"}`` for each event. Both are called on the thread that runs
    :meth:`start`, and must not block. A session that no audio comes for is ended after ``idle_s`` seconds; None:
    never.

    Raises :class:`~voicelive_agent.errors.ConfigurationError` for what cannot work.
    """

    def __init__(
        self,
        endpoint: str | Connector,
        credential: Credential | None,
        model: str,
        voice: str | Voice,
        instructions: str,
        state_callback: StateCallback | None = None,
        *,
        broadcast: Broadcast | None = None,
        idle_s: float | None = IDLE_S,
    ) -> None:
        session = SessionConfig(voice=voice, instructions=instructions)
        self._agent = VoiceAgent(endpoint, credential, session, target=model)
        self._page = _Page(self, state_callback, broadcast, idle_s)
        self._connecting = f"Connecting to {_shown(endpoint)}, model {model}."
        self._started = False
        self.stopping: bool = False
        """Whether :meth:`request_stop` was called."""

    async def start(self) -> None:
        """Hold the session until it ends; once. Any event loop of any thread will do.

        Whatever ends it that nobody asked for is told as the state ``error``, with the reason, and raised:
        :class:`~voicelive_agent.errors.ConnectError`, :class:`~voicelive_agent.errors.SessionLostError`, or what
        a callback raised. RuntimeError the second time.
        """
        if self._started:
            raise RuntimeError("This assistant had its session: make another one.")
        self._started = True
        self._page.say("starting", "Starting voice session…")
        self._page.log("info", self._connecting)
        try:
            if not self.stopping:
                await self._agent.run(self._page, self._page)
        except Exception as error:
            self._page.log("error", f"The session failed: {error}")
            self._page.say("error", f"Error: {error}")
            raise
        self._page.say("stopped", "Session ended.")

    def request_stop(self) -> None:
        """End the session, from any thread; one that has not begun ends as it begins."""
        self.stopping = True
        with contextlib.suppress(RuntimeError):  # its loop is gone, and the session with it
            self._agent.stop()

    def interrupt(self) -> None:
        """Stop the assistant's speech, from any thread. Without a session there is none."""
        self._page.post(self._page.interrupt)

    async def append_audio(self, audio_b64: str) -> None:
        """Audio of the microphone: PCM16, 24 kHz, mono, in base64. In any event loop of any thread.

        What is none is a line in the log. Without a session it is for nobody.
        """
        try:
            audio = decode_audio(audio_b64)
        except ValueError as error:
            self._page.post(self._page.log, "warn", f"Audio was left out: {error}.")
        else:
            self.append_pcm(audio)

    def append_pcm(self, pcm: bytes) -> None:
        """The same as bytes, from any thread. Half a sample at the end is left out."""
        self._page.post(self._page.hear, pcm[: len(pcm) // 2 * 2])

    @property
    def connection(self) -> Connection | None:
        """What the lab's app looks for: something to cancel the answer by, while the session is open."""
        return Connection(self) if self._page.connected else None


class Connection:
    """As much of the SDK's connection as the lab's app uses: ``await connection.response.cancel()``."""

    def __init__(self, assistant: VoiceLiveAssistant) -> None:
        self._assistant = assistant

    @property
    def response(self) -> Connection:
        """What :meth:`cancel` is a method of."""
        return self

    async def cancel(self) -> None:
        """Stop the assistant's speech."""
        self._assistant.interrupt()


def decode_audio(audio_b64: object) -> bytes:
    """The bytes of PCM16 in base64. ValueError, which says why, for what is neither."""
    if not isinstance(audio_b64, str | bytes):
        raise ValueError(f"it is {type(audio_b64).__name__}, not base64")
    try:
        pcm = base64.b64decode(audio_b64, validate=True)
    except ValueError:  # its text quotes what was sent
        raise ValueError("it is not base64") from None
    if len(pcm) % 2:
        raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
    return pcm


class _Budget:
    """Seconds of audio that may come: they accrue with time, up to a burst."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._left_s = BURST_S

    def spend(self, seconds: float) -> bool:
        """Pay for audio; False, and nothing is paid, if there is not enough left for it."""
        now = self._clock()
        self._left_s = min(BURST_S, self._left_s + (now - self._since) * MOST_AUDIO)
        self._since = now
        if seconds > self._left_s:
            return False
        self._left_s -= seconds
        return True


class _Page:
    """Source and sink of the session, and what the page is told. All but :meth:`post` on the session's loop."""

    format = FORMAT
    estimated = True
    _budget: _Budget
    _playing: PacedQueue

    def __init__(
        self,
        assistant: VoiceLiveAssistant,
        state_callback: StateCallback | None,
        broadcast: Broadcast | None,
        idle_s: float | None,
    ) -> None:
        self._assistant = assistant
        self._tell_state = state_callback or (lambda state, message: None)
        self._send = broadcast or (lambda message: None)
        self._idle_s = idle_s
        self._verbose = _is_verbose()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._call: Call | None = None
        self._inbox = Inbox()
        self._more = asyncio.Event()
        self._flooded = False
        self._audible = False  # the page has audio that it was not told to stop, played or not
        self._fault = ""
        self.connected = False

    def post(self, act: Callable[..., None], *args: object) -> None:
        """Do this on the session's loop, in the order asked for; nothing where there is no session."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the session is over
                self._loop.call_soon_threadsafe(act, *args)

    # --- what the page is told ---

    def say(self, state: str, message: str) -> None:
        self._tell_state(state, message)

    def log(self, level: str, text: str) -> None:
        self._send({"type": "log", "level": level, "msg": text})

    # --- the microphone ---

    def hear(self, pcm: bytes) -> None:
        if not self._budget.spend(len(pcm) / FORMAT.frame_bytes / FORMAT.rate):
            if not self._flooded:
                self.log("warn", "More audio comes than one microphone makes: some is left out.")
            self._flooded = True
            return
        self._flooded = False
        self._inbox.put(pcm, FORMAT)
        self._more.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._inbox.listening = True
        while True:
            self._more.clear()
            while (chunk := self._inbox.take()) is not None:
                yield chunk
            with anyio.move_on_after(self._idle_s) as waited:
                await self._more.wait()
            if waited.cancelled_caught and self._call is not None:
                self._call.hang_up(f"no audio came for {self._idle_s:g} s")

    # --- the loudspeaker ---

    @property
    def pending(self) -> int:
        return self._playing.pending

    def write(self, pcm: bytes) -> None:
        self._playing.write(len(pcm) // FORMAT.frame_bytes)
        self._audible = True
        self._send({"type": "audio", "audio": base64.b64encode(pcm).decode()})

    def flush(self) -> None:
        self._playing.flush()
        self.silence()

    def silence(self) -> None:
        """Drop what the page may still play: it is later than our clock by the way to it."""
        if self._audible:
            self._send({"type": "control", "action": "stop_playback"})
        self._audible = False

    def interrupt(self) -> None:
        if self._call is not None and self.connected:
            self._call.interrupt()
            self.silence()

    # --- the session ---

    def join(self, call: Call) -> None:
        self._call = call
        loop = self._loop = asyncio.get_running_loop()
        self._budget = _Budget(loop.time)
        self._playing = PacedQueue(FORMAT.rate, loop.time)
        if self._assistant.stopping:
            call.hang_up("it was stopped before it began")

    def observe(self, event: Event) -> None:
        """Tell the page what happened: before audio that comes after it."""
        if self._verbose:
            self._send({"type": "log", "level": "debug", "event_type": type(event).__name__})
        match event:
            case events.StateChanged(old, new):
                self._moved(old, new)
            case events.SpeechStarted():
                self.silence()
            case events.SessionStarted(session_id):
                self.connected = True
                self.log("info", f"Session {session_id} is open.")
            case events.SessionEnded(verdict):
                self.connected = False
                self.log("info", f"Session ended: {verdict.detail or verdict.reason.value}.")
            case events.UserSpoke(text=text):
                self.log("info", f"You: {text}")
            case events.AgentSpoke(text=text):
                self.log("info", f"Assistant: {text}")
            case events.Interrupted(heard_ms=heard_ms):
                self.log("info", f"Assistant interrupted after about {heard_ms / 1000:.1f} s.")
            case events.ServiceFailed(code, message):
                self._fault = message or code
                self.log("error" if event.fatal else "warn", f"The service reports: {self._fault}")
            case _ if isinstance(event, NOTICES):
                self.log("warn", str(event))
            case _:
                pass

    def _moved(self, old: State, new: State) -> None:
        if new is State.ERROR:
            self.say("error", f"Error: {self._fault}")
        elif old is State.SPEAKING and new is State.READY:
            self.say(*_HEARD)
        elif new in _STATES:
            self.say(*_STATES[new])


def _is_verbose() -> bool:
    """What the environment says, read as the rest of it is."""
    verbose = os.environ.get("VOICE_LIVE_VERBOSE", "")
    return from_env({"AZURE_VOICELIVE_ENDPOINT": "emulator", "VOICE_LIVE_VERBOSE": verbose}).verbose


def _shown(endpoint: object) -> str:
    """Of an endpoint no more than its host."""
    host = urlsplit(endpoint).hostname if isinstance(endpoint, str) else None
    return host or (endpoint if isinstance(endpoint, str) else type(endpoint).__name__)
