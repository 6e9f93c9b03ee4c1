"""Asks a running admin API all that its document allows, and what it does not. Arguments: its address and its token.

The document says what an answer has, and may say more with a later version; here it is taken to say all of it.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

FOLDER = pathlib.Path(__file__).parent


def closed(part):
    """The same schemas, in which nothing may stand that is not described."""
    if isinstance(part, list):
        return [closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    part = {name: closed(one) for name, one in part.items()}
    if part.get("type") == "object" and "properties" in part:
        part.setdefault("additionalProperties", False)
    return part


def main(address, token):
    url = f"http://{address}"
    asked = urllib.request.Request(f"{url}/api/v1/openapi.json", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        document = json.load(answer)
    document["components"]["schemas"] = closed(document["components"]["schemas"])
    with tempfile.TemporaryDirectory() as folder:
        schema = pathlib.Path(folder) / "openapi.json"
        schema.write_text(json.dumps(document))
        command = [
            str(FOLDER / ".venv/bin/schemathesis"), "--config-file", str(FOLDER / "schemathesis.toml"),
            "run", str(schema), "--url", url, "--checks", "all", "--header", f"Authorization: Bearer {token}",
        ]
        return subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
