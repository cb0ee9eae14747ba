"""Changing the session while it is under way: what may be changed, and what the change makes of the plan."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ._agent_tools import leaves_unknown_tools, own_definitions, policies, service_fills
from ._combinations import Backend, Facts, check_combinations, check_tool_choice
from ._plan import Plan, ToolPolicy
from ._targets import backend_of
from ._tool import Tool, collect_tools
from ._turn_detection import turn_policy
from .config import DefaultTurnDetection, SessionConfig, Settings, ToolChoice
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._shell import Shell

__all__ = ["SessionUse", "changed_plan", "fields_of", "session_changes"]

FIXED: Final[Mapping[str, str]] = {
    "input_audio_format": "the microphone's audio is under way in it",
    "input_audio_sampling_rate": "the microphone's audio is under way at it",
    "output_audio_format": "the agent's audio is under way in it",
}
"""What cannot change during a call, and why."""
_ECHO: Final = "input_audio_echo_cancellation"


class SessionUse:
    """The part of an agent that changes its session while it talks."""

    _settings: Settings
    _tools: dict[str, Tool]

    if TYPE_CHECKING:

        def _current(self) -> Shell: ...

    async def update_session(self, **changes: Any) -> Mapping[str, Any]:
        """Change the session while talking, and return it as the service granted it.

        Names and values are those of :class:`~voicelive_agent.SessionConfig`::

            await agent.update_session(voice="en-US-AndrewNeural", instructions="You are the head librarian now.")

        An object (a voice, the turn detection ...) replaces the one before; ``tools`` are those besides the
        agent's own, which stay; None asks for the service's default, or switches off what is off by default.
        Several at once are made one after the other. What was granted otherwise is a ``SettingNotGranted``.

        Raises :class:`~voicelive_agent.errors.ConfigurationError` for what contradicts the rest of the session, or
        cannot change during a call (the model, the audio formats);
        :class:`~voicelive_agent.errors.SessionRefusedError` when the service refuses, or says nothing within 30 s
        (the session then stays as it was); :class:`~voicelive_agent.errors.SessionLostError` when the call ends
        before it has answered; and RuntimeError when no call is running.
        """
        return await self._change(session_changes(changes))

    async def set_tools(
        self,
        tools: Iterable[Tool | Callable[..., object]],
        *,
        tool_choice: ToolChoice | Mapping[str, Any] | str | None = None,
    ) -> Mapping[str, Any]:
        """Give the agent other tools of its own until the end of this call, instead of all that it has now.

        As in ``VoiceAgent(tools=...)`` they are functions; ``agent.book`` is a method with ``@tool``, and ``[]``
        leaves it without any. ``tool_choice`` ("auto", "none", "required", or the name of one in a ToolChoice)
        changes with them. What runs goes on; a call of a tool that is gone is answered with words to that effect.
        For the tools of others see :meth:`update_session`, which returns and raises the same as this.
        """
        own_tools = collect_tools(None, tools)
        choice = {} if tool_choice is None else session_changes({"tool_choice": tool_choice})
        return await self._change(choice, own_tools)

    async def _change(
        self, changes: Mapping[str, Any], own_tools: Mapping[str, Tool] | None = None
    ) -> Mapping[str, Any]:
        shell = self._current()
        change = functools.partial(
            changed_plan,
            changes=changes,
            backend=backend_of(self._settings.target),
            own_tools=own_tools,
            is_audible=shell.is_audible,
        )
        return await shell.update(change)


def session_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as the session's JSON, with null for None. Raises ConfigurationError for what may not change."""
    if not changes:
        raise ConfigurationError("There is nothing to change.", hint='Such as update_session(voice="alloy").')
    asked = SessionConfig.coerce(changes)
    for name in (*changes, *asked.extra):
        if name in FIXED:
            hint = "Choose it before the call: it follows from the source, the sink and the voice."
            raise ConfigurationError(f"{name} cannot change during a call: {FIXED[name]}.", hint=hint)
    if isinstance(changes.get("turn_detection"), DefaultTurnDetection):
        hint = "Name one, such as ServerVad()."
        raise ConfigurationError("turn_detection cannot be left to the service during a call.", hint=hint)
    session = asked.to_session()
    return {name: session.get(name) for name in (*changes, *asked.extra) if name != "extra"}


def changed_plan(
    plan: Plan,
    *,
    changes: Mapping[str, Any],
    backend: Backend,
    own_tools: Mapping[str, Tool] | None = None,
    is_audible: bool = True,
) -> Plan:
    """The plan after these changes of its session, and with these tools of the agent's own unless they stay.

    Raises ConfigurationError for what contradicts the rest of it, or the audio that is under way.
    """
    session = {**plan.session, **changes}
    tools = plan.tools if own_tools is None else policies(own_tools)
    if "tools" in changes or own_tools is not None:
        own = own_definitions(plan)
        others = [each for each in session.get("tools") or () if each not in own]
        session["tools"] = others + (
            own if own_tools is None else [tool.definition for tool in own_tools.values()]
        )
    # A field that was never sent has nothing to go back from.
    known = {*plan.session, "turn_detection"}
    session = {name: value for name, value in session.items() if value is not None or name in known}
    if not is_audible and "audio" in session["modalities"]:
        hint = "Give the call a sink: run(source, sink)."
        raise ConfigurationError("modalities cannot have 'audio' in a call without a sink.", hint=hint)
    if (now := _channels(plan.session)) != _channels(session):
        hint = "Choose the echo reference before the call: it follows from the source."
        raise ConfigurationError(f"{_ECHO}: the microphone's audio is under way with {now} channel(s).", hint=hint)
    check_combinations(session, backend)
    check_tool_choice(session, backend)
    return replace(plan, **fields_of(session, tools, backend))


def fields_of(session: Mapping[str, Any], tools: Mapping[str, ToolPolicy], backend: Backend) -> dict[str, Any]:
    """The fields of a plan that follow from the session and the agent's own tools, and change with them."""
    pregenerated = not backend.realtime and not Facts(session, backend).openai_voice
    return {
        "session": session,
        "turns": turn_policy(session),
        "pregenerated": pregenerated,
        "tools": tools,
        "leaves_unknown_tools": leaves_unknown_tools(session, tools, agent=backend.agent),
        "service_fills": service_fills(session, pregenerated=pregenerated),
    }


def _channels(session: Mapping[str, Any]) -> int:
    return Facts(session).part(_ECHO).get("channels") or 1
