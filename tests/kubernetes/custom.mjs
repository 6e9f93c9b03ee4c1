// Owns: judging objects of kinds that are no part of Kubernetes itself, by validators that are generated from those projects' own types. They let fields pass
// that they do not know; here a field that no validator ever looked at is one too many. Each line is an object in JSON; answered by a
// line with its faults.
import { createInterface } from "node:readline";
import { Certificate } from "@kubernetes-models/cert-manager/cert-manager.io/v1";
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import { PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const kinds = new Map(
  [Certificate, HTTPRoute, PrometheusRule, ServiceMonitor].map((kind) => [`${kind.apiVersion} ${kind.kind}`, kind]),
);

// The same value, which notes in `unread` which of its fields were never read.
function watched(value, place, unread) {
  if (value === null || typeof value !== "object") return value;
  const seen = Array.isArray(value) ? [] : {};
  for (const [key, field] of Object.entries(value)) {
    const at = `${place}/${key}`;
    unread.add(at);
    const inner = watched(field, at, unread);
    const get = () => (unread.delete(at), inner);
    Object.defineProperty(seen, key, { get, enumerable: true });
  }
  return seen;
}

function faults(object) {
  const name = `${object.apiVersion} ${object.kind}`;
  const kind = kinds.get(name);
  if (!kind) return [`${name}: no such kind is known here`];
  const unread = new Set();
  const model = Object.defineProperties(
    Object.create(kind.prototype),
    Object.getOwnPropertyDescriptors(watched(object, "", unread)),
  );
  const found = [];
  try {
    model.validate();
  } catch (error) {
    found.push(`${name}: ${error.message}`);
  }
  return found.concat([...unread].map((at) => `${name}: unknown field ${at}`));
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(faults(JSON.parse(line)))}\n`);
}
