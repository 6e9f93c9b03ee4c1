"""Owns: the real program, started as the rendered Pod says, on this machine: its folders are made as the kubelet makes them, and addresses of the cluster are
replaced by loopback ones. Each replacement must find something to replace."""

import base64
import http.server
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

MOORLINE = Path(os.environ["MOORLINE"]).resolve()
DEADLINE = 30.0


def until(what: str, happened):
    """What `happened` gives, once it gives something."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def one(documents: list[dict], kind: str, name: str = "moorline") -> dict:
    return next(document for document in documents if document["kind"] == kind and document["metadata"]["name"] == name)


def container(documents: list[dict]) -> dict:
    deployment = next(document for document in documents if document["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]


def configuration(documents: list[dict]) -> str:
    """The rendered moorline.toml."""
    return next(text for document in documents for name, text in document.get("data", {}).items() if name == "moorline.toml")


def replace(text: str, what: str, by: str) -> str:
    assert what in text, f"{what} is not in\n{text}"
    return text.replace(what, by)


def secret_files(documents: list[dict], folder: Path) -> None:
    """Whatever Secrets the Pod mounts, below `folder`, with contents that will do."""
    certificate, key = self_signed()
    known = {"sealing-key": base64.b64encode(secrets.token_bytes(32)).decode(), "store-ca.crt": certificate}
    deployment = next(document for document in documents if document["kind"] == "Deployment")
    (folder / "secrets").mkdir(parents=True)
    (folder / "tls").mkdir()
    for volume in deployment["spec"]["template"]["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                (folder / "secrets" / item["path"]).write_text(known.get(item["path"], secrets.token_hex(20)))
        if volume["name"] == "tls":
            (folder / "tls/tls.crt").write_text(certificate)
            (folder / "tls/tls.key").write_text(key)


_made: list[str] = []


def self_signed() -> tuple[str, str]:
    if not _made:
        with tempfile.TemporaryDirectory() as folder:
            made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9", "-subj", "/CN=mcp.example.com", "-addext", "subjectAltName=DNS:mcp.example.com"]
            subprocess.run(["openssl", "req", "-x509", *made, "-keyout", f"{folder}/key", "-out", f"{folder}/cert"], check=True, capture_output=True)
            _made.extend(Path(folder, name).read_text() for name in ("cert", "key"))
    return _made[0], _made[1]


def get(url: str, token: str | None = None, method: str = "GET", **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, method=method, headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Server:
    """An MCP server: sessions, a tool that takes as long as it is told, and a stream that stays open."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                method, extra = asked.get("method"), {}
                if "id" not in asked:
                    return self.answer(202)
                result: dict = {}
                if method == "initialize":
                    result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
                    extra = {"Mcp_Session_Id": secrets.token_hex(8)}
                elif method == "tools/list":
                    result = {"tools": [{"name": "wait", "inputSchema": {"type": "object"}}]}
                elif method == "tools/call" and asked["params"]["name"] == "broken":
                    return self.answer(500)
                elif method == "tools/call":
                    owner.stopped.wait(asked["params"].get("arguments", {}).get("seconds", 0))
                    result = {"content": [{"type": "text", "text": "done"}]}
                body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
                return self.answer(200, body, Content_Type="application/json", **extra)

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.flush()
                owner.stopped.wait()

            def do_DELETE(self) -> None:
                self.answer(200)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self.http.shutdown()
        self.http.server_close()


class Redis:
    def __init__(self, password: str) -> None:
        self.port = free_port()
        self.folder = tempfile.mkdtemp()
        asked = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder, "--requirepass", password]
        self.process = subprocess.Popen(asked, stdout=subprocess.DEVNULL)
        until("redis listens", lambda: is_open(self.port))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


class Instance:
    """One Pod. `folder` stands for /etc/moorline."""

    def __init__(self, documents: list[dict], folder: Path, replacements: dict[str, str]) -> None:
        self.folder = folder
        self.listen, self.admin = free_port(), free_port()
        pod = container(documents)
        # By the names that probes and Services know.
        self.ports = {port["name"]: (self.admin if port["name"] == "admin" else self.listen) for port in pod["ports"]}
        (self.clients,) = [name for name in self.ports if name != "admin"]
        numbers = {port["name"]: port["containerPort"] for port in pod["ports"]}
        self.replacements = {f"0.0.0.0:{numbers[self.clients]}": f"127.0.0.1:{self.listen}", f"0.0.0.0:{numbers['admin']}": f"127.0.0.1:{self.admin}"}
        self.replacements |= {"/etc/moorline/": f"{folder}/"} | replacements
        self.mounted = folder / f"config-{self.listen}"
        self.mounted.mkdir()
        self.mount(documents)
        mounts = {mount["mountPath"]: self.mounted for mount in pod["volumeMounts"] if mount["name"] == "config"}
        command = [*pod["command"], *pod["args"]]
        assert command[0] == "/usr/local/bin/moorline"
        for path, here in mounts.items():
            command = [part.replace(path, str(here)) for part in command]
        assert command[-1] == f"{self.mounted}/moorline.toml", command
        environment = {"PATH": os.environ["PATH"]} | {one["name"]: one["value"] for one in pod.get("env", [])}
        self.log = open(folder / f"log-{self.listen}", "w+")
        self.process = subprocess.Popen([MOORLINE, *command[1:]], env=environment, stdout=subprocess.DEVNULL, stderr=self.log)
        until("it serves", lambda: self.process.poll() is None and "serving" in self.said())

    def mount(self, documents: list[dict]) -> None:
        """The ConfigMap as the kubelet puts it there: a folder of its own, and a link that is swapped."""
        text = configuration(documents)
        for what, by in self.replacements.items():
            text = replace(text, what, by)
        fresh = self.mounted / f"..{secrets.token_hex(4)}"
        fresh.mkdir()
        (fresh / "moorline.toml").write_text(text)
        (self.mounted / "..next").symlink_to(fresh.name)
        (self.mounted / "..next").rename(self.mounted / "..data")
        if not (self.mounted / "moorline.toml").is_symlink():
            (self.mounted / "moorline.toml").symlink_to("..data/moorline.toml")

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def at(self, port: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}{path}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


class Session:
    """A client's session, at whichever instance each request goes to."""

    def __init__(self, instance: Instance) -> None:
        said = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        _, headers = self.post(instance, "initialize", said)
        self.id = headers["mcp-session-id"]
        self.post(instance, "notifications/initialized", {}, number=None)

    def headers(self) -> dict[str, str]:
        own = {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": "2025-06-18"} if hasattr(self, "id") else {}
        return own | {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    def post(self, instance: Instance, method: str, parameters: dict, number: int | None = 1):
        message = {"jsonrpc": "2.0", "method": method, "params": parameters} | ({} if number is None else {"id": number})
        request = urllib.request.Request(instance.at("http", "/mcp"), json.dumps(message).encode(), self.headers())
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.read().decode(), answer.headers

    def call(self, instance: Instance, tool: str = "wait", **arguments: float) -> str:
        return self.post(instance, "tools/call", {"name": tool, "arguments": arguments})[0]

    def end(self, instance: Instance) -> None:
        get(instance.at("http", "/mcp"), method="DELETE", **self.headers())

    def stream(self, instance: Instance):
        """An open notification stream."""
        request = urllib.request.Request(instance.at("http", "/mcp"), headers=self.headers() | {"Accept": "text/event-stream"})
        return urllib.request.urlopen(request, timeout=DEADLINE)


def duration(text: str) -> float:
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)(ms|d|h|m|s)", text))
