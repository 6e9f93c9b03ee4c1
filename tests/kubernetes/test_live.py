"""Owns: what the chart renders fits the real program: its Pods are started here as far as a machine without a cluster can, probed, scraped, scaled by and stopped."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

import yaml
from combinations import CHART, LEAST, ROOT, examples, merged
from helm import Helm, unhooked
from instance import DEADLINE, MOORLINE, Instance, Redis, Server, Session, configuration, container, duration, free_port, get, one, secret_files, until

TOOLS = ROOT / "target/tools/prometheus/usr/bin"
PROMETHEUS, PROMTOOL = ((str(TOOLS / name) if (TOOLS / name).exists() else name) for name in ("prometheus", "promtool"))

NAMES = "dns+http://mcp-servers.moorline.svc.cluster.local:3001/mcp"
# What a whole day would show, within seconds. The third server drains, and is not there.
QUICK = {
    "config": {
        "drain": {"notice": "2s", "deadline": "12s"},
        "limits": {"preset": "off"},
        "limit": [{"name": "few", "key": "global", "tools": ["scarce"], "rate": "1/h"}, {"name": "turns", "key": "global", "concurrency": 50, "queue": 5}],
        "cache": [{"tools": ["kept"], "ttl": "1h", "scope": "public", "trust": True}],
        "pool": [{
            "path": "/mcp",
            "backends": [NAMES, "http://10.0.0.2:3002/mcp", {"url": "http://10.0.0.3:3003/mcp", "drain": True}],
            "health": {"kind": "tcp", "every": "100ms", "eject_after": 1, "eject_for": "5m"},
        }],
    }
}

# Queries that show something only when it went wrong in a way that is not brought about here.
SILENT = {"moorline_store_operations_failed_total"}


class Gateway:
    """Two Pods of the example for hundreds, with their Redis and their servers."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        with Helm() as helm:
            self.documents = helm.documents(CHART, merged(examples()["values-hundreds"], QUICK))
            self.thousands = helm.documents(CHART, examples()["values-thousands"])
            self.changed = helm.documents(CHART, merged(examples()["values-hundreds"], QUICK, {"config": {"session": {"idle": "3h"}}}))
        secret_files(self.documents, folder)
        self.token = (folder / "secrets/admin-token").read_text()
        self.servers = [Server(), Server()]
        self.redis = Redis((folder / "secrets/store-password").read_text())
        replacements = {
            NAMES: f"dns+http://localhost:{self.servers[0].port}/mcp",
            "http://10.0.0.2:3002": f"http://127.0.0.1:{self.servers[1].port}",
            "http://10.0.0.3:3003": f"http://127.0.0.1:{free_port()}",
            "redis.moorline.svc.cluster.local:6379": f"127.0.0.1:{self.redis.port}",
        }
        self.instances = [Instance(self.documents, folder, replacements) for _ in range(2)]
        for instance in self.instances:
            until("it is ready", lambda: get(self.probe(instance, "readinessProbe"))[0] == 200)

    def probe(self, instance: Instance, kind: str) -> str:
        asked = container(self.documents)[kind]["httpGet"]
        return instance.at(asked["port"], asked["path"])

    def stop(self) -> None:
        for part in (*self.instances, self.redis, *self.servers):
            part.stop()
        self.folder.cleanup()


class Prometheus:
    """Scrapes as the ServiceMonitor says, with the labels that the Prometheus Operator adds."""

    def __init__(self, gateway: Gateway) -> None:
        self.folder = tempfile.TemporaryDirectory()
        monitor = one(gateway.documents, "ServiceMonitor")
        (endpoint,) = monitor["spec"]["endpoints"]
        service = one(gateway.documents, "Service", "moorline-admin")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        key = endpoint["authorization"]["credentials"]
        mounted = [source["secret"] for volume in self.volumes(gateway) for source in volume.get("projected", {}).get("sources", [])]
        assert {"name": key["name"], "items": [{"key": key["key"], "path": "admin-token"}]} in mounted
        rule = Path(self.folder.name, "rules.yml")
        rule.write_text(yaml.safe_dump(one(gateway.documents, "PrometheusRule")["spec"]))
        self.rules = str(rule)
        job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        targets = [
            {"targets": [f"127.0.0.1:{instance.admin}"], "labels": {"namespace": "moorline", "pod": f"moorline-{number}", "service": "moorline-admin"}}
            for number, instance in enumerate(gateway.instances)
        ]
        scrape = {"job_name": job, "metrics_path": endpoint["path"], "static_configs": targets, "authorization": {"credentials": gateway.token}}
        config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}, "rule_files": [self.rules], "scrape_configs": [scrape]}
        file = Path(self.folder.name, "prometheus.yml")
        file.write_text(yaml.safe_dump(config))
        self.address = f"127.0.0.1:{free_port()}"
        asked = [PROMETHEUS, f"--config.file={file}", f"--storage.tsdb.path={self.folder.name}/data", f"--web.listen-address={self.address}", "--log.level=error"]
        self.process = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("prometheus is ready", self.is_ready)

    @staticmethod
    def volumes(gateway: Gateway) -> list[dict]:
        return one(gateway.documents, "Deployment")["spec"]["template"]["spec"]["volumes"]

    def is_ready(self) -> bool:
        try:
            return get(f"http://{self.address}/-/ready")[0] == 200
        except OSError:
            return False

    def api(self, path: str, **asked: str) -> dict:
        status, text = get(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(asked)}")
        assert status == 200, f"{asked}: {text}"
        return json.loads(text)["data"]

    def query(self, expression: str) -> list[dict]:
        return self.api("query", query=expression)["result"]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def documented() -> set[str]:
    return set(re.findall(r"^### `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.M))


def metrics_in(expression: str) -> set[str]:
    names = re.findall(r"\b(?:moorline|process)_\w+\b", re.sub(r'"[^"]*"', "", expression))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def panels() -> list[tuple[str, str]]:
    board = json.loads((CHART / "files/dashboard.json").read_text())
    return [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]


def without_variables(expression: str) -> str:
    for name, value in (("$__rate_interval", "10s"), ("$job", ".*"), ("$namespace", ".+"), ("$pod", ".+")):
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


class Live(unittest.TestCase):
    """In the order of their names: the last one ends an instance."""

    gateway: Gateway
    prometheus: Prometheus

    @classmethod
    def setUpClass(cls) -> None:
        cls.gateway = Gateway()
        cls.addClassCleanup(cls.gateway.stop)
        cls.prometheus = Prometheus(cls.gateway)
        cls.addClassCleanup(cls.prometheus.stop)
        cls.first, cls.second = cls.gateway.instances
        cls.sessions = [Session(cls.first) for _ in range(7)]
        cls.seen = set(cls.known_at(cls.first))
        cls.streams = [session.stream(cls.second) for session in cls.sessions[:3]]
        cls.traffic()

    @classmethod
    def traffic(cls) -> None:
        """Something of every kind that the dashboard shows."""
        for session in cls.sessions:
            session.call(cls.second, "wait")
        for tool in ("kept", "broken", "scarce", "scarce"):
            try:
                cls.sessions[-1].call(cls.second, tool)
            except OSError:
                pass
        with socket.create_connection(("127.0.0.1", cls.first.listen)) as one:
            one.sendall(b"no HTTP at all\r\n\r\n")
            one.recv(1000)
        passing = Session(cls.first)
        (known,) = [known for known in cls.known_at(cls.first) if known not in cls.seen]
        cls.seen.add(known)
        status, said = get(cls.first.at("admin", f"/api/v1/sessions/{known}/move"), cls.gateway.token, "POST", **{"Moorline-Admin": "1"})
        assert status == 200, said
        passing.end(cls.first)

    @classmethod
    def known_at(cls, instance: Instance) -> list[str]:
        status, said = get(instance.at("admin", "/api/v1/sessions"), cls.gateway.token)
        assert status == 200, said
        return [session["id"] for session in json.loads(said)["sessions"]]

    def test_1_probes_are_answered_without_a_token_and_nothing_else_is(self) -> None:
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            for instance in (self.first, self.second):
                status, said = get(self.gateway.probe(instance, kind))
                self.assertEqual(status, 200, f"{kind}: {said}")
        self.assertEqual(get(self.first.at("admin", "/metrics"))[0], 401)
        self.assertEqual(get(self.first.at("admin", "/metrics"), self.gateway.token)[0], 200)

    def test_2_the_tests_pod_asks_what_it_may(self) -> None:
        with Helm() as helm, tempfile.TemporaryDirectory() as folder:
            documents = helm.documents(unhooked(CHART, Path(folder)), merged(examples()["values-hundreds"], QUICK))
        pod = next(document for document in documents if document["kind"] == "Pod")["spec"]
        (mounted,) = [volume["secret"] for volume in pod["volumes"]]
        self.assertEqual((mounted["secretName"], mounted["items"]), ("moorline-admin", [{"key": "token", "path": "admin-token"}]))
        asked = list(pod["containers"][0]["args"])
        self.assertIn("_SERVICE_HOST):$(", asked[2])
        asked[2] = f"127.0.0.1:{self.first.admin}"
        asked = [part.replace("/etc/moorline", str(self.first.folder)) for part in asked]
        said = subprocess.run([MOORLINE, *asked], capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("mcp", said.stdout)

    def test_3_a_session_opened_at_one_pod_is_served_by_the_other(self) -> None:
        self.assertIn("done", self.sessions[0].call(self.second))

    def test_4_each_panel_of_the_dashboard_shows_something(self) -> None:
        for title, expression in panels():
            with self.subTest(title, query=expression):
                names = metrics_in(expression)
                self.assertTrue(names)
                self.assertLessEqual(names, documented())
                asked = without_variables(expression)
                if names & SILENT:
                    self.prometheus.query(asked)
                else:
                    self.traffic()
                    until(f"{title}: {asked}", lambda: self.prometheus.query(asked))

    def test_4_the_references_own_queries_have_results(self) -> None:
        questions = (ROOT / "docs/metrics.md").read_text().partition("## Questions and their queries")[2]
        queries = [" ".join(block.split()) for block in re.findall(r"(?:^ {4}.+\n)+", questions, re.M)]
        self.assertGreater(len(queries), 5)
        for query in queries:
            # One block may hold two; those of native histograms are asked in tests/metrics.
            for one_of_them in re.split(r"(?<=\)) (?=histogram_quantile)", query):
                if "_seconds[" not in one_of_them:
                    with self.subTest(one_of_them):
                        self.traffic()
                        until(one_of_them, lambda: self.prometheus.query(one_of_them.replace("[5m]", "[10s]").replace(" > 0", "")))

    def test_4_variables_of_the_dashboard_have_values(self) -> None:
        board = json.loads((CHART / "files/dashboard.json").read_text())
        names = [variable["name"] for variable in board["templating"]["list"] if variable["type"] == "query"]
        self.assertEqual(names, ["namespace", "job", "pod"])
        for name, wanted in (("namespace", ["moorline"]), ("job", ["moorline"]), ("pod", ["moorline-0", "moorline-1"])):
            self.assertEqual(self.prometheus.api(f"label/{name}/values", **{"match[]": "moorline_build_info"}), wanted)

    def test_5_each_metric_of_the_autoscaler_is_made_by_a_rule(self) -> None:
        rules = yaml.safe_load((CHART / "files/prometheus-adapter.yaml").read_text())["rules"]["custom"]
        scaler = one(self.gateway.thousands, "HorizontalPodAutoscaler")["spec"]
        asked = {}
        for metric in scaler["metrics"]:
            if metric["type"] == "Pods":
                asked[metric["pods"]["metric"]["name"]] = "pod"
            elif metric["type"] == "Object":
                described = metric["object"]["describedObject"]
                self.assertEqual((described["kind"], described["name"]), ("Service", "moorline-admin"))
                asked[metric["object"]["metric"]["name"]] = "service"
        self.assertEqual(set(asked), {"moorline_sessions", "moorline_streams", "moorline_requests_in_flight"})
        until("streams are counted", lambda: self.made_by(rules, "moorline_streams", "pod") == {"moorline-0": 0.0, "moorline-1": 3.0})
        self.assertEqual(set(self.made_by(rules, "moorline_requests_in_flight", "pod")), {"moorline-0", "moorline-1"})
        # Both instances know all of them by now: their sum would be nearly twice as many.
        until("sessions are counted once", lambda: self.made_by(rules, "moorline_sessions", "service") == {"moorline-admin": self.known()})
        self.assertGreaterEqual(self.known(), len(self.sessions))

    def known(self) -> float:
        pages = [get(instance.at("admin", "/metrics"), self.gateway.token)[1] for instance in (self.first, self.second)]
        return max(float(re.search(r"^moorline_sessions (\d+)", page, re.M)[1]) for page in pages)

    def made_by(self, rules: list[dict], name: str, resource: str) -> dict[str, float]:
        """What the custom metrics API would say of a metric, by object: as prometheus-adapter goes about it."""
        for rule in rules:
            series = {found["__name__"] for found in self.prometheus.api("series", **{"match[]": rule["seriesQuery"]})}
            matches = rule.get("name", {}).get("matches", ".*")
            names = {one: rule.get("name", {}).get("as") or one for one in series if re.search(matches, one)}
            if name in names.values() and resource in rule["resources"]["overrides"]:
                (metric,) = [one for one, given in names.items() if given == name]
                query = rule["metricsQuery"].replace("<<.Series>>", metric).replace("<<.LabelMatchers>>", f'namespace="moorline",{resource}=~"moorline-.+"')
                found = self.prometheus.query(query.replace("<<.GroupBy>>", resource))
                return {one["metric"][resource]: float(one["value"][1]) for one in found}
        self.fail(f"no rule makes {name}")

    def test_6_the_alerts_are_loaded_and_can_be_asked(self) -> None:
        said = subprocess.run([PROMTOOL, "check", "rules", self.prometheus.rules], capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        loaded = [rule for group in self.prometheus.api("rules")["groups"] for rule in group["rules"]]
        written = yaml.safe_load((ROOT / "docs/alerts.yml").read_text())["groups"][0]["rules"]
        self.assertEqual([rule["name"] for rule in loaded], [rule["alert"] for rule in written])
        until("all were evaluated", lambda: all(rule["health"] == "ok" for rule in self.prometheus.api("rules")["groups"][0]["rules"]))
        # The job that MoorlineDown goes by is the one that is scraped.
        until("both are scraped", lambda: len(self.prometheus.query('up{job="moorline"} == 1')) == 2)

    def test_7_a_changed_config_map_is_taken_over_by_running_instances(self) -> None:
        self.assertNotEqual(configuration(self.gateway.changed), configuration(self.gateway.documents))
        before, after = (one(documents, "Deployment") for documents in (self.gateway.documents, self.gateway.changed))
        self.assertEqual(before, after, "Pods would be replaced, too")
        self.first.mount(self.gateway.changed)
        until("it was read", lambda: "configuration reloaded" in self.first.said())
        self.assertIsNone(self.first.process.poll())

    def test_8_a_pod_that_is_told_to_go_drains(self) -> None:
        second = self.second
        drain = QUICK["config"]["drain"]
        grace = one(self.gateway.documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        begun = time.monotonic()
        second.process.send_signal(signal.SIGTERM)
        until("readiness is denied", lambda: get(self.gateway.probe(second, "readinessProbe"))[0] == 503)
        # It lives, and serves whoever has not noticed yet; also a call that lasts beyond the notice.
        self.assertEqual(get(self.gateway.probe(second, "livenessProbe"))[0], 200)
        self.assertIn("done", self.sessions[1].call(second, seconds=duration(drain["notice"]) + 0.5))
        ended = [stream.read().decode() for stream in self.streams]
        self.assertTrue(all("retry:" in text for text in ended), ended)
        second.process.wait(DEADLINE)
        took = time.monotonic() - begun
        self.assertEqual(second.process.returncode, 0)
        self.assertGreaterEqual(took, duration(drain["notice"]))
        self.assertLess(took, grace)
        # Its sessions go on at the other one.
        self.assertIn("done", self.sessions[1].call(self.first))


class Encrypted(unittest.TestCase):
    def test_probes_are_answered_where_clients_must_speak_tls_and_the_proxy_protocol(self) -> None:
        listener = {"tls": {"enabled": True, "secretName": "front"}, "listener": {"proxyProtocol": True}, "config": {"trusted_proxies": ["127.0.0.1/32"]}}
        server = Server()
        self.addCleanup(server.stop)
        with Helm() as helm, tempfile.TemporaryDirectory() as folder:
            documents = helm.documents(CHART, merged(LEAST, {"config": {"pool": [{"backends": [NAMES]}]}}, listener))
            secret_files(documents, Path(folder))
            instance = Instance(documents, Path(folder), {NAMES: f"dns+http://localhost:{server.port}/mcp"})
            self.addCleanup(instance.stop)
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container(documents)[kind]["httpGet"]
                until(kind, lambda: get(instance.at(asked["port"], asked["path"]))[0] == 200)
            self.assertEqual(instance.clients, "https")
            trust = ssl.create_default_context(cafile=f"{folder}/tls/tls.crt")
            with socket.create_connection(("127.0.0.1", instance.listen)) as plain:
                plain.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 4321 443\r\n")
                with trust.wrap_socket(plain, server_hostname="mcp.example.com") as one:
                    one.sendall(b"GET /livez HTTP/1.1\r\nHost: mcp.example.com\r\nConnection: close\r\n\r\n")
                    self.assertTrue(one.recv(1000).startswith(b"HTTP/1.1 200 "))


if __name__ == "__main__":
    os.environ.setdefault("MOORLINE", "target/debug/moorline")
    unittest.main()
