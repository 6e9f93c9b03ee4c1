"""Owns: what the chart makes of a file of values: Helm 3 and 4 render it, `moorline check` takes its configuration. Prints what a test asks about.
`chart.py VALUES`, with the program in MOORLINE."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kubernetes"))
from helm import Helm  # noqa: E402


def main() -> None:
    values = yaml.safe_load(Path(sys.argv[1]).read_text())
    chart = ROOT / "deploy/helm/moorline"
    with Helm() as helm:
        documents = helm.documents(chart, values, version="4")
        if documents != helm.documents(chart, values, version="3"):
            sys.exit("Helm 3 and 4 render different objects")
    of = {document["kind"]: document for document in documents}
    config = next(document["data"]["moorline.toml"] for document in documents if document["kind"] == "ConfigMap" and "moorline.toml" in document["data"])
    with tempfile.TemporaryDirectory() as folder:
        secrets = Path(folder) / "secrets"
        for line in config.splitlines():
            for word in line.split('"'):
                if word.startswith("/etc/moorline/secrets/"):
                    path = secrets / word.removeprefix("/etc/moorline/secrets/")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" if "seal" in word else "x" * 40)
        file = Path(folder) / "moorline.toml"
        file.write_text(config.replace("/etc/moorline/secrets", str(secrets)))
        checked = subprocess.run([os.environ["MOORLINE"], "check", "--config", str(file)], capture_output=True, text=True)
        if checked.returncode != 0:
            sys.exit(checked.stderr + config)
    container = of["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    said = {"minReplicas": of["HorizontalPodAutoscaler"]["spec"]["minReplicas"], "cpu": str(container["resources"]["requests"]["cpu"])}
    print(json.dumps(said))


main()
