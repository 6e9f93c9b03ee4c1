"""Owns: what the chart renders is taken by Kubernetes, with each version of Helm; and what it refuses, and how clearly."""

import tempfile
import unittest
from pathlib import Path

import judge
from combinations import CHART, LEAST, REDIS, all_of_them, examples, merged
from helm import Helm, Refused, unhooked

# What is wrong with values, and what is said of it.
WRONG: dict[str, tuple[dict, str]] = {
    "no pool": ({}, "/config/pool"),
    "a name that is no value": (merged(LEAST, {"replica": 3}), "'replica' not allowed"),
    "a key that Moorline does not have": (merged(LEAST, {"config": {"drian": {}}}), "'drian' not allowed"),
    "a key of a section that it does not have": (merged(LEAST, {"config": {"bounds": {"max_boddy": "1MiB"}}}), "'max_boddy' not allowed"),
    "a duration without a unit": (merged(LEAST, {"config": {"drain": {"deadline": "30"}}}), "/config/drain/deadline"),
    "a number as text": (merged(LEAST, {"config": {"threads": "two"}}), "/config/threads"),
    "a number out of range": (merged(LEAST, {"config": {"threads": 257}}), "/config/threads"),
    "a word that is none of those": (merged(LEAST, {"config": {"log": {"format": "xml"}}}), "/config/log/format"),
    "a backend that is no URL": ({"config": {"pool": [{"backends": ["mcp-servers:3001"]}]}}, "/config/pool/0/backends/0"),
    "a backend's unknown key": ({"config": {"pool": [{"backends": [{"url": "http://a/mcp", "wieght": 2}]}]}}, "/config/pool/0/backends/0"),
    "a password in the store's URL": (merged(LEAST, {"config": {"store": {"url": "redis://:secret@redis:6379/0"}}}), "/config/store/url"),
    "a store on a disk that cannot be written to": (merged(LEAST, {"config": {"store": {"url": "disk:/var/lib/moorline"}}}), "/config/store/url"),
    "a secret in the configuration": (merged(LEAST, {"config": {"store": {"password": "x"}}}), "'password' not allowed"),
    "the chart's own key": (merged(LEAST, {"config": {"admin": "0.0.0.0:1"}}), "'admin' not allowed"),
    "several instances that share nothing": (merged(LEAST, {"replicas": 2}), "several instances need a store that they share"),
    "an autoscaler without a store": (merged(LEAST, {"autoscaling": {"enabled": True}}), "several instances need a store that they share"),
    "an autoscaler that looks at nothing": (merged(LEAST, REDIS, {"autoscaling": {"enabled": True, "sessions": 0, "streams": 0, "requestsInFlight": 0, "cpuUtilization": 0}}), "/autoscaling"),
    "fewer at most than at least": (merged(LEAST, REDIS, {"autoscaling": {"minReplicas": 9, "maxReplicas": 3}}), "maxReplicas is less than"),
    "TLS without a Secret": (merged(LEAST, {"tls": {"enabled": True}}), "tls.enabled needs tls.secretName"),
    "a store's authorities without TLS": (merged(LEAST, REDIS, {"secrets": {"storeCa": {"name": "a"}}}), "speaks no TLS"),
    "a store's password without a store": (merged(LEAST, {"secrets": {"storePassword": {"name": "a"}}}), "names no Redis"),
    "cert-manager without TLS": (merged(LEAST, {"tls": {"certManager": {"enabled": True, "issuerRef": {"name": "a"}, "dnsNames": ["a"]}}}), "needs tls.enabled"),
    "cert-manager without an issuer": (merged(LEAST, {"tls": {"enabled": True, "secretName": "a", "certManager": {"enabled": True, "dnsNames": ["a"]}}}), "/tls/certManager/issuerRef"),
    "a notice that outlasts the drain": (merged(LEAST, {"config": {"drain": {"notice": "2m", "deadline": "1m"}}}), "notice is longer than"),
    "a grace that is no grace": (merged(LEAST, {"terminationGraceMargin": 0}), "/terminationGraceMargin"),
    "root": (merged(LEAST, {"runAsUser": 0}), "/runAsUser"),
    "a port for root alone": (merged(LEAST, {"listener": {"port": 443}}), "/listener/port"),
    "an Ingress for nobody": (merged(LEAST, {"ingress": {"enabled": True}}), "/ingress/hosts"),
    "a preset that there is not": (merged(LEAST, {"ingress": {"preset": "apache"}}), "/ingress/preset"),
    "an HTTPRoute that hangs on nothing": (merged(LEAST, {"httpRoute": {"enabled": True}}), "/httpRoute/parentRefs"),
    "a peer that is none": (merged(LEAST, {"networkPolicy": {"clients": [{"podselector": {}}]}}), "'podselector' not allowed"),
    "a headless Service that selects nothing": (merged(LEAST, {"backendServices": [{"name": "a", "port": 1, "selector": {}}]}), "/backendServices/0/selector"),
    "a path that leaves the folder": (merged(LEAST, {"secrets": {"files": [{"secret": "a", "key": "b", "path": "../c"}]}}), "/secrets/files/0/path"),
    "an image with its tag": (merged(LEAST, {"image": {"repository": "moorline:1"}}), "/image/repository"),
}


class Rendering(unittest.TestCase):
    helm: Helm

    @classmethod
    def setUpClass(cls) -> None:
        cls.helm = Helm()
        cls.addClassCleanup(cls.helm.__exit__)

    def test_every_combination_is_what_kubernetes_takes(self) -> None:
        kinds = set()
        for name, values in all_of_them().items():
            with self.subTest(name):
                documents = self.helm.documents(CHART, values)
                self.assertEqual(judge.faults(documents), [])
                names = [(document["kind"], document["metadata"]["name"]) for document in documents]
                self.assertEqual(len(names), len(set(names)), "two objects of one name")
                kinds |= {kind for kind, _ in names}
        expected = {"Certificate", "ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget"}
        expected |= {"PrometheusRule", "Secret", "Service", "ServiceAccount", "ServiceMonitor"}
        self.assertEqual(kinds, expected, "some template was never rendered")

    def test_both_versions_of_helm_render_the_same(self) -> None:
        for name, values in all_of_them().items():
            # A token that is thrown would differ.
            values = merged({"secrets": {"adminToken": {"name": "given"}}}, values)
            with self.subTest(name):
                self.assertEqual(self.helm.render(CHART, values, version="3"), self.helm.render(CHART, values, version="4"))

    def test_lint_finds_nothing(self) -> None:
        for name, values in examples().items():
            for version in "34":
                with self.subTest(name, helm=version):
                    said = self.helm.call("helm_lint", paths=[str(CHART)], values=values, strict=True, helm_version=version)
                    self.assertIn('"passed": true', said)
                    self.assertNotIn("WARNING", said)

    def test_a_kubernetes_that_is_too_old_is_refused(self) -> None:
        with self.assertRaisesRegex(Refused, "1.30"):
            self.helm.render(CHART, LEAST, kubernetes="1.29.9")

    def test_wrong_values_are_refused_and_named(self) -> None:
        for name, (values, said) in WRONG.items():
            for version in "34":
                with self.subTest(name, helm=version), self.assertRaises(Refused) as refused:
                    self.helm.render(CHART, values, version=version)
                self.assertIn(said, str(refused.exception), name)

    def test_hooks_and_notes_are_good_too(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            chart = unhooked(CHART, Path(folder))
            for name, values in all_of_them().items():
                with self.subTest(name):
                    documents = self.helm.documents(chart, values)
                    (pod,) = [document for document in documents if document["kind"] == "Pod"]
                    self.assertEqual(judge.faults([pod]), [])
                    policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
                    for policy in policies:
                        (let_in,) = [peer["podSelector"] for peer in policy["ingress"][1]["from"] if "podSelector" in peer]
                        self.assertLessEqual(let_in["matchLabels"].items(), pod["metadata"]["labels"].items())
                    # It is no instance: neither Service nor autoscaler may count it among them.
                    service = next(document for document in documents if document["kind"] == "Service")
                    self.assertFalse(service["spec"]["selector"].items() <= pod["metadata"]["labels"].items())
                    # The name under which Kubernetes tells Pods of the admin Service.
                    admin = next(document["metadata"]["name"] for document in documents if document["metadata"]["name"].endswith("-admin") and document["kind"] == "Service")
                    variable = admin.upper().replace("-", "_")
                    self.assertIn(f"$({variable}_SERVICE_HOST):$({variable}_SERVICE_PORT)", pod["spec"]["containers"][0]["args"])
                    notes = next(document["data"]["notes"] for document in documents if document["metadata"]["name"] == "notes")
                    self.assertIn(".moorline.svc", notes)
                    self.assertNotIn("<no value>", notes)
                    fronted = values.get("ingress", {}).get("enabled") or values.get("httpRoute", {}).get("enabled")
                    self.assertEqual("trusted_proxies is empty" in notes, bool(fronted and not values["config"].get("trusted_proxies")))

    def test_the_judge_does_judge(self) -> None:
        documents = self.helm.documents(CHART, merged(LEAST, {"serviceMonitor": {"enabled": True}}))
        for document in documents:
            document["spec" if "spec" in document else "metadata"]["surprise"] = True
        found = judge.faults(documents)
        for document in documents:
            self.assertTrue(any(document["kind"] in fault and "surprise" in fault for fault in found), document["kind"])

    def test_pods_are_locked_in(self) -> None:
        for name, values in all_of_them().items():
            documents = self.helm.documents(CHART, values)
            specs = [document["spec"]["template"]["spec"] for document in documents if document["kind"] == "Deployment"]
            for spec in specs:
                with self.subTest(name):
                    container = spec["containers"][0]["securityContext"]
                    self.assertTrue(spec["securityContext"]["runAsNonRoot"] and container["readOnlyRootFilesystem"])
                    self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertEqual(container["capabilities"], {"drop": ["ALL"]})
                    self.assertIs(container["allowPrivilegeEscalation"], False)
                    self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertEqual(len(specs), 1)


if __name__ == "__main__":
    unittest.main()
