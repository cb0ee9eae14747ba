"""What the source and the sink of a call make of its session: audio formats, text without a sink, and echo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .audio import AudioFormat, AudioSink, AudioSource, EchoReference, WireFormats, negotiate
from .errors import ConfigurationError

__all__ = ["check_audio", "with_audio"]


def with_audio(
    session: Mapping[str, Any], source: AudioSource | None, sink: AudioSink | None, *, openai_voice: bool
) -> tuple[dict[str, Any], WireFormats]:
    """The session for a call between these, and what the wire carries; two channels with an echo reference.

    Raises ConfigurationError for a session that contradicts the source or the sink.
    """
    session = dict(session)
    if sink is None:
        session["modalities"] = ["text"]
    elif (reference := getattr(source, "echo_cancellation", None)) is not None:
        session.setdefault("input_audio_echo_cancellation", _echo_cancellation(reference))
    formats = negotiate(
        None if source is None else source.format,
        None if sink is None else sink.format,
        openai_voice=openai_voice,
        echo_reference=_check_echo_reference(source, session),
    )
    return _with_formats(session, formats, has_source=source is not None, has_sink=sink is not None), formats


def check_audio(source: object, sink: object) -> None:
    """Refuse what is no source or no sink: a path, most of all."""
    if source is not None and not (_has_format(source) and hasattr(source, "__aiter__")):
        hint = "Use FileSource(path), or an object with a format that is an asynchronous iterable of bytes."
        raise ConfigurationError(f"The source is no source of audio: {source!r:.80}.", hint=hint)
    if sink is not None and not (_has_format(sink) and hasattr(sink, "write") and hasattr(sink, "flush")):
        hint = "Use WavSink(path), or an object with format, pending, write() and flush()."
        raise ConfigurationError(f"The sink is no sink for audio: {sink!r:.80}.", hint=hint)


def _has_format(transport: object) -> bool:
    return isinstance(getattr(transport, "format", None), AudioFormat)


def _echo_cancellation(reference: EchoReference) -> dict[str, Any]:
    """What a source says about echo, as the session's field of that name."""
    return {
        "type": "server_echo_cancellation",
        "reference_source": reference,
        "channels": 2 if reference == "client" else 1,
    }


def _check_echo_reference(source: AudioSource | None, session: Mapping[str, Any]) -> bool:
    """Whether the source's second channel is what the listener hears; refuse what only half of them says."""
    wanted = (session.get("input_audio_echo_cancellation") or {}).get("channels") == 2
    given = source is not None and getattr(source, "echo_cancellation", None) == "client"
    if wanted and (source is None or (source.format.encoding, source.format.channels) != ("pcm16", 2)):
        has = "there is no source" if source is None else f"the source has {source.format}"
        hint = "Use SoundCard(echo_reference=True), or echo cancellation with the service's own reference."
        raise ConfigurationError(
            f"An echo reference is the second of two channels of pcm16, and {has}.", hint=hint
        )
    if given and not wanted:
        raise ConfigurationError(
            "The source's second channel is an echo reference, and the session takes none.",
            hint="Leave out input_audio_echo_cancellation, or use a source without a reference; text needs none.",
        )
    return wanted


def _with_formats(
    session: Mapping[str, Any], formats: WireFormats, *, has_source: bool, has_sink: bool
) -> dict[str, Any]:
    """The session with the audio formats that were chosen for the call.

    What the configuration says of them is nothing to be ignored: ConfigurationError where the source or the sink
    asks for another one. ``pcm16`` is only the default.
    """
    chosen = {
        "input_audio_format": formats.input_audio_format,
        "input_audio_sampling_rate": formats.input_audio_sampling_rate,
        "output_audio_format": formats.output_audio_format,
    }
    for name, value in chosen.items():
        asked, end = session.get(name), "sink" if name.startswith("output") else "source"
        if (has_sink if end == "sink" else has_source) and asked not in (None, "pcm16", value):
            hint = f"Leave it out: it follows from the {end} (and the voice)."
            raise ConfigurationError(f"{name}={asked!r}: with this call's {end} it is {value!r}.", hint=hint)
    return {**session, **chosen}
