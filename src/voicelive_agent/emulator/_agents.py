"""Foundry agents: who is asked for in the URL, and an agent that fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import ClientError
from ._ids import Ids
from ._profiles import BYOM_PROFILES
from .protocols import Action, Fail, Turn


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of a session."""

    name: str
    id: str
    thread_id: str

    @classmethod
    def of(cls, query: Mapping[str, str], ids: Ids) -> Agent | None:
        """The agent that the URL names, if it does; a conversation that it does not name gets an id."""
        name, classic = query.get("agent-name"), _classic(query)
        if not name and not classic:
            return None
        thread = query.get("conversation-id") or ids.service("thread")
        return cls(name or classic, classic or name or "", thread)

    def described(self) -> dict[str, Any]:
        """``session.agent``. Which id an agent that was named by name has is a guess: its name."""
        return {
            "type": "agent",
            "name": self.name,
            "description": None,
            "agent_id": self.id,
            "thread_id": self.thread_id,
        }


def _classic(query: Mapping[str, str]) -> str:
    return query.get("agent-id") or query.get("agent_id") or ""


def check_query(query: Mapping[str, str]) -> None:
    """Raise ClientError for a query string that no session can be opened with; ``param`` names what is wrong."""
    project = query.get("agent-project-name")
    if query.get("agent-name") and not project:
        raise _bad("agent-project-name", "is required with 'agent-name'")
    if project and not query.get("agent-name") and not _classic(query):
        raise _bad("agent-name", "is required with 'agent-project-name'")
    if _classic(query) and not query.get("agent-name") and not (query.get("project_id") or project):
        raise _bad("project_id", "is required with 'agent-id'")
    own_model = query.get("profile")
    if own_model and own_model not in BYOM_PROFILES:
        raise _bad("profile", f"must be one of {', '.join(BYOM_PROFILES)}, not '{own_model}'")


def _bad(name: str, problem: str) -> ClientError:
    return ClientError(f"The query parameter '{name}' {problem}.", code="BadRequest", param=name)


class FailingAgent:
    """The brain of an agent that can be reached and cannot answer."""

    def answer(self, turn: Turn) -> Iterator[Action]:
        """Fail as agents did whose thread could not be written."""
        yield Fail("Failed to create message", "message_creation_failed")
