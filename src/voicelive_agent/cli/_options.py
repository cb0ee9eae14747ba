"""The options of ``talk`` that are about audio: what does not go together, and what they open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..audio import AudioSink, AudioSource
from ..errors import ConfigurationError
from ..files import FileSource, WavSink

if TYPE_CHECKING:
    from ..devices import OnLoss

__all__ = ["Audio"]


@dataclass(frozen=True, slots=True)
class Audio:
    """Where audio comes from and where it goes. ConfigurationError for what contradicts itself."""

    source: str | None = None
    """A file instead of the microphone."""
    sink: str | None = None
    """A file instead of the speaker."""
    input: int | str | None = None
    """A microphone, by number or a part of its name; None is the default one."""
    output: int | str | None = None
    echo_reference: bool = False
    half_duplex: bool = False
    reopen: bool = False

    def __post_init__(self) -> None:
        files = [option for option, file in (("--source", self.source), ("--sink", self.sink)) if file is not None]
        for option, given, against in (
            ("--input", self.input is not None, "--source"),
            ("--output", self.output is not None, "--sink"),
            ("--echo-reference", self.echo_reference, "--source --sink"),
            ("--half-duplex", self.half_duplex, "--source --sink"),
            ("--reopen", self.reopen and len(files) == 2, "--source --sink"),
        ):
            for file in files if given else ():
                if file in against.split():
                    raise ConfigurationError(
                        f"{option} is about a sound card, and {file} is a file instead of it.",
                        hint=f"Leave out {option} or {file}.",
                    )
        if self.source is not None and self.sink is not None and _is_same(self.source, self.sink):
            raise ConfigurationError(
                f"--source and --sink are the same file, {self.sink}, and recording would overwrite it.",
                hint="Choose another file with --sink.",
            )

    @property
    def echoes(self) -> bool:
        """Whether the microphone can hear the speaker, and it is left to the service to reckon what that was."""
        return self.source is None and self.sink is None and not (self.half_duplex or self.echo_reference)

    async def open(self, stack: AsyncExitStack) -> tuple[AudioSource, AudioSink]:
        """Open both; the stack closes them.

        Raises :class:`~voicelive_agent.errors.AudioDeviceError` for a sound card that cannot be used,
        :class:`~voicelive_agent.errors.AudioFileError` for a file that is no audio, and ConfigurationError for one
        that cannot be written.
        """
        if self.echo_reference:
            from ..devices import SoundCard

            card = SoundCard(
                self.input,
                self.output,
                echo_reference=True,
                half_duplex=self.half_duplex,
                on_loss=self._on_loss,
            )
            await stack.enter_async_context(card)
            return card.microphone, card.speaker
        recording = None if self.source is None else FileSource(self.source)  # a wrong one opens nothing else
        sink = await self._open_sink(stack)
        return (await self._open_microphone(stack, sink) if recording is None else recording), sink

    @property
    def _on_loss(self) -> OnLoss:
        return "reopen" if self.reopen else "raise"

    async def _open_sink(self, stack: AsyncExitStack) -> AudioSink:
        if self.sink is not None:
            with _writing(self.sink):
                recording = _Recording(self.sink)
            return await stack.enter_async_context(recording)
        from ..devices import Speaker

        return await stack.enter_async_context(Speaker(self.output, on_loss=self._on_loss))

    async def _open_microphone(self, stack: AsyncExitStack, sink: AudioSink) -> AudioSource:
        from ..devices import Microphone, Speaker

        if self.half_duplex and isinstance(sink, Speaker):
            microphone = Microphone(self.input, on_loss=self._on_loss, half_duplex=sink, echo_cancellation=None)
        else:
            microphone = Microphone(self.input, on_loss=self._on_loss)
        return await stack.enter_async_context(microphone)


class _Recording(WavSink):
    """A file that records what is heard. ConfigurationError at the end if the disk did not take all of it."""

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _writing(self.path):
            await super().__aexit__(exc_type, exc, traceback)


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    """What keeps a file from being written, in a sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to {path}: {error.strerror or error}.", hint="Choose another file with --sink."
        ) from error


def _is_same(source: str, sink: str) -> bool:
    """Whether both are one file, by whatever names."""
    return Path(source).exists() and Path(sink).exists() and Path(source).samefile(sink)
