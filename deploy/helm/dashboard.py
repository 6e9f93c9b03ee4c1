"""Owns: the Grafana dashboard, written down as rows of panels. Asks only for metrics that docs/metrics.md names; tests/kubernetes asks a Prometheus."""

import json
from itertools import count

# What every query is narrowed down to.
ALL = 'job=~"$job", namespace=~"$namespace", pod=~"$pod"'
RATE = "$__rate_interval"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    narrowed = f"{metric}{{{', '.join(filter(None, [ALL, labels]))}}}"
    return f"sum{f' by ({by})' if by else ''} (rate({narrowed}[{RATE}]))"


def gauge(metric: str, labels: str = "", by: str = "", how: str = "sum") -> str:
    return f"{how}{f' by ({by})' if by else ''} ({metric}{{{', '.join(filter(None, [ALL, labels]))}}})"


def quantile(share: float, metric: str, by: str = "", labels: str = "") -> str:
    return f"histogram_quantile({share}, {rate(metric + '_bucket', labels, ', '.join(filter(None, ['le', by])))})"


def quantiles(metric: str, labels: str = "") -> list[tuple[str, str]]:
    return [(quantile(share, metric, labels=labels), name) for share, name in ((0.5, "half"), (0.9, "9 of 10"), (0.99, "99 of 100"))]


ROWS = [
    ("At a glance", [
        ("stat", "Instances", "none", [(gauge("moorline_build_info"), "instances")]),
        ("stat", "Sessions", "short", [(gauge("moorline_sessions", how="max"), "sessions")]),
        ("stat", "Requests a second", "reqps", [(rate("moorline_requests_total"), "requests")]),
        ("stat", "Share that servers fail", "percentunit", [
            ("(" + rate("moorline_requests_total", 'outcome="error"') + " or vector(0)) / " + rate("moorline_requests_total", 'outcome!="refused"'), "failed")]),
        ("stat", "Backends in use", "none", [(gauge("moorline_backend_up", by="pod"), "{{pod}}")]),
        ("stat", "Store", "none", [(gauge("moorline_store_up", how="min"), "1: can be reached")]),
    ]),
    ("Requests", [
        ("timeseries", "Requests by outcome", "reqps", [(rate("moorline_requests_total", by="outcome"), "{{outcome}}")]),
        ("timeseries", "Busiest tools", "reqps", [
            ("topk(10, " + rate("moorline_requests_total", 'method="tools/call"', "tool") + ")", "{{tool}}")]),
        ("timeseries", "Refusals by reason", "reqps", [(rate("moorline_refusals_total", by="reason"), "{{reason}}")]),
    ]),
    ("Time", [
        ("timeseries", "Requests, as a whole", "s", quantiles("moorline_request_duration_seconds")),
        ("timeseries", "Moorline's part", "s", quantiles("moorline_request_own_duration_seconds")),
        ("timeseries", "The servers' part, slowest tools (9 of 10)", "s", [
            ("topk(10, " + quantile(0.9, "moorline_request_backend_duration_seconds", "tool", 'method="tools/call"') + ")", "{{tool}}")]),
    ]),
    ("Sessions and streams", [
        ("timeseries", "Sessions that each instance knows", "short", [(gauge("moorline_sessions", by="pod"), "{{pod}}")]),
        ("timeseries", "Opened and ended", "ops", [
            (rate("moorline_sessions_opened_total"), "opened"),
            (rate("moorline_sessions_ended_total", 'reason!="elsewhere"', "reason"), "{{reason}}")]),
        ("timeseries", "Open streams", "short", [(gauge("moorline_streams", by="pod"), "{{pod}}")]),
        ("timeseries", "Moved sessions", "ops", [(rate("moorline_rehomes_total", by="cause, result"), "{{cause}}: {{result}}")]),
        ("timeseries", "How long a move paused its client", "s", quantiles("moorline_rehome_duration_seconds")),
        ("timeseries", "Connections", "short", [(gauge("moorline_connections", by="pod"), "{{pod}}")]),
    ]),
    ("Backends", [
        ("timeseries", "In flight", "short", [(gauge("moorline_backend_requests_in_flight", by="backend"), "{{backend}}")]),
        ("timeseries", "Sessions moored there", "short", [(gauge("moorline_backend_sessions", by="backend", how="max"), "{{backend}}")]),
        ("timeseries", "Time to the answer (9 of 10)", "s", [(quantile(0.9, "moorline_backend_duration_seconds", "backend"), "{{backend}}")]),
        ("timeseries", "Out of use, ejected, draining", "none", [
            ("count by (backend) (moorline_backend_up{" + ALL + "} == 0)", "{{backend}} out of use"),
            ("count by (backend) (moorline_backend_ejected{" + ALL + "} == 1)", "{{backend}} ejected"),
            ("count by (backend) (moorline_backend_draining{" + ALL + "} == 1)", "{{backend}} draining")]),
        ("timeseries", "Requests by outcome", "reqps", [(rate("moorline_backend_requests_total", by="backend, outcome"), "{{backend}} {{outcome}}")]),
        ("timeseries", "Failed probes", "ops", [(rate("moorline_backend_probes_total", 'result="failed"', "backend"), "{{backend}}")]),
    ]),
    ("Limits and cache", [
        ("timeseries", "Refused by limit", "reqps", [(rate("moorline_limit_refused_total", by="limit, reason"), "{{limit}}: {{reason}}")]),
        ("timeseries", "Waiting for their turn", "short", [(gauge("moorline_limit_waiting", by="limit"), "{{limit}}")]),
        ("timeseries", "What the cache answered", "reqps", [(rate("moorline_cache_answers_total", by="how"), "{{how}}")]),
        ("timeseries", "The cache's memory", "percentunit", [
            (gauge("moorline_cache_bytes", by="pod") + " / " + gauge("moorline_cache_max_bytes", by="pod"), "{{pod}}")]),
    ]),
    ("Store", [
        ("timeseries", "Operations (9 of 10)", "s", [
            (quantile(0.9, "moorline_store_operation_seconds", "part, operation"), "{{part}} {{operation}}")]),
        ("timeseries", "Failed operations", "ops", [(rate("moorline_store_operations_failed_total", by="part, operation"), "{{part}} {{operation}}")]),
        ("timeseries", "Instances that each one knows", "none", [(gauge("moorline_instances", by="pod"), "{{pod}}")]),
    ]),
    ("Instances", [
        ("timeseries", "Processors", "none", [(rate("process_cpu_seconds_total", by="pod"), "{{pod}}")]),
        ("timeseries", "Memory", "bytes", [(gauge("process_resident_memory_bytes", by="pod"), "{{pod}}")]),
        ("timeseries", "Going away", "none", [(gauge("moorline_going_away", by="pod", how="max"), "{{pod}}")]),
        ("timeseries", "Configuration taken over", "dateTimeFromNow", [
            (gauge("moorline_config_loaded_timestamp_seconds", by="pod", how="max") + " * 1000", "{{pod}}")]),
        ("timeseries", "Configurations refused", "ops", [(rate("moorline_config_reloads_total", 'result="refused"', "pod"), "{{pod}}")]),
        ("timeseries", "Connections refused", "ops", [(rate("moorline_connections_refused_total", by="reason"), "{{reason}}")]),
    ]),
]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(number: int, at: tuple[int, int], kind: str, title: str, unit: str, asked: list[tuple[str, str]]) -> dict:
    width, height = (4, 4) if kind == "stat" else (8, 8)
    made = {
        "id": number,
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": at[0], "y": at[1], "w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0} if unit != "dateTimeFromNow" else {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for at, (expression, legend) in enumerate(asked)
        ],
    }
    if kind == "timeseries":
        made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    else:
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    return made


def panels() -> list[dict]:
    made, top, numbers = [], 0, count(1)
    for title, row in ROWS:
        made.append({"id": next(numbers), "type": "row", "title": title, "collapsed": False, "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}, "panels": []})
        top, left = top + 1, 0
        for kind, name, unit, asked in row:
            one = panel(next(numbers), (left, top), kind, name, unit, asked)
            if left + one["gridPos"]["w"] > 24:
                left, top = 0, top + one["gridPos"]["h"]
                one["gridPos"] |= {"x": left, "y": top}
            left += one["gridPos"]["w"]
            made.append(one)
        top += made[-1]["gridPos"]["h"]
    return made


def variable(name: str, query: str) -> dict:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "includeAll": True,
        "multi": True,
        "refresh": 2,
        "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }


def document() -> str:
    """The dashboard's JSON."""
    whole = {
        "uid": "moorline",
        "title": "Moorline",
        "tags": ["moorline", "mcp"],
        "editable": True,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                variable("namespace", "label_values(moorline_build_info, namespace)"),
                variable("job", 'label_values(moorline_build_info{namespace=~"$namespace"}, job)'),
                variable("pod", 'label_values(moorline_build_info{namespace=~"$namespace", job=~"$job"}, pod)'),
            ]
        },
        "annotations": {"list": []},
        "panels": panels(),
    }
    return json.dumps(whole, indent=2) + "\n"
