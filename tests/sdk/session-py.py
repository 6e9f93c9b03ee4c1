"""Owns: one whole session of a Python client against the fixture server, as named checks.

    .venv-v1/bin/python session-py.py --url URL
    .venv-v2/bin/python session-py.py --url URL --era legacy|modern|auto [--header 'name: value']...
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
import warnings

from lib.client_py import V1, SdkClient, describe, httpx, plain

warnings.simplefilter("ignore")

DEADLINE = 10
COUNTER = "demo://counter"
UPDATED = "notifications/resources/updated"
PROGRESS = "notifications/progress"


def expect(condition, detail):
    if not condition:
        raise AssertionError(detail)


class Session:
    """The checks; each returns a detail or raises."""

    def __init__(self, client, url, headers):
        self.client, self.url, self.headers = client, url, headers

    # -- words --------------------------------------------------------------------------------

    async def do(self, work):
        async with asyncio.timeout(DEADLINE):
            return plain(await self.client.alive(work))

    async def say(self, name, arguments=None, progress=False):
        result = await self.do(self.client.call(name, arguments, progress))
        return result["content"][0]["text"]

    def count(self, method):
        return self.client.recorder.counts.get(method, 0)

    async def until(self, method, least):
        async with asyncio.timeout(DEADLINE):
            await self.client.recorder.until(lambda: self.count(method) >= least)

    def resumes(self):
        return len([e for e in self.client.recorder.exchanges if e["http"] == "GET" and e["last_event_id"]])

    # -- both eras ----------------------------------------------------------------------------

    async def tools_list(self):
        tools = (await self.do(self.client.list("tools")))["tools"]
        expect(any(tool["name"] == "whoami" for tool in tools), "whoami is not listed")
        return f"{len(tools)} tools"

    async def tool(self):
        return await self.say("whoami")

    async def tool_error(self):
        try:
            result = await self.do(self.client.call("no-such-tool"))
            expect(result.get("isError"), str(result))
        except Exception as error:
            expect(describe(error)["outcome"] == "rpc_error", repr(error))
        return await self.say("whoami")

    async def progress(self):
        before = self.count(PROGRESS)
        answer = await self.say("slow", {"steps": 4, "ms": 30}, progress=True)
        await self.until(PROGRESS, before + 4)
        expect(self.count(PROGRESS) == before + 4, f"{self.count(PROGRESS) - before} of 4 progress notifications")
        return answer

    async def elicitation(self):
        answer = await self.say("elicit")
        content = json.loads(answer)["content"]
        expect(content == {"name": "Moor"} and self.client.asked["elicit"] == 1, answer)
        return answer

    async def sampling(self):
        answer = await self.say("sample")
        expect("moor" in answer and self.client.asked["sample"] == 1, answer)
        return answer

    async def log_level(self):
        await self.do(self.client.set_level("warning"))
        await self.say("log")
        await self.until("notifications/message", 2)
        levels = [n["params"]["level"] for n in self.client.recorder.last if n["method"] == "notifications/message"]
        expect(levels == ["warning", "error"], str(levels))
        return ",".join(levels)

    async def resource(self):
        found = (await self.do(self.client.read(COUNTER)))["contents"][0]
        return f"{found['uri']} is {found['text']}"

    async def subscription(self):
        before = self.count(UPDATED)
        await self.do(self.client.subscribe(COUNTER))
        for at in range(1, 4):
            await self.say("touch")
            await self.until(UPDATED, before + at)
        return f"{self.count(UPDATED) - before} updates"

    async def cancellation(self):
        label, before, request_id = str(uuid.uuid4()), self.count(PROGRESS), self.client.next_request_id()
        work = self.client.call("slow", {"steps": 200, "ms": 50, "label": label}, True)
        task = asyncio.ensure_future(self.client.alive(work))
        await self.until(PROGRESS, before + 1)
        if V1:
            await self.client.notify_cancelled(request_id)
        task.cancel()
        await asyncio.wait({task}, timeout=DEADLINE)
        expect(task.cancelled(), "the cancelled call was answered")
        async with asyncio.timeout(DEADLINE):
            while await self.say("cancelled", {"label": label}) != "1":
                await asyncio.sleep(0.02)
        return "the server stopped"

    # -- legacy -------------------------------------------------------------------------------

    async def stream(self):
        async with asyncio.timeout(DEADLINE):
            exchange = await self.client.stream()
        expect(exchange["status"] == 200, str(exchange))
        return f"GET {exchange['status']}"

    async def session_state(self):
        counts = [await self.say("count"), await self.say("count")]
        expect(counts == ["1", "2"], str(counts))
        return ",".join(counts)

    async def ping(self):
        await self.do(self.client.ping())
        return "pong"

    async def resume_call(self):
        resumes, before = self.resumes(), self.count(PROGRESS)
        answer = await self.say("drop", progress=True)
        await self.until(PROGRESS, before + 2)
        expect(answer == "resumed" and self.count(PROGRESS) == before + 2, f"{answer}, {self.count(PROGRESS) - before}")
        expect(self.resumes() > resumes, "no GET with Last-Event-ID")
        return answer

    async def resume_stream(self):
        resumes, before = self.resumes(), self.count(UPDATED)
        await self.say("drop_stream")
        await self.until(UPDATED, before + 1)
        expect(self.resumes() > resumes, "no GET with Last-Event-ID")
        await self.say("touch")
        await self.until(UPDATED, before + 2)
        expect(self.count(UPDATED) == before + 2, f"{self.count(UPDATED) - before} updates of 2")
        return "the update made meanwhile arrived once"

    async def unsubscribe(self):
        before = self.count(UPDATED)
        await self.do(self.client.unsubscribe(COUNTER))
        await self.say("touch")
        await self.say("whoami")
        expect(self.count(UPDATED) == before, "an update after unsubscribe")
        return "no more updates"

    async def delete(self):
        facts = self.client.facts()
        await self.client.close()
        headers = {
            **self.headers,
            "mcp-session-id": facts["session"],
            "mcp-protocol-version": facts["version"],
            "accept": "application/json, text/event-stream",
        }
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            response = await http.post(self.url, headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        expect(response.status_code == 404, f"status {response.status_code} for the ended session")
        return "the session is gone"

    # -- modern -------------------------------------------------------------------------------

    async def no_session(self):
        carried = [e for e in self.client.recorder.exchanges if e["session"]]
        expect(not carried, f"{len(carried)} requests carried a session id")
        return "no session id anywhere"


COMMON = "tools_list tool tool_error progress elicitation sampling log_level resource subscription cancellation".split()
# The order is that of the TypeScript sessions: see lib/session-ts.mjs for why errors come last.
QUIET = [name for name in COMMON if name != "tool_error"]
LEGACY = ["stream", *QUIET, "session_state", "ping", "resume_call", "resume_stream", "unsubscribe", "tool_error", "delete"]
MODERN = [*COMMON, "unsubscribe", "no_session"]
NAMES = {"unsubscribe": "listen_close"}


async def run(name, work, checks):
    started = time.monotonic()
    try:
        async with asyncio.timeout(3 * DEADLINE):
            found = {"ok": True, "detail": await work}
    except (Exception, asyncio.CancelledError) as error:
        outcome = describe(error)
        found = {"ok": False, "detail": f"{outcome['outcome']}: {outcome['message']}"}
    checks.append({"name": name, **found, "ms": round((time.monotonic() - started) * 1000)})
    return found["ok"]


async def connect(client, era):
    async with asyncio.timeout(DEADLINE):
        await client.connect()
    facts = client.facts()
    expect(facts["session"] if era == "legacy" else facts["version"] == "2026-07-28", str(facts))
    return facts["version"]


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--era", default="legacy", choices=["legacy", "modern", "auto"])
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args()
    pairs = (line.split(":", 1) for line in options.header)
    headers = {name.strip(): value.strip() for name, value in pairs}
    client = SdkClient(options.era, options.url, headers)
    session, checks = Session(client, options.url, headers), []
    if await run("connect", connect(client, options.era), checks):
        for name in LEGACY if options.era == "legacy" else MODERN:
            shown = name if options.era == "legacy" else NAMES.get(name, name)
            await run(shown, getattr(session, name)(), checks)
    ok = all(check["ok"] for check in checks)
    await client.close()
    print(json.dumps({"client": client.name, "ok": ok, "checks": checks, "errors": client.recorder.errors}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
