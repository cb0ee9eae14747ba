"""What the parts of one session share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ._avatar import Avatar
from ._config import Config
from ._ids import Ids
from ._items import Items
from ._mcp import McpServers
from ._options import Job, Options
from ._profiles import Delays, Profile
from ._timeline import Timeline
from .protocols import Brain, Voice


@dataclass(slots=True, kw_only=True)
class Context:
    """The state of a session that more than one of its parts reads or changes."""

    timeline: Timeline
    ids: Ids
    items: Items
    profile: Profile
    delays: Delays
    options: Options
    config: Config
    avatar: Avatar
    brain: Brain
    voice: Voice
    conversation_id: str
    """Empty in a cascade session."""
    mcp: McpServers = field(init=False)
    """Set by the session: it needs the rest of this."""
    jobs: list[Job] = field(default_factory=list)
    """Work that is ready and was not handed out yet."""

    def model_id(self, prefix: str) -> str:
        """An id that the model makes; in a cascade session the service is the model."""
        return self.ids.model(prefix) if self.profile.realtime else self.ids.service(prefix)

    def work(self, job: Job) -> None:
        """Hand out a job."""
        self.jobs.append(job)

    def withdraw(self, then: Callable[[object], None]) -> None:
        """Take back the jobs whose results would go to ``then``, if they were not handed out yet."""
        self.jobs = [job for job in self.jobs if job.then != then]
