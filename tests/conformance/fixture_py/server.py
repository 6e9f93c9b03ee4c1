"""Joins the fixture's parts into one low-level SDK server."""

from mcp import types
from mcp.server import NotificationOptions, Server
from mcp.shared.exceptions import MCPError

from . import content, tools
from .state import ReplicaState


class FixtureServer(Server):
    """Says in its capabilities that its lists can change."""

    def create_initialization_options(self, notification_options=None, *args, **kwargs):
        options = notification_options or NotificationOptions(
            prompts_changed=True, resources_changed=True, tools_changed=True
        )
        return super().create_initialization_options(options, *args, **kwargs)


def build(state: ReplicaState) -> Server:
    server = FixtureServer(
        f"moorline-fixture-{state.name}",
        version="1.0.0",
        **_tool_handlers(state),
        **_resource_handlers(state),
        **_prompt_handlers(),
    )

    async def set_level(ctx, params):
        return types.EmptyResult()

    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)

    async def remember_session(ctx, call_next):
        state.session(ctx)
        return await call_next(ctx)

    server.middleware.append(remember_session)
    return server


def _tool_handlers(state: ReplicaState) -> dict:
    async def list_tools(ctx, params):
        return types.ListToolsResult(tools=tools.listed(state))

    async def call_tool(ctx, params):
        if params.name not in tools.TOOLS:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        call = tools.Call(ctx, params.arguments or {}, state)
        return await tools.call_tool(call, params.name)

    return {"on_list_tools": list_tools, "on_call_tool": call_tool}


def _resource_handlers(state: ReplicaState) -> dict:
    async def list_resources(ctx, params):
        return types.ListResourcesResult(resources=content.resources())

    async def list_templates(ctx, params):
        return types.ListResourceTemplatesResult(resource_templates=content.templates())

    async def read(ctx, params):
        return content.read(state, str(params.uri))

    async def subscribe(ctx, params):
        state.session(ctx).subscriptions.add(str(params.uri))
        return types.EmptyResult()

    async def unsubscribe(ctx, params):
        state.session(ctx).subscriptions.discard(str(params.uri))
        return types.EmptyResult()

    return {
        "on_list_resources": list_resources,
        "on_list_resource_templates": list_templates,
        "on_read_resource": read,
        "on_subscribe_resource": subscribe,
        "on_unsubscribe_resource": unsubscribe,
    }


def _prompt_handlers() -> dict:
    async def list_prompts(ctx, params):
        return types.ListPromptsResult(prompts=content.prompts())

    async def get_prompt(ctx, params):
        return content.get_prompt(params.name, params.arguments or {})

    async def complete(ctx, params):
        return content.complete(params.argument.value)

    return {
        "on_list_prompts": list_prompts,
        "on_get_prompt": get_prompt,
        "on_completion": complete,
    }
