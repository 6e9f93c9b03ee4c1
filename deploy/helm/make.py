#!/usr/bin/env python3
"""Owns: what of the chart is made from elsewhere: values.schema.json, the alerts, the dashboard, README.md; and deploy/kubernetes, which
is made from the chart. `make.py` writes them, `make.py --check` says which differ. Needs tests/kubernetes/install.sh."""

import json
import re
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = HERE / "moorline"
sys.path[:0] = [str(HERE), str(ROOT / "tests/kubernetes")]

import dashboard  # noqa: E402
import plain  # noqa: E402
import schema_of_config  # noqa: E402


def values_schema() -> str:
    whole = yaml.safe_load((HERE / "schema.yaml").read_text())
    config, definitions = schema_of_config.schema(ROOT / "docs")
    whole["properties"]["config"] = config
    whole["definitions"] |= definitions
    return json.dumps(whole, indent=2) + "\n"


def shown(value: object) -> str:
    return "`" + json.dumps(value).replace("|", "\\|") + "`"


def rows(text: str) -> list[tuple[str, str, object]]:
    """Each value that a `# --` comment explains: its path, the comment, and its default."""
    values, found, path, comment = yaml.safe_load(text), [], [], []
    for line in text.splitlines():
        if said := re.match(r" *# (-- )?(.*)", line):
            comment = [said[2]] if said[1] else comment + [said[2]] if comment else []
            continue
        if key := re.match(r"( *)([\w-]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                value = values
                for step in path:
                    value = value[step]
                found.append((".".join(path), " ".join(comment), value))
        comment = []
    return found


def readme() -> str:
    table = [f"| `{path}` | {shown(value)} | {said.replace('|', chr(92) + '|')} |" for path, said, value in rows((CHART / "values.yaml").read_text())]
    head = (HERE / "README.head.md").read_text()
    return head + "\n## Values\n\n| value | default | meaning |\n|---|---|---|\n" + "\n".join(table) + "\n"


def made() -> dict[Path, str]:
    """Every file that is made, and what shall be in it."""
    chart = {
        CHART / "values.schema.json": values_schema(),
        CHART / "files/alerts.yaml": (ROOT / "docs/alerts.yml").read_text(),
        CHART / "files/dashboard.json": dashboard.document(),
        CHART / "README.md": readme(),
    }
    return chart


def write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def differing() -> list[str]:
    files = made() | plain.manifests(CHART, ROOT / "deploy/kubernetes")
    wrong = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    stray = [path for path in plain.present(ROOT / "deploy/kubernetes") if path not in files]
    return [str(path.relative_to(ROOT)) for path in wrong + stray]


def main() -> None:
    if "--check" in sys.argv:
        wrong = differing()
        sys.exit(f"not as deploy/helm/make.py would write them: {', '.join(wrong)}" if wrong else 0)
    # The manifests are made from what is written first.
    write(made())
    for path in plain.present(ROOT / "deploy/kubernetes"):
        path.unlink()
    write(plain.manifests(CHART, ROOT / "deploy/kubernetes"))


if __name__ == "__main__":
    main()
