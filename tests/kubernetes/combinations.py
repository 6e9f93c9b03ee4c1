"""Owns: the values with which the chart is tried: its examples, each switch by itself, all of them, none, and many mixtures."""

import copy
import random
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/moorline"

# The least that is accepted.
LEAST = {"config": {"pool": [{"backends": ["dns+http://mcp-servers.tools.svc.cluster.local:3001/mcp"]}]}}
REDIS = {"config": {"store": {"url": "redis://redis.moorline.svc:6379/0"}}}
ISSUER = {"issuer": "https://auth.example.com", "jwks": "https://auth.example.com:8443/keys", "audience": "https://mcp.example.com/mcp"}

# A configuration with a bit of everything, and with what is hard to write down.
RICH = {
    "public_url": "https://mcp.example.com",
    "trusted_proxies": ["10.0.0.0/8", "fd00::/8"],
    "refusals": "http",
    "auth": {"mode": "jwt", "scopes": ["mcp:tools"], "issuer": [ISSUER]},
    "allow": [{"tools": ["search_*"], "scopes": ["mcp:search"]}],
    "limits": {"preset": "standard", "sampling": "60/min"},
    "limit": [
        {"name": "calls", "key": "global", "rate": "1000000/min", "costs": {"ask_*": 5, "plain": 2, 'odd "name"': 3}},
        {"name": "turns", "key": "session", "concurrency": 4, "queue": 8, "wait": "1m30s"},
    ],
    "upstream": [{"name": "llm", "tools": ["summarize"], "rate": "500/min", "tokens": {"rate": "200000/min", "estimate": 1500}, "refused": {"pattern": r"quota exceeded, wait (?<seconds>\d+) s", "pause": "1m"}}],
    "cache": [{"tools": ["get_*"], "ttl": "5m", "arguments": {"ignore": ["trace_id"]}, "vary": ["accept-language"]}, {"methods": ["tools/list"], "ttl": "1m", "scope": "public"}],
    "results": {"memory": "128MiB", "shared": False},
    "session": {"max": 5_000_000, "idle": "2h"},
    "bounds": {"max_body": "8MiB", "max_connections": 100_000},
    "traces": {"endpoint": "http://otel-collector.monitoring.svc:4318", "sample": 0.25},
    "stream": {"heartbeat": "off"},
    "pool": [
        {
            "path": "/mcp",
            "backends": [{"url": "http://10.0.0.1:3001/mcp", "weight": 3, "drain": True}, "https://b.example.com/mcp", "dns+https://c.example.com/mcp"],
            "concurrency": 16,
            "host": "client",
            "health": {"kind": "http", "path": "/health", "eject_after": 5},
            "tls": {"server_name": "mcp.internal"},
        },
        {"path": "/tools", "name": "second", "backends": ["http://d:80/x"], "concurrency": "adaptive", "auth": {"mode": "none"}},
    ],
}

SWITCHES: dict[str, dict] = {
    "no-disruption-budget": {"podDisruptionBudget": {"enabled": False}},
    "no-network-policy": {"networkPolicy": {"enabled": False}},
    "service-monitor": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "prometheus-rule": {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}},
    "dashboard": {"dashboard": {"enabled": True, "annotations": {"grafana_folder": "MCP"}}},
    "ingress": {"ingress": {"enabled": True, "hosts": ["mcp.example.com"]}},
    "ingress-nginx": {"ingress": {"enabled": True, "preset": "nginx", "className": "nginx", "hosts": ["a.example.com", "b.example.com"], "tlsSecretName": "front"}},
    "ingress-haproxy": {"ingress": {"enabled": True, "preset": "haproxy", "hosts": ["mcp.example.com"], "annotations": {"haproxy.org/timeout-server": "2h"}}},
    "http-route": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["mcp.example.com"]}},
    "tls": {"tls": {"enabled": True, "secretName": "moorline-tls"}, "config": {"tls": {"min_version": "1.3"}}},
    "cert-manager": {"tls": {"enabled": True, "secretName": "moorline-tls", "certManager": {"enabled": True, "issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"}, "dnsNames": ["mcp.example.com"]}}},
    "autoscaling": {"autoscaling": {"enabled": True, "minReplicas": 2, "sessions": 9000, "streams": 4000, "requestsInFlight": 250, "cpuUtilization": 60}},
    "autoscaling-by-cpu": {"autoscaling": {"enabled": True, "sessions": 0, "streams": 0, "requestsInFlight": 0, "cpuUtilization": 80}},
    "autoscaling-by-sessions": {"autoscaling": {"enabled": True, "sessions": 5000, "streams": 0, "requestsInFlight": 0, "cpuUtilization": 0}},
    "load-balancer": {"service": {"type": "LoadBalancer", "port": 443, "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["192.0.2.0/24"], "annotations": {"a/b": "c"}}},
    "node-port": {"service": {"type": "NodePort", "nodePort": 30080}},
    "own-secrets": {
        "secrets": {
            "adminToken": {"name": "own-admin", "key": "admin"},
            "storePassword": {"name": "own-store"},
            "storeCa": {"name": "own-ca"},
            "sealingKey": {"name": "own-sealing"},
            "files": [{"secret": "own-keys", "key": "keys.toml", "path": "keys.toml"}],
        },
        "config": {"store": {"url": "rediss://redis.moorline.svc:6380/0", "username": "moorline"}},
    },
    "sentinel": {"config": {"store": {"url": "rediss+sentinel://a.moorline.svc:26379,b.moorline.svc/mymaster/0"}}, "networkPolicy": {"storePorts": [6390]}},
    "cluster": {"config": {"store": {"url": "rediss+cluster://a.moorline.svc:7001,b.moorline.svc:7002"}}},
    "rich": {"config": RICH},
    "proxy-protocol": {"listener": {"port": 8443, "proxyProtocol": True}, "config": {"trusted_proxies": ["10.0.0.0/8"]}},
    "ipv6": {"listener": {"address": "[::]"}, "admin": {"address": "[::]", "port": 9191}},
    "pinned-image": {"image": {"repository": "registry.example.com:5000/moorline", "digest": "sha256:" + "a" * 64, "pullPolicy": "Always"}, "imagePullSecrets": [{"name": "registry"}]},
    "backend-services": {"backendServices": [{"name": "mcp-servers", "port": 3001, "selector": {"app": "x"}}, {"name": "others", "port": 80, "targetPort": "http", "selector": {"app": "y"}}]},
    "narrow-policy": {
        "networkPolicy": {
            "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}],
            "backends": [{"podSelector": {"matchLabels": {"app": "x"}}}],
            "store": [{"podSelector": {}}],
            "dns": [],
            "dnsPorts": [53, 5353],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
        }
    },
    "no-service-account": {"serviceAccount": {"create": False}},
    "placement": {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]}},
        "topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "system-cluster-critical",
    },
    "pod-extras": {
        "env": [{"name": "RUST_LOG", "value": "info"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "c"},
        "commonLabels": {"d": "e"},
        "extraVolumes": [{"name": "cas", "configMap": {"name": "cas"}}],
        "extraVolumeMounts": [{"name": "cas", "mountPath": "/etc/cas", "readOnly": True}],
        "preStopSleepSeconds": 5,
        "dnsNdots": 0,
        "updateStrategy": {"type": "Recreate", "rollingUpdate": None},
    },
    "long-names": {"fullnameOverride": "a" * 50},
}

OFF = [name for name in SWITCHES if name.startswith("no-")]


def merged(*parts: dict) -> dict:
    """As Helm merges values files: maps by key, everything else as a whole."""
    whole: dict = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else copy.deepcopy(value)
    return whole


def defaults() -> dict:
    """Every key of the configuration that has a default, as the program's own example has it."""
    config = tomllib.loads((ROOT / "moorline.example.toml").read_text())
    for own in ("listen", "admin"):
        del config[own]
    config.pop("tls", None)
    return config


def examples() -> dict[str, dict]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CHART / "examples").glob("*.yaml"))}


def all_of_them() -> dict[str, dict]:
    """Values by name."""
    several = merged(LEAST, REDIS, {"replicas": 3, "secrets": {"adminToken": {"name": "given"}}})
    made = {"least": LEAST, **examples()}
    made |= {name: merged(several, switch) for name, switch in SWITCHES.items()}
    made["everything"] = merged(several, *(switch for name, switch in SWITCHES.items() if name not in OFF))
    made["nothing"] = merged(LEAST, *(SWITCHES[name] for name in OFF))
    made["every-default"] = {"config": defaults()}
    dice = random.Random(8)
    for number in range(24):
        chosen = dice.sample(sorted(SWITCHES), dice.randint(2, 9))
        made[f"mixture-{number}: {', '.join(chosen)}"] = merged(several, *(SWITCHES[name] for name in chosen))
    return made
