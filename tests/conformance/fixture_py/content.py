"""Resources and prompts of the fixture."""

import json
import re

from mcp import types
from mcp.shared.exceptions import MCPError

from . import schemas
from .state import WATCHED_URIS, ReplicaState
from .tools import IMAGE, embedded, text

STATIC_TEXT = "This is the content of the static text resource."
TEMPLATE = re.compile(r"test://template/([^/]+)/data")


def resources() -> list[types.Resource]:
    entries = [
        ("test://static-text", "static-text", "A text that never changes", "text/plain"),
        ("test://static-binary", "static-binary", "An image that never changes", "image/png"),
    ]
    for uri in WATCHED_URIS:
        name = uri.removeprefix("test://")
        entries.append((uri, name, "Changes with each call of `touch`", "text/plain"))
    return [
        types.Resource.model_validate(
            {"uri": uri, "name": name, "description": description, "mimeType": mime}
        )
        for uri, name, description, mime in entries
    ]


def templates() -> list[types.ResourceTemplate]:
    template = {
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data by id",
        "mimeType": "application/json",
    }
    return [types.ResourceTemplate.model_validate(template)]


def read(state: ReplicaState, uri: str) -> types.ReadResourceResult:
    return types.ReadResourceResult.model_validate({"contents": [_contents(state, uri)]})


def _contents(state: ReplicaState, uri: str) -> dict:
    if uri == "test://static-text":
        return {"uri": uri, "mimeType": "text/plain", "text": STATIC_TEXT}
    if uri == "test://static-binary":
        return {"uri": uri, "mimeType": "image/png", "blob": schemas.PNG}
    if uri in WATCHED_URIS:
        return {"uri": uri, "mimeType": "text/plain", "text": f"revision {state.watched_revision}"}
    if match := TEMPLATE.fullmatch(uri):
        data = {"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"}
        return {"uri": uri, "mimeType": "application/json", "text": json.dumps(data)}
    raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})


def _argument(name: str, description: str) -> dict:
    return {"name": name, "description": description, "required": True}


def prompts() -> list[types.Prompt]:
    two = [_argument("arg1", "First test argument"), _argument("arg2", "Second test argument")]
    entries = [
        ("test_simple_prompt", "One message", []),
        ("test_prompt_with_arguments", "Shows its two arguments", two),
        (
            "test_prompt_with_embedded_resource",
            "Embeds the resource that it is given",
            [_argument("resourceUri", "URI to embed")],
        ),
        ("test_prompt_with_image", "Shows an image", []),
    ]
    return [
        types.Prompt.model_validate(
            {"name": name, "description": description, "arguments": arguments}
        )
        for name, description, arguments in entries
    ]


def get_prompt(name: str, arguments: dict[str, str]) -> types.GetPromptResult:
    contents = _prompt_contents(name, arguments)
    messages = [{"role": "user", "content": content} for content in contents]
    return types.GetPromptResult.model_validate({"messages": messages})


def _prompt_contents(name: str, arguments: dict[str, str]) -> list[dict]:
    match name:
        case "test_simple_prompt":
            return [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            one, two = arguments["arg1"], arguments["arg2"]
            return [text(f"Prompt with arguments: arg1='{one}', arg2='{two}'")]
        case "test_prompt_with_embedded_resource":
            body = "Embedded resource content for testing."
            return [
                embedded(arguments["resourceUri"], "text/plain", body),
                text("Please process the embedded resource above."),
            ]
        case "test_prompt_with_image":
            return [IMAGE, text("Please analyze the image above.")]
    raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name}")


def complete(value: str) -> types.CompleteResult:
    values = [word for word in ("paris", "park", "party") if word.startswith(value)]
    completion = {"values": values, "total": len(values), "hasMore": False}
    return types.CompleteResult.model_validate({"completion": completion})
