// Owns: the table of sessions, which several views show.

import { linked, Table } from "./table.js";
import { ago, clock, count, NONE } from "./words.js";

const short = (id) => `${id.slice(0, 8)}…${id.slice(-4)}`;

/** A table of sessions as the admin API lists them. */
export function sessionTable(model, empty = "No sessions. They appear here when clients of the legacy era initialize.") {
  const backend = ({ backend: { id, name } }) => model.backends.get(id)?.name ?? name;
  return new Table({
    caption: "Sessions",
    order: { key: "used", down: true },
    key: ({ id }) => id,
    columns: [
      { key: "id", label: "Session", head: true, of: ({ id }) => id, make: linked(({ id }) => `#/session/${id}`, ({ id }) => short(id)) },
      { key: "caller", label: "Caller", of: ({ caller }) => caller ?? NONE },
      { key: "backend", label: "Moored at", of: backend, make: linked((one) => `#/backend/${one.backend.id}`, backend) },
      { key: "moves", label: "Moves", kind: "number", of: ({ epoch }) => epoch ?? 0, tell: count },
      { key: "begun", label: "Begun", kind: "number", of: (one) => one.created_at, tell: clock },
      { key: "used", label: "Last used", kind: "number", of: (one) => one.last_seen_at, tell: (at) => ago(at, model.now) },
    ],
    empty,
  });
}
