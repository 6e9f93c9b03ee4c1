"""Recent events of each session, so that a cut stream can be resumed.

The SDK hands one store to all sessions and names streams by request id alone,
so streams of two sessions would mix. The ASGI layer here marks every request,
and through it the session's own task, with a token of its session.
"""

from collections import OrderedDict
from contextvars import ContextVar
from itertools import count

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

from .state import SESSION_HEADER, ReplicaState

MAX_EVENTS = 1000

_session_token: ContextVar[int] = ContextVar("session_token", default=0)


class SessionMarks:
    """Wraps the ASGI app: sets the session's token for what runs inside."""

    def __init__(self, app, state: ReplicaState) -> None:
        self._app = app
        self._state = state
        self._tokens: dict[str, int] = {}
        self._next = count(1)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session_id = dict(scope["headers"]).get(SESSION_HEADER.encode(), b"").decode()
        token = self._tokens.get(session_id) or next(self._next)
        _session_token.set(token)

        async def send_and_learn(message) -> None:
            if message["type"] == "http.response.start":
                self._learn(message, token)
            await send(message)

        await self._app(scope, receive, send_and_learn)
        if scope["method"] == "DELETE":
            self._tokens.pop(session_id, None)
            self._state.forget(session_id)

    def _learn(self, message, token: int) -> None:
        for name, value in message.get("headers", ()):
            if name.lower() == SESSION_HEADER.encode():
                self._tokens.setdefault(value.decode(), token)


class RecentEvents(EventStore):
    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple] = OrderedDict()
        self._next = count(1)

    async def store_event(self, stream_id, message) -> str:
        event_id = f"event-{next(self._next)}"
        self._events[event_id] = (_session_token.get(), stream_id, message)
        if len(self._events) > MAX_EVENTS:
            self._events.popitem(last=False)
        return event_id

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback):
        token, stream_id, _ = self._events.get(last_event_id, (None, None, None))
        if token != _session_token.get():
            return None
        seen = False
        for event_id, (owner, stream, message) in list(self._events.items()):
            if seen and owner == token and stream == stream_id and message is not None:
                await send_callback(EventMessage(message, event_id))
            seen = seen or event_id == last_event_id
        return stream_id
