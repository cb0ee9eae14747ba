"""What an agent may ask of the model besides answering the user: a response of its own, heard or not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, overload

from ._combinations import check_tool_names
from ._session_fields import JsonObject, Part, Rule
from ._speech import Reply, Speech
from .config import FunctionTool, MCPServer, ToolChoice
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._shell import Shell
    from .tools import Tool

__all__ = ["Responding", "ResponseOptions"]

_OURS = "vla"
_MAX_METADATA = 15  # the service takes 16 pairs, and one of them tells us which response is ours

AnyTool: TypeAlias = "str | Tool | FunctionTool | MCPServer | JsonObject"
"""A tool for one response: the name of one of the agent's own, or one as in ``SessionConfig.tools``."""
AnyChoice: TypeAlias = 'Literal["auto", "none", "required"] | ToolChoice | JsonObject'


def _metadata_fits(metadata: Mapping[str, str]) -> bool:
    small = all(len(key) <= 64 and len(text) <= 512 for key, text in metadata.items())
    return small and len(metadata) <= _MAX_METADATA and _OURS not in metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOptions(Part):
    """What :meth:`VoiceAgent.respond` may ask for; what is None is as in the session."""

    instructions: str | None = None
    tools: Sequence[FunctionTool | MCPServer | JsonObject] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | JsonObject | None = None
    modalities: Annotated[Sequence[Literal["text", "audio"]], Rule("with at least one of them", bool)] | None = (
        None
    )
    metadata: (
        Annotated[
            Mapping[str, str],
            Rule(
                "of at most 15 pairs, none of them 'vla', of at most 64 and 512 characters",
                _metadata_fits,
            ),
        ]
        | None
    ) = None


class Responding:
    """The part of an agent that asks the model for responses. RuntimeError from it when no call is running."""

    _tickets: Iterator[int]

    if TYPE_CHECKING:

        def _current(self) -> Shell: ...

    @overload
    def respond(
        self,
        instructions: str | None = ...,
        *,
        tools: Sequence[AnyTool] | None = ...,
        tool_choice: AnyChoice | None = ...,
        modalities: Sequence[Literal["text", "audio"]] | None = ...,
        metadata: Mapping[str, str] | None = ...,
        out_of_band: Literal[False] = ...,
    ) -> Speech: ...

    @overload
    def respond(
        self,
        instructions: str | None = ...,
        *,
        metadata: Mapping[str, str] | None = ...,
        out_of_band: Literal[True],
    ) -> Reply: ...

    def respond(
        self,
        instructions: str | None = None,
        *,
        tools: Sequence[AnyTool] | None = None,
        tool_choice: AnyChoice | None = None,
        modalities: Sequence[Literal["text", "audio"]] | None = None,
        metadata: Mapping[str, str] | None = None,
        out_of_band: bool = False,
    ) -> Speech | Reply:
        """Let the model answer now, as soon as nothing else is being said and the user does not speak.

        ``instructions`` stand in place of the session's for this one response; the conversation so far is known to
        the model as always. ``tools`` (names of the agent's own, or tools as in ``SessionConfig.tools``),
        ``tool_choice`` and ``modalities`` likewise. ``metadata`` is echoed by the service. Await the ``Speech`` to
        learn how it went; a response that only calls tools ends as "dropped", and its results are spoken about.

        ``out_of_band``: the answer is for the program alone. It is text, nothing of it is heard or gets into the
        conversation, and it has no tools; await the ``Reply`` for it. It is asked for again, three times at most,
        where the service cuts it off because the user speaks.

        Raises :class:`~voicelive_agent.errors.ConfigurationError` for options that cannot be, and RuntimeError
        when no call is running. Safe from any thread.
        """
        options = ResponseOptions(
            instructions=instructions,
            tools=None if tools is None else [self._definition(tool) for tool in _list_of(tools)],
            tool_choice=tool_choice,
            modalities=modalities,
            metadata=metadata,
        )
        params = options.to_dict()
        check_tool_names(params)
        if out_of_band:
            _check_out_of_band(params)
            params |= {"conversation": "none", "modalities": ["text"], "tool_choice": "none"}
        asked = Reply() if out_of_band else Speech("")
        self._current().respond(next(self._tickets), asked, params)
        return asked

    @contextmanager
    def uninterruptible(self) -> Iterator[None]:
        """A scope in which the user cannot interrupt: ``with agent.uninterruptible(): await agent.say(...)``.

        While something is being said in it, or about to be, the service gets silence instead of the microphone; in
        between the user is heard. That needs no other configuration, and survives speech that was on its way: what
        the service cancels for that reason is asked for again if nothing of it had arrived, three times at most,
        and played as far as it arrived otherwise. :meth:`interrupt` still interrupts. Scopes may be nested.

        RuntimeError when no call is running. Safe from any thread.
        """
        shell = self._current()
        shell.post(shell.conversation.hold, 1)
        try:
            yield
        finally:
            if not shell.over:
                shell.post(shell.conversation.hold, -1)

    def _definition(self, tool: AnyTool) -> Any:
        """A tool as the service is told of it."""
        if isinstance(tool, str):
            own = self._current().conversation.tools
            if tool not in own:
                close = difflib.get_close_matches(tool, own, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(own) or 'none'}."
                raise ConfigurationError(f"The agent has no tool {tool!r:.80}.", hint=hint)
            return own[tool].tool.definition
        return getattr(tool, "definition", tool)


def _list_of(tools: Sequence[AnyTool]) -> Sequence[AnyTool]:
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise ConfigurationError(f"tools={tools!r:.80}:", hint="It is a list of tools, or of their names.")
    return tools


def _check_out_of_band(params: Mapping[str, Any]) -> None:
    if wrong := [name for name in ("tools", "tool_choice", "modalities") if name in params]:
        raise ConfigurationError(
            f"An answer out of band is text without tools: {' and '.join(wrong)} cannot be set.",
            hint="Leave it out, or leave out out_of_band=True.",
        )
