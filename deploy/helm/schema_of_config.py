"""Owns: the schema of `config`, made from docs/configuration.md, which is made from the program. Knows nothing of Kubernetes."""

import re
from pathlib import Path

DURATION = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
SIZE = r"^[0-9]+(B|kB|MB|GB|KiB|MiB|GiB)$"
RATE = r"^[0-9]+/[0-9]*(d|h|min|s)$"

# The chart writes these itself, or they are secrets, which a ConfigMap must not hold.
THE_CHARTS_OWN = {
    "": {"listen", "admin", "admin_token", "admin_token_file", "admin_token_env"},
    "tls": {"cert_file", "key_file"},
    "store": {"password", "password_file", "password_env", "sealing_key", "sealing_key_file", "sealing_key_env", "ca_file"},
    "traces": {"headers"},
    "pool": {"service_credential"},
}


def text(pattern: str | None = None) -> dict:
    return {"type": "string", "minLength": 1} | ({"pattern": pattern} if pattern else {})


def form(accepted: str) -> dict:
    """The schema of what a key accepts, in the reference's words. What no pattern tells is left to the program."""
    if accepted.endswith(", or an array of these"):
        one = form(accepted.removesuffix(", or an array of these"))
        return {"anyOf": [one, {"type": "array", "items": one}]}
    if accepted.startswith("an array of: "):
        if "a table such as { url" in accepted:
            return {"type": "array", "minItems": 1, "items": {"anyOf": [text(r"^(dns\+)?https?://"), {"$ref": "#/definitions/backend"}]}}
        return {"type": "array", "items": form(accepted.removeprefix("an array of: "))}
    if accepted.endswith(', or "off"'):
        return {"anyOf": [form(accepted.removesuffix(', or "off"')), {"const": "off"}]}
    if accepted.endswith(', "adaptive"'):
        return {"anyOf": [form(accepted.removesuffix(', "adaptive"')), {"const": "adaptive"}]}
    if found := re.match(r"a whole number from (\d+) to (\d+)$", accepted):
        return {"type": "integer", "minimum": int(found[1]), "maximum": int(found[2])}
    if found := re.match(r"a number from (\d+) to (\d+)", accepted):
        return {"type": "number", "minimum": int(found[1]), "maximum": int(found[2])}
    if accepted.startswith("true, false"):
        return {"type": "boolean"}
    if accepted.startswith("a duration"):
        return text(DURATION)
    if accepted.startswith("a size"):
        return text(SIZE)
    if accepted.startswith("a rate"):
        return text(RATE)
    if accepted.startswith("a table such as"):
        return {"type": "object"}
    if re.fullmatch(r'"[^"]+"(, "[^"]+")*', accepted):
        return {"enum": re.findall(r'"([^"]+)"', accepted)}
    if "redis+cluster://" in accepted:
        # Its password has a Secret of its own, and the root file system cannot be written to.
        return text(r"^(memory|rediss?(\+sentinel|\+cluster)?://[^@]+)$")
    return text()


def tables(reference: str) -> dict[str, dict]:
    """Each section of the reference: whether there are several of it, and its keys."""
    found: dict[str, dict] = {}
    for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", reference, re.S | re.M):
        name = re.search(r"`(\[*)([\w.]+)", heading)
        if heading not in ("Top level", "Tables in `pool.backends`") and not (name and name[1]):
            continue
        path = "" if heading == "Top level" else "backend" if "backends" in heading else name[2]
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| ", body, re.M)
        own = THE_CHARTS_OWN.get(path.removeprefix("pool.") if path.endswith("auth") else path, set())
        found[path] = {
            "several": bool(name and name[1] == "[["),
            "keys": {key: form(accepted) for key, _, accepted in rows if key not in own},
            "needed": [key for key, preset, _ in rows if preset == "none: must be given" and key not in own],
        }
    return found


def schema(docs: Path) -> tuple[dict, dict]:
    """The schema of `config`, and the definitions that it refers to."""
    found = tables((docs / "configuration.md").read_text())
    backend = found.pop("backend")
    made: dict[str, dict] = {}
    for path, table in found.items():
        made[path] = {"type": "object", "additionalProperties": False, "properties": dict(table["keys"])}
        if table["needed"]:
            made[path]["required"] = table["needed"]
    for path in sorted(filter(None, found), key=lambda path: -path.count(".")):
        parent, _, key = path.rpartition(".")
        one = made[path]
        made[parent]["properties"][key] = {"type": "array", "items": one} if found[path]["several"] else one
    made["pool"]["properties"]["auth"] = made["auth"]
    # In braces or as a section; a rate alone will not do, so a table it is.
    config = made[""]
    config["properties"]["pool"]["minItems"] = 1
    config["properties"]["store"]["required"] = ["url"]
    config["properties"]["drain"]["required"] = ["notice", "deadline"]
    config["required"] = ["pool", "store", "drain"]
    definition = {
        "type": "object",
        "additionalProperties": False,
        "properties": backend["keys"],
        "required": ["url"],
    }
    return config, {"backend": definition}
