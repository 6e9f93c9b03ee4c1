"""Owns: whether rendered objects are what Kubernetes, and the makers of the other kinds, take. No field may be there that they do not know."""

import atexit
import json
import subprocess
from functools import cache
from pathlib import Path

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

HERE = Path(__file__).resolve().parent
SCHEMAS = next(HERE.glob(".venv/lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema"))
OTHERS = ("monitoring.coreos.com/", "gateway.networking.k8s.io/", "cert-manager.io/")
# The oldest that the chart is for, one that many have, and the newest.
VERSIONS = ("1.30", "1.34", "1.37")


@cache
def _definitions(version: str) -> Registry:
    text = (SCHEMAS / f"v{version}.0-local-strict/_definitions.json").read_text()
    resource = Resource.from_contents(json.loads(text), default_specification=DRAFT202012)
    return Registry().with_resource("_definitions.json", resource).crawl()


@cache
def _validator(version: str, kind: str, api: str) -> jsonschema.Draft202012Validator:
    group, _, number = api.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.split(".")[0], number]))
    schema = json.loads((SCHEMAS / f"v{version}.0-local-strict/{name}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


def faults(documents: list[dict], versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """What is wrong with any of them."""
    own = [json.dumps(document) for document in documents if not document["apiVersion"].startswith(OTHERS)]
    found = [fault for version in versions for document in own for fault in _faults_of_one(version, document)]
    others = [json.dumps(document) for document in documents if document["apiVersion"].startswith(OTHERS)]
    return found + [fault for document in others for fault in _faults_of_other(document)]


@cache
def _faults_of_one(version: str, text: str) -> list[str]:
    document = json.loads(text)
    name = f"Kubernetes {version}, {document['kind']} {document['metadata']['name']}"
    errors = _validator(version, document["kind"], document["apiVersion"]).iter_errors(document)
    return [f"{name}: {error.json_path}: {error.message[:300]}" for error in errors]


@cache
def _others() -> subprocess.Popen:
    others = subprocess.Popen(["node", HERE / "custom.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(others.communicate)
    return others


@cache
def _faults_of_other(text: str) -> list[str]:
    others = _others()
    others.stdin.write(text + "\n")
    others.stdin.flush()
    return json.loads(others.stdout.readline())
