"""All tools of the fixture: a table of name, description, schema and handler."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mcp import types
from mcp.server import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata

from . import schemas
from .schemas import STRING, obj
from .state import ReplicaState

READ_ONLY = {"readOnlyHint": True}
# What a handler returns: a text, or a list of content blocks.
Answer = str | list[dict]


@dataclass
class Call:
    ctx: ServerRequestContext
    arguments: dict[str, Any]
    state: ReplicaState


@dataclass
class Tool:
    description: str
    run: Callable[[Call], Awaitable[Answer]]
    schema: dict = field(default_factory=lambda: obj({}))
    annotations: dict | None = None


TOOLS: dict[str, Tool] = {}


def tool(name: str, description: str, schema: dict | None = None, annotations: dict | None = None):
    def register(run):
        TOOLS[name] = Tool(description, run, schema or obj({}), annotations)
        return run

    return register


def constant(name: str, description: str, answer: Answer) -> None:
    @tool(name, description)
    async def _(call: Call) -> Answer:
        return answer


def text(value: str) -> dict:
    return {"type": "text", "text": value}


def embedded(uri: str, mime_type: str, body: str) -> dict:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": body}}


IMAGE = {"type": "image", "data": schemas.PNG, "mimeType": "image/png"}

constant("test_simple_text", "Returns one text", "This is a simple text response for testing.")
constant("test_image_content", "Returns one image", [IMAGE])
constant(
    "test_audio_content",
    "Returns one sound",
    [{"type": "audio", "data": schemas.WAV, "mimeType": "audio/wav"}],
)
constant(
    "test_embedded_resource",
    "Returns an embedded resource",
    [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
)
constant(
    "test_multiple_content_types",
    "Returns text, an image and a resource",
    [
        text("Multiple content types test:"),
        IMAGE,
        embedded(
            "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
        ),
    ],
)


@tool("test_error_handling", "Always fails")
async def fail(call: Call) -> Answer:
    raise RuntimeError("This tool intentionally returns an error for testing")


@tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", schemas.SCHEMA_2020_12)
async def schema_2020_12(call: Call) -> Answer:
    return json.dumps(call.arguments)


@tool("test_tool_with_logging", "Logs three lines")
async def log(call: Call) -> Answer:
    lines = ("Tool execution started", "Tool processing data", "Tool execution completed")
    for at, line in enumerate(lines):
        await asyncio.sleep(0.05 if at else 0)
        params = types.LoggingMessageNotificationParams(level="info", data=line)
        await call.ctx.session.send_notification(
            types.LoggingMessageNotification(params=params),
            related_request_id=call.ctx.request_id,
        )
    return "logged"


@tool("test_tool_with_progress", "Reports progress 0, 50, 100")
async def progress(call: Call) -> Answer:
    for value in (0, 50, 100):
        await call.ctx.session.report_progress(value, 100)
        await asyncio.sleep(0.05 if value < 100 else 0)
    return "progressed"


COUNT = {"type": "integer", "minimum": 0}


@tool(
    "slow",
    "Takes `steps` pauses of `ms` milliseconds, with progress after each",
    obj({"steps": {**COUNT, "default": 5}, "ms": {**COUNT, "default": 100}}),
    READ_ONLY,
)
async def slow(call: Call) -> Answer:
    steps = call.arguments.get("steps", 5)
    for step in range(1, steps + 1):
        await asyncio.sleep(call.arguments.get("ms", 100) / 1000)
        await call.ctx.session.report_progress(step, steps)
    return f"done after {steps} steps"


@tool("test_reconnection", "Closes the response stream before the result")
async def reconnect(call: Call) -> Answer:
    if call.ctx.close_sse_stream:
        await call.ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed"


@tool("test_sampling", "Asks the client's model", obj({"prompt": STRING}, ["prompt"]))
async def sampling(call: Call) -> Answer:
    message = {"role": "user", "content": text(call.arguments["prompt"])}
    params = types.CreateMessageRequestParams.model_validate(
        {"messages": [message], "maxTokens": 100}
    )
    result = await call.ctx.session.send_request(
        types.CreateMessageRequest(params=params),
        types.CreateMessageResult,
        metadata=ServerMessageMetadata(related_request_id=call.ctx.request_id),
    )
    return f"LLM response: {result.content.text}"


async def elicit(call: Call, message: str, schema: dict) -> types.ElicitResult:
    return await call.ctx.session.elicit_form(message, schema, call.ctx.request_id)


@tool("test_elicitation", "Asks the user", obj({"message": STRING}, ["message"]))
async def elicitation(call: Call) -> Answer:
    result = await elicit(call, call.arguments["message"], schemas.USER_SCHEMA)
    return f"User response: action: {result.action}, content: {json.dumps(result.content)}"


def asking(name: str, schema: dict) -> None:
    @tool(name, "Asks the user with a rich schema")
    async def _(call: Call) -> Answer:
        result = await elicit(call, "Please fill in", schema)
        content = json.dumps(result.content or {})
        return f"Elicitation completed: action={result.action}, content={content}"


asking("test_elicitation_sep1034_defaults", schemas.DEFAULTS_SCHEMA)
asking("test_elicitation_sep1330_enums", schemas.ENUMS_SCHEMA)


@tool("whoami", "Name of the replica that answers", annotations=READ_ONLY)
async def whoami(call: Call) -> Answer:
    return call.state.name


@tool("count", "Counts calls in this session, or in this process where there are no sessions")
async def count(call: Call) -> Answer:
    session = call.state.session(call.ctx)
    session.calls += 1
    return str(session.calls)


@tool(
    "echo",
    "Returns its text",
    obj({"text": {"type": "string", "default": ""}}),
    {"readOnlyHint": True, "idempotentHint": True},
)
async def echo(call: Call) -> Answer:
    return call.arguments.get("text", "")


@tool("mark", "Has the side effect that `executions` counts")
async def mark(call: Call) -> Answer:
    call.state.marks += 1
    return str(call.state.marks)


@tool("executions", "How often `mark` ran in this process", annotations=READ_ONLY)
async def executions(call: Call) -> Answer:
    return str(call.state.marks)


@tool("touch", "Updates test://watched")
async def touch(call: Call) -> Answer:
    return str(await call.state.touch_watched())


@tool("list_change", "Announces a new list of tools")
@tool("test_trigger_tool_change", "Announces a new list of tools")
async def list_change(call: Call) -> Answer:
    return str(await call.state.tools_changed())


@tool("test_trigger_prompt_change", "Announces a new list of prompts")
async def prompt_change(call: Call) -> Answer:
    return str(await call.state.prompts_changed())


def listed(state: ReplicaState) -> list[types.Tool]:
    tools = []
    for name, entry in TOOLS.items():
        description = entry.description
        if name in ("list_change", "test_trigger_tool_change"):
            description += f" (list version {state.list_version})"
        definition = {"name": name, "description": description, "inputSchema": entry.schema}
        if entry.annotations:
            definition["annotations"] = entry.annotations
        tools.append(types.Tool.model_validate(definition))
    return tools


async def call_tool(call: Call, name: str) -> types.CallToolResult:
    try:
        answer = await TOOLS[name].run(call)
    except RuntimeError as error:
        return types.CallToolResult.model_validate({"content": [text(str(error))], "isError": True})
    content = [text(answer)] if isinstance(answer, str) else answer
    return types.CallToolResult.model_validate({"content": content})
