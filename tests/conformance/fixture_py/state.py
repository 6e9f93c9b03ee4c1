"""What one replica process remembers, and whom it tells about changes."""

import os
from dataclasses import dataclass, field
from typing import Any

from mcp import types
from mcp.server import ServerRequestContext

WATCHED_URIS = ("test://watched", "test://watched-resource")
SESSION_HEADER = "mcp-session-id"


@dataclass
class Session:
    """One client's conversation: its counter, its subscriptions, its way back."""

    calls: int = 0
    subscriptions: set[str] = field(default_factory=set)
    channel: Any = None


@dataclass
class ReplicaState:
    name: str = field(default_factory=lambda: f"py-{os.getpid()}")
    marks: int = 0
    list_version: int = 1
    watched_revision: int = 0
    sessions: dict[str, Session] = field(default_factory=dict)
    # Stands in for the session of requests that have none.
    process: Session = field(default_factory=Session)

    def session(self, ctx: ServerRequestContext) -> Session:
        """The session that a request belongs to, remembered at its first request."""
        headers = getattr(ctx.request, "headers", {})
        session_id = headers.get(SESSION_HEADER)
        if session_id is None:
            return self.process
        session = self.sessions.setdefault(session_id, Session())
        session.channel = ctx.session
        return session

    def forget(self, session_id: str) -> None:
        self.sessions.pop(session_id, None)

    async def touch_watched(self) -> int:
        self.watched_revision += 1
        for session in list(self.sessions.values()):
            for uri in session.subscriptions.intersection(WATCHED_URIS):
                await session.channel.send_resource_updated(uri)
        return self.watched_revision

    async def tools_changed(self) -> int:
        self.list_version += 1
        await self._tell_all(types.ToolListChangedNotification())
        return self.list_version

    async def prompts_changed(self) -> int:
        await self._tell_all(types.PromptListChangedNotification())
        return self.list_version

    async def _tell_all(self, notification: Any) -> None:
        for session in list(self.sessions.values()):
            await session.channel.send_notification(notification)
