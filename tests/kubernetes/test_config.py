"""Owns: the configuration that the chart writes is the one that the values say, the program takes it, and what surrounds it fits it."""

import json
import re
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

import jsonschema
from combinations import CHART, LEAST, REDIS, ROOT, all_of_them, merged
from helm import Helm
from instance import MOORLINE, configuration, container, duration, one, secret_files

DEFAULTS = {"threads": 2, "drain": {"notice": "10s", "deadline": "60s"}, "log": {"format": "json"}, "store": {"url": "memory"}}
# What the chart writes by itself.
OWN = [("listen",), ("admin",), ("admin_token_file",), ("tls", "cert_file"), ("tls", "key_file"), ("store", "password_file"), ("store", "ca_file"), ("store", "sealing_key_file")]


def ports_of(value: object) -> set[int]:
    """The ports that a configuration connects to, found without the chart's own rules: by looking at each URL in it."""
    if isinstance(value, dict):
        # Where clients find Moorline, and who issues what has its keys elsewhere.
        inner = [field for key, field in value.items() if key not in ("public_url", "audience", "allowed_origins") and not (key == "issuer" and isinstance(field, str))]
        return set().union(*map(ports_of, inner))
    if isinstance(value, list):
        return set().union(*map(ports_of, value))
    found = re.match(r"([a-z0-9+]+)://([^/]+)", value) if isinstance(value, str) else None
    if not found:
        return set()
    scheme, hosts = found.groups()
    preset = 26379 if "sentinel" in scheme else 6379 if scheme.startswith("redis") else 443 if scheme.endswith("https") else 80
    return {int(host.rpartition(":")[2]) if re.search(r":\d+$", host) else preset for host in hosts.split(",")}


class Configuration(unittest.TestCase):
    # What the chart writes itself, or what is a secret.
    OWN_KEYS = {"listen", "admin", "addr", "tls", "proxy_protocol", "admin_token", "admin_token_file", "admin_token_env", "cert_file", "key_file", "password", "password_file", "password_env"}
    OWN_KEYS |= {"ca_file", "sealing_key", "sealing_key_file", "sealing_key_env", "headers", "service_credential", "url", "weight", "drain"}

    helm: Helm
    rendered: dict[str, list[dict]]
    values: dict[str, dict]

    @classmethod
    def setUpClass(cls) -> None:
        cls.helm = Helm()
        cls.addClassCleanup(cls.helm.__exit__)
        cls.values = all_of_them()
        cls.rendered = {name: cls.helm.documents(CHART, values) for name, values in cls.values.items()}

    def test_it_says_what_the_values_say(self) -> None:
        for name, documents in self.rendered.items():
            with self.subTest(name):
                said = tomllib.loads(configuration(documents))
                for path in OWN:
                    table = said
                    for step in path[:-1]:
                        table = table.get(step, {})
                    table.pop(path[-1], None)
                if not said.get("tls"):
                    said.pop("tls", None)
                wanted = merged(DEFAULTS, self.values[name]["config"])
                if not self.values[name].get("tls", {}).get("enabled"):
                    wanted.pop("tls", None)
                # As text: to Python 2.0 is 2, to Moorline it is not.
                self.assertEqual(json.dumps(said, sort_keys=True, indent=1), json.dumps(wanted, sort_keys=True, indent=1))

    def test_the_program_takes_it(self) -> None:
        seen = set()
        for name, documents in self.rendered.items():
            text = configuration(documents)
            if text in seen:
                continue
            seen.add(text)
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                secret_files(documents, Path(folder))
                file = Path(folder, "moorline.toml")
                file.write_text(text.replace("/etc/moorline/", f"{folder}/"))
                said = subprocess.run([MOORLINE, "check", "--config", file], capture_output=True, text=True, check=False)
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr + text)
        self.assertGreater(len(seen), 12)

    def test_the_network_policy_lets_pass_what_it_needs(self) -> None:
        for name, documents in self.rendered.items():
            policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
            if not policies:
                continue
            with self.subTest(name):
                (policy,) = policies
                self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
                said = tomllib.loads(configuration(documents))
                entering = [{port["port"] for port in rule["ports"]} for rule in policy["ingress"]]
                self.assertEqual(entering, [{int(said["listen"][0]["addr"].rpartition(":")[2])}, {int(said["admin"].rpartition(":")[2])}])
                # The admin port is for somebody named, always.
                self.assertTrue(policy["ingress"][1]["from"])
                leaving = {port["port"] for rule in policy["egress"] for port in rule["ports"] if port["protocol"] == "TCP"}
                self.assertLessEqual(ports_of(said), leaving)
                self.assertIn(("UDP", 53), {(port["protocol"], port["port"]) for rule in policy["egress"] for port in rule["ports"]})
                pods = one(documents, "Deployment", policy_name(documents))["spec"]["template"]["metadata"]["labels"]
                self.assertLessEqual(policy["podSelector"]["matchLabels"].items(), pods.items())

    def test_the_grace_period_outlasts_the_drain(self) -> None:
        for name, documents in self.rendered.items():
            with self.subTest(name):
                drain = tomllib.loads(configuration(documents))["drain"]
                pod = next(document for document in documents if document["kind"] == "Deployment")["spec"]["template"]["spec"]
                sleep = container(documents).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                # After the deadline: a second for workers, five for the store, and what this machine needs.
                self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], sleep + duration(drain["deadline"]) + 7)
                probe = container(documents)["readinessProbe"]
                self.assertGreater(duration(drain["notice"]), probe["periodSeconds"] * probe["failureThreshold"] if name != "every-default" else -1)

    def test_durations_are_read_as_the_program_reads_them(self) -> None:
        for text, seconds in (("1h30m", 5400), ("1m", 60), ("90s", 90), ("1m30s500ms", 91), ("0s", 0)):
            documents = self.helm.documents(CHART, merged(LEAST, {"config": {"drain": {"notice": "0s", "deadline": text}}}))
            pod = one(documents, "Deployment")["spec"]["template"]["spec"]
            self.assertEqual(pod["terminationGracePeriodSeconds"], seconds + 15, text)

    def test_services_lead_to_ports_of_the_pods(self) -> None:
        for name, documents in self.rendered.items():
            with self.subTest(name):
                deployment = next(document for document in documents if document["kind"] == "Deployment")["spec"]
                labels = deployment["template"]["metadata"]["labels"]
                ports = {port["name"] for port in container(documents)["ports"]}
                self.assertLessEqual(deployment["selector"]["matchLabels"].items(), labels.items())
                for document in documents:
                    if document["kind"] == "Service" and document["spec"].get("clusterIP") != "None":
                        self.assertLessEqual(document["spec"]["selector"].items(), labels.items())
                        self.assertLessEqual({port["targetPort"] for port in document["spec"]["ports"]}, ports)
                for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                    self.assertIn(container(documents)[kind]["httpGet"]["port"], ports)

    def test_pods_are_replaced_for_what_needs_a_restart_and_for_nothing_else(self) -> None:
        reference = (ROOT / "docs/configuration.md").read_text()
        sentence = re.search(r"\*\*Reload\.\*\* A change of (.*?) is in force only after a restart", reference)[1]
        needing = re.findall(r"`([\w.]+)`", sentence)
        self.assertIn("store", needing)
        before = self.checksum({})
        changes = {
            "listen": {"listener": {"port": 8081}},
            "admin": {"admin": {"port": 9091}},
            "admin_token": {"secrets": {"adminToken": {"name": "x", "key": "y"}}},
            "threads": {"config": {"threads": 3}},
            "instance": {"config": {"instance": {"name": "a"}}},
            "store": {"config": {"store": {"prefix": "a"}}},
            "metrics": {"config": {"metrics": {"max_tools": 3}}},
            "results.memory": {"config": {"results": {"memory": "1MiB"}}},
            "results.shared": {"config": {"results": {"shared": False}}},
            "results.compress": {"config": {"results": {"compress": "1KiB"}}},
            "log.format": {"config": {"log": {"format": "text"}}},
            "bounds.max_requests_per_connection": {"config": {"bounds": {"max_requests_per_connection": 7}}},
            "bounds.max_streams_per_connection": {"config": {"bounds": {"max_streams_per_connection": 7}}},
        }
        for key in needing:
            change = changes.get(key) or {"config": {"bounds": {key.removeprefix("bounds."): "7s"}}}
            with self.subTest(key):
                self.assertNotEqual(self.template(change), self.template({}))
                # Another Secret changes the Pods by itself, and not the configuration.
                if key != "admin_token":
                    self.assertNotEqual(self.checksum(change), before)
        for change in ({"log": {"level": "debug"}}, {"session": {"idle": "2h"}}, {"limits": {"preset": "standard"}}, {"bounds": {"max_body": "1MiB"}}, {"drain": {"notice": "5s"}}):
            with self.subTest(change):
                self.assertEqual(self.checksum({"config": change}), before)

    def template(self, change: dict) -> dict:
        documents = self.helm.documents(CHART, merged(LEAST, REDIS, change))
        return one(documents, "Deployment")["spec"]["template"]

    def checksum(self, change: dict) -> str:
        return self.template(change)["metadata"]["annotations"]["checksum/restart"]

    def test_the_schema_accepts_every_value_that_the_example_shows(self) -> None:
        whole = json.loads((CHART / "values.schema.json").read_text())
        section, tried = whole["properties"]["config"], set()
        for line in (ROOT / "moorline.example.toml").read_text().splitlines():
            if header := re.match(r"(?:# )?\[+([\w.]+)\]+$", line):
                section = whole["properties"]["config"]
                for step in header[1].split("."):
                    section = section["properties"][step]
                    section = section.get("items", section)
            elif shown := re.match(r"(?:# )?(\w+) = (.+)$", line):
                key, value = shown[1], tomllib.loads(f"value = {shown[2]}")["value"]
                if key not in section["properties"]:
                    self.assertIn(key, self.OWN_KEYS, line)
                    continue
                with self.subTest(line):
                    jsonschema.Draft7Validator({**section["properties"][key], "definitions": whole["definitions"]}).validate(value)
                tried.add((id(section), key))
        self.assertGreater(len(tried), 150)


def policy_name(documents: list[dict]) -> str:
    return next(document for document in documents if document["kind"] == "NetworkPolicy")["metadata"]["name"]


if __name__ == "__main__":
    unittest.main()
