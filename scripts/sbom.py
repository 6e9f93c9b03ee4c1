#!/usr/bin/env python3
"""Writes what the binary is made of as CycloneDX 1.6 (JSON) to standard output: scripts/sbom.py

Read from the lock file through `cargo metadata`: what the binary links and what builds it, not what tests it. The same lock file
gives the same text.
"""
import json
import subprocess
import sys

METADATA = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]


def read():
    return json.loads(subprocess.run(METADATA, check=True, stdout=subprocess.PIPE).stdout)


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def reached(nodes, root):
    """What is reached from the root without dependencies that only tests have."""
    seen, left = {}, [root]
    while left:
        node = left.pop()
        if node in seen:
            continue
        needed = [dep["pkg"] for dep in nodes[node]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        seen[node] = sorted(needed)
        left.extend(needed)
    return seen


def checksums():
    """Of each package, as the lock file has them."""
    found, name, version = {}, None, None
    for line in open("Cargo.lock", encoding="utf-8"):
        key, _, value = line.strip().partition(" = ")
        value = value.strip('"')
        name = value if key == "name" else name
        version = value if key == "version" else version
        if key == "checksum":
            found[name, version] = value
    return found


def component(package, sums):
    told = {"type": "library", "bom-ref": reference(package), "name": package["name"], "version": package["version"]}
    told["purl"] = reference(package)
    if package.get("license"):
        told["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if digest := sums.get((package["name"], package["version"])):
        told["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return told


def main():
    metadata = read()
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root, sums = metadata["resolve"]["root"], checksums()
    edges = reached(nodes, root)
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**component(packages[root], sums), "type": "application"}},
        "components": sorted((component(packages[one], sums) for one in edges if one != root), key=lambda one: one["purl"]),
        "dependencies": sorted(
            ({"ref": reference(packages[one]), "dependsOn": [reference(packages[other]) for other in others]} for one, others in edges.items()),
            key=lambda one: one["ref"],
        ),
    }
    json.dump(told, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
