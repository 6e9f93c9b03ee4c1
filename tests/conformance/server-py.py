#!/usr/bin/env python3
"""One replica of the Python fixture. Owns the command line and the listener."""

import argparse
import os
import socket

import uvicorn

from fixture_py.events import RecentEvents, SessionMarks
from fixture_py.server import build
from fixture_py.state import ReplicaState


class ReadyServer(uvicorn.Server):
    """Prints its address once requests are answered."""

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        port = sockets[0].getsockname()[1]
        print(f"listening http://127.0.0.1:{port}/mcp", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "0")))
    parser.add_argument("--name", default=f"py-{os.getpid()}")
    options = parser.parse_args()

    state = ReplicaState(name=options.name)
    app = build(state).streamable_http_app(event_store=RecentEvents(), retry_interval=500)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    config = uvicorn.Config(
        SessionMarks(app, state),
        lifespan="on",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    ReadyServer(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
