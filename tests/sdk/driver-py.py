"""Owns: steering one Python client by JSON lines: a command a line in, a result a line out (see README.md).

    .venv-v1/bin/python driver-py.py --url URL
    .venv-v2/bin/python driver-py.py --url URL --era legacy|modern|auto [--header 'name: value']... [--wait]
"""

import argparse
import asyncio
import json
import sys
import time
import warnings

from lib.client_py import V1, SdkClient, describe, plain

warnings.simplefilter("ignore")


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="")
    parser.add_argument("--era", default="legacy", choices=["legacy", "modern", "auto"])
    parser.add_argument("--timeout", type=int, default=10000)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--header", action="append", default=[])
    return parser.parse_args()


def say(line):
    print(json.dumps(line), flush=True)


async def attempt(work, timeout_ms):
    """Runs one request under a deadline and words its outcome."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            outcome = {"ok": True, "result": plain(await work) or {}}
    except (Exception, asyncio.CancelledError) as error:
        outcome = {"ok": False, **describe(error)}
    return {**outcome, "ms": round((time.monotonic() - started) * 1000)}


class Driver:
    def __init__(self, options):
        self.options = options
        self.client = None
        self.running = {}

    async def connect(self, wanted):
        headers = dict(line.split(":", 1) for line in self.options.header)
        headers = {name.strip(): value.strip() for name, value in headers.items()}
        self.client = SdkClient(self.options.era, wanted.get("url", self.options.url), wanted.get("headers", headers))
        outcome = await attempt(self.client.connect(), self.options.timeout)
        return {**outcome, "result": self.client.facts()} if outcome["ok"] else outcome

    def verbs(self, command):
        """Each verb is a key of the command; its value is the verb's operand."""
        client = self.client
        return {
            "call": lambda name: client.alive(
                client.call(name, command.get("arguments"), command.get("progress", False), command.get("meta"))
            ),
            "list": lambda kind: client.alive(client.list(kind)),
            "read": lambda uri: client.alive(client.read(uri)),
            "ping": lambda _: client.alive(client.ping()),
            "raw": lambda request: client.alive(client.raw(request["method"], request.get("params"))),
            "subscribe": lambda uri: client.alive(client.subscribe(uri)),
            "unsubscribe": lambda uri: client.alive(client.unsubscribe(uri)),
            "log_level": lambda level: client.alive(client.set_level(level)),
            "open_stream": self.open_stream,
            "wait": self.wait_for,
            "terminate": lambda _: client.close(),
            "close": lambda _: client.close(),
            "seen": lambda _: self.seen(),
            "http": lambda _: self.exchanges(),
            "session": lambda _: self.facts(),
        }

    async def open_stream(self, wanted):
        if self.client.modern:
            return await self.client.alive(self.client.listen({"toolsListChanged": True} if wanted is True else wanted))
        return await self.client.alive(self.client.stream())

    async def wait_for(self, what):
        counts, least = self.client.recorder.counts, what.get("count", 1)
        await self.client.recorder.until(lambda: counts.get(what["method"], 0) >= least)
        return {"count": counts[what["method"]]}

    async def seen(self):
        found = self.client.recorder
        return {
            "counts": found.counts,
            "last": found.last,
            "errors": found.errors[-20:],
            "asked": self.client.asked,
            "streams": self.client.streams(),
        }

    async def exchanges(self):
        return self.client.recorder.exchanges

    async def facts(self):
        return self.client.facts()

    async def cancel(self, task, request_id):
        if V1 and request_id is not None:
            await self.client.alive(self.client.notify_cancelled(request_id))
        task.cancel()
        return {"ok": True, "ms": 0, "result": {}}

    async def obey(self, command):
        if "connect" in command:
            return await self.connect({} if command["connect"] is True else command["connect"])
        if "await" in command:
            return await self.running.pop(command["await"])[0]
        if "cancel" in command:
            return await self.cancel(*self.running[command["cancel"]])
        if self.client is None:
            raise ValueError("not connected")
        verbs = self.verbs(command)
        verb = next((name for name in verbs if name in command), None)
        if verb is None:
            raise ValueError(f"no such command; there are connect, await, cancel, {', '.join(verbs)}")
        timeout = command.get("timeout_ms", self.options.timeout)
        if "id" not in command:
            return await attempt(verbs[verb](command[verb]), timeout)
        request_id = self.client.next_request_id() if verb == "call" else None
        inner = asyncio.ensure_future(verbs[verb](command[verb]))
        self.running[command["id"]] = (Cancellable(inner, timeout), request_id)
        return {"ok": True, "ms": 0, "started": command["id"]}


class Cancellable:
    """A running request whose outcome can be awaited later."""

    def __init__(self, inner, timeout):
        self.inner = inner
        self.outcome = asyncio.ensure_future(attempt(inner, timeout))

    def cancel(self):
        self.inner.cancel()

    def __await__(self):
        return self.outcome.__await__()


async def main():
    options = read_arguments()
    driver = Driver(options)
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    if not options.wait:
        say({"ready": True, **await driver.connect({})})
    while line := await lines.readline():
        if not line.strip():
            continue
        try:
            say(await driver.obey(json.loads(line)))
        except Exception as error:
            say({"ok": False, "ms": 0, "outcome": "bad_command", "message": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    asyncio.run(main())
