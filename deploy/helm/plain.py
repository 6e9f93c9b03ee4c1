"""Owns: deploy/kubernetes, plain manifests as the chart renders them for each of its examples. Decides nothing about them."""

from pathlib import Path

import yaml
from helm import Helm

NAMES = {"hundreds": "values-hundreds.yaml", "thousands": "values-thousands.yaml"}
MARK = "# Made from the chart by deploy/helm/make.py. Change it with Kustomize, or change the chart's values and make your own.\n"


def without_helm(document: dict) -> dict:
    """What only Helm's own objects say."""
    for labels in (document["metadata"].get("labels", {}),):
        labels.pop("helm.sh/chart", None)
        labels.pop("app.kubernetes.io/managed-by", None)
    return document


def is_plain(document: dict) -> bool:
    is_hook = "helm.sh/hook" in document["metadata"].get("annotations", {})
    # A token that was thrown once and stood in a file would be everybody's.
    return not is_hook and document["kind"] != "Secret"


def manifests(chart: Path, folder: Path) -> dict[Path, str]:
    """Every file below `folder`, and what shall be in it."""
    made: dict[Path, str] = {}
    with Helm() as helm:
        for name, values in NAMES.items():
            documents = helm.documents(chart, yaml.safe_load((chart / "examples" / values).read_text()))
            files = {file_name(document): document for document in documents if is_plain(document)}
            for file, document in files.items():
                text = yaml.dump(without_helm(document), Dumper=Readable, sort_keys=False, width=160)
                made[folder / name / file] = MARK + text
            listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
            made[folder / name / "kustomization.yaml"] = MARK + yaml.safe_dump(listed, sort_keys=False)
    return made


def file_name(document: dict) -> str:
    suffix = document["metadata"]["name"].removeprefix("moorline").removeprefix("-")
    return "-".join(filter(None, [document["kind"].lower(), suffix])) + ".yaml"


def present(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.yaml"))


class Readable(yaml.SafeDumper):
    """Texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Readable.add_representer(str, _text)
