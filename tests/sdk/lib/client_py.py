"""Owns: one face for the official Python clients, mcp 1.x and 2.x, legacy and modern.

Which SDK it is follows from the interpreter's environment. It refuses to retry or repair
anything: what the SDK does is what a caller sees.
"""

import asyncio
import contextlib
import json
import logging
import time
from datetime import timedelta
from importlib.metadata import version

import mcp.types as types
from mcp.client.streamable_http import streamable_http_client

V1 = version("mcp").startswith("1.")
if V1:
    import httpx
    from mcp import ClientSession
    from mcp.shared.exceptions import McpError as RpcError
else:
    import httpx2 as httpx
    from mcp import Client, MCPError as RpcError

MODERN = "2026-07-28"
LOG_LEVEL_META = "io.modelcontextprotocol/logLevel"
CONNECTION_CLOSED = -32000
KEEP = 100

logging.disable(logging.CRITICAL)


class Died(Exception):
    """The client session as a whole is gone."""


class Recorder:
    """What the client did on the wire and what it was notified of."""

    def __init__(self):
        self.exchanges, self.errors, self.counts, self.last = [], [], {}, []
        self.started = time.monotonic()
        self._changed = asyncio.Event()

    def now(self):
        return round((time.monotonic() - self.started) * 1000)

    def notified(self, method, params):
        self.counts[method] = self.counts.get(method, 0) + 1
        self.last = [*self.last, {"method": method, "params": params}][-KEEP:]
        self.wake()

    def wake(self):
        self._changed.set()

    async def until(self, ready):
        while not ready():
            self._changed.clear()
            await self._changed.wait()


class RecordingTransport(httpx.AsyncHTTPTransport):
    """Notes method, status and the headers that matter to a gateway."""

    def __init__(self, recorder):
        super().__init__()
        self.recorder = recorder

    async def handle_async_request(self, request):
        began = self.recorder.now()
        exchange = {
            "at": began,
            "http": request.method,
            "path": request.url.path,
            "rpc": rpc_method(request),
            "session": request.headers.get("mcp-session-id"),
            "last_event_id": request.headers.get("last-event-id"),
            "status": None,
        }
        self.recorder.exchanges.append(exchange)
        try:
            response = await super().handle_async_request(request)
            exchange |= {
                "status": response.status_code,
                "type": response.headers.get("content-type"),
                "ms": self.recorder.now() - began,
                "new_session": response.headers.get("mcp-session-id"),
            }
            return response
        except Exception as error:
            exchange["error"] = repr(error)
            raise
        finally:
            self.recorder.wake()


def rpc_method(request):
    try:
        return json.loads(request.content).get("method", "response")
    except (ValueError, AttributeError, httpx.RequestNotRead):
        return None


def failure(task):
    return None if task.cancelled() else task.exception()


def plain(result):
    """A result of the SDK's as JSON, under its wire names."""
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return result


class SdkClient:
    """One client session, owned by a task of its own so that its death is an event, not a crash."""

    def __init__(self, era, url, headers=None):
        if V1 and era != "legacy":
            raise ValueError("mcp 1.x is legacy only")
        if era not in ("legacy", "modern", "auto"):
            raise ValueError("--era is legacy, modern or auto")
        self.era, self.url, self.headers = era, url, headers or {}
        self.name = f"py{'1' if V1 else '2'}-{era}"
        self.recorder, self.asked = Recorder(), {"elicit": 0, "sample": 0}
        self.died, self.session, self.client, self.version = None, None, None, None
        self.level, self.listens = None, []
        self._up, self._stop, self._owner = asyncio.Event(), asyncio.Event(), None

    # -- life ---------------------------------------------------------------------------------

    async def connect(self):
        self._owner = asyncio.create_task(self._own())
        await self._up.wait()
        if self.died:
            raise self.cause or Died(self.died)

    async def _own(self):
        self.cause = None
        try:
            async with self._open_v1() if V1 else self._open_v2():
                self._up.set()
                await self._stop.wait()
            self.died = "closed by the driver"
        except BaseException as error:
            self.cause = error if isinstance(error, RpcError) else None
            self.died = words(error)
        self._up.set()
        self.recorder.wake()

    def _http(self):
        timeout = httpx.Timeout(30, read=300)
        return httpx.AsyncClient(transport=RecordingTransport(self.recorder), headers=self.headers, timeout=timeout)

    @contextlib.asynccontextmanager
    async def _open_v1(self):
        async with self._http() as http, streamable_http_client(self.url, http_client=http) as (read, write, _):
            session = ClientSession(
                read, write, elicitation_callback=self._elicit, sampling_callback=self._sample, message_handler=self._message
            )
            async with session:
                self.version = (await session.initialize()).protocolVersion
                self.session = session
                yield

    @contextlib.asynccontextmanager
    async def _open_v2(self):
        mode = {"legacy": "legacy", "auto": "auto", "modern": MODERN}[self.era]
        async with self._http() as http:
            client = Client(
                streamable_http_client(self.url, http_client=http),
                mode=mode,
                elicitation_callback=self._elicit,
                sampling_callback=self._sample,
                message_handler=self._message,
            )
            async with client:
                self.client, self.session, self.version = client, client.session, client.protocol_version
                yield

    async def alive(self, work):
        """Awaits `work`; raises `Died` as soon as the session does."""
        if self.died:
            work.close()
            raise Died(self.died)
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._owner}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and isinstance(failure(task), RpcError) and failure(task).error.code == CONNECTION_CLOSED:
                # A session that ends answers its requests with this error; its death is the truer word.
                await asyncio.wait({self._owner}, timeout=0.1)
            if self._owner.done() and (not task.done() or failure(task)):
                raise Died(self.died)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=2)

    async def close(self):
        """Ends the session; the SDK sends DELETE by itself."""
        self._stop.set()
        if self._owner:
            await self._owner

    def facts(self):
        ids = [e["new_session"] for e in self.recorder.exchanges if e.get("new_session") and e["rpc"] == "initialize"]
        return {
            "client": self.name,
            "session": ids[-1] if ids else None,
            "version": self.version,
            "closed": self.died is not None,
            "died": self.died,
        }

    @property
    def modern(self):
        return self.version == MODERN

    # -- what the server asks and tells -------------------------------------------------------

    async def _elicit(self, _context, _params):
        self.asked["elicit"] += 1
        return types.ElicitResult(action="accept", content={"name": "Moor"})

    async def _sample(self, _context, _params):
        self.asked["sample"] += 1
        return types.CreateMessageResult(role="assistant", model="driver", content=types.TextContent(type="text", text="moor"))

    async def _message(self, message):
        if isinstance(message, Exception):
            self.recorder.errors.append(words(message))
            return
        notification = getattr(message, "root", message)
        if hasattr(notification, "method") and notification.method.startswith("notifications/"):
            self.recorder.notified(notification.method, plain(notification.params) or {})

    # -- verbs --------------------------------------------------------------------------------

    def _meta(self, extra=None):
        meta = dict(extra or {})
        if self.level and self.modern:
            meta[LOG_LEVEL_META] = self.level
        return meta or None

    async def call(self, name, arguments=None, progress=False, meta=None):
        async def on_progress(*_args):
            """The message handler counts it; the SDK asks for progress only where somebody listens."""

        face = self.session if V1 else self.client
        callback = on_progress if progress else None
        return await face.call_tool(name, arguments or {}, progress_callback=callback, meta=self._meta(meta))

    async def list(self, kind):
        face = self.session if V1 else self.client
        verbs = {"tools": "list_tools", "resources": "list_resources", "prompts": "list_prompts", "templates": "list_resource_templates"}
        return await getattr(face, verbs[kind])()

    async def read(self, uri):
        return await (self.session if V1 else self.client).read_resource(uri)

    async def ping(self):
        return await self.session.send_ping()

    async def raw(self, method, params):
        result = types.Result if V1 else types.EmptyResult
        if V1:
            request = types.Request[dict, str](method=method, params=params or {})
            return await self.session.send_request(types.ClientRequest.model_construct(root=request), result)
        return await self.client.session.send_request(types.Request(method=method, params=params or {}), result)

    async def subscribe(self, uri):
        if self.modern:
            return await self.listen({"resourceSubscriptions": [uri]})
        return await self.session.subscribe_resource(uri)

    async def unsubscribe(self, uri):
        if not self.modern:
            return await self.session.unsubscribe_resource(uri)
        for listen in self.listens:
            listen["task"].cancel()
        await asyncio.gather(*(listen["task"] for listen in self.listens), return_exceptions=True)
        self.listens = []
        return {}

    async def set_level(self, level):
        self.level = level
        if self.modern:
            return {}
        return await self.session.set_logging_level(level)

    async def listen(self, wanted):
        """Opens a `subscriptions/listen` stream; a task of its own holds it."""
        listen = {"ended": None, "open": asyncio.get_running_loop().create_future()}
        listen["task"] = asyncio.create_task(self._hold(listen, wanted))
        self.listens.append(listen)
        return {"honored": await listen["open"], "open": self.streams()}

    async def _hold(self, listen, wanted):
        filters = {
            "tools_list_changed": bool(wanted.get("toolsListChanged")),
            "resources_list_changed": bool(wanted.get("resourcesListChanged")),
            "prompts_list_changed": bool(wanted.get("promptsListChanged")),
            "resource_subscriptions": wanted.get("resourceSubscriptions", []),
        }
        try:
            async with self.client.listen(**filters) as stream:
                listen["open"].set_result(plain(stream.honored))
                async for _event in stream:
                    """The message handler counts it."""
            listen["ended"] = "graceful"
        except asyncio.CancelledError:
            listen["ended"] = "local"
            raise
        except Exception as error:
            listen["ended"] = f"remote: {words(error)}"
            if not listen["open"].done():
                listen["open"].set_exception(error)

    def streams(self):
        return [listen["ended"] for listen in self.listens]

    async def stream(self):
        """Waits until the notification stream (GET) has been answered."""

        def answered():
            return [e for e in self.recorder.exchanges if e["http"] == "GET" and (e["status"] or e.get("error"))]

        await self.recorder.until(answered)
        return answered()[-1]

    async def notify_cancelled(self, request_id):
        """mcp 1.x leaves it to the application to tell the server of a cancelled call."""
        params = types.CancelledNotificationParams(requestId=request_id, reason="cancelled by the driver")
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))

    def next_request_id(self):
        return self.session._request_id if V1 else None


def words(error):
    """An exception (group) as one line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(words(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"[:300]


def describe(error):
    """What became of a request, in the words of README.md."""
    if isinstance(error, Died):
        return {"outcome": "died", "name": "Died", "message": str(error)}
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return {"outcome": "hang", "name": "TimeoutError", "message": str(error) or "nothing came before the deadline"}
    if isinstance(error, asyncio.CancelledError):
        return {"outcome": "cancelled", "name": "CancelledError", "message": ""}
    if isinstance(error, RpcError):
        found = error.error
        return {"outcome": "rpc_error", "code": found.code, "data": found.data, "name": type(error).__name__, "message": found.message}
    return {"outcome": "error", "name": type(error).__name__, "message": str(error)[:500]}
