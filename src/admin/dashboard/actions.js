// Owns: what an operator can order from here, each behind a question that says what will happen.

import { post, put, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { many } from "./words.js";

const everywhere = (model) => (model.store?.shared ? "It holds on all instances that share the store." : "It holds on this instance.");

export function drain(backend, model) {
  confirm({
    title: `Drain ${backend.name}?`,
    says: [
      `It takes no new sessions and no requests without a session. ${backend.sessions ? `Its ${many(backend.sessions, "session")} move to other backends, clients notice a pause at most.` : "No sessions lie there."}`,
      `${backend.in_flight ? `The ${many(backend.in_flight, "request")} in flight may end. ` : ""}${everywhere(model)} It lasts until somebody puts it back in use.`,
    ],
    word: "Drain",
    tone: "warn",
    act: async () => {
      await post(`/backends/${backend.id}/drain`);
      return `${backend.name} drains.`;
    },
  });
}

export function undrain(backend, model) {
  confirm({
    title: `Use ${backend.name} again?`,
    says: [`It takes new sessions and requests again, as soon as its probes pass. Sessions that moved away stay where they are. ${everywhere(model)}`],
    word: "Use again",
    act: async () => {
      await post(`/backends/${backend.id}/undrain`);
      return `${backend.name} is in use again.`;
    },
  });
}

export function endSession(session, done) {
  confirm({
    title: "End this session?",
    says: ["It ends on all instances and on its backend. Its client gets 404 at its next request and has to start over; requests in flight may fail.", "This cannot be undone."],
    word: "End session",
    tone: "bad",
    act: async () => {
      await remove(`/sessions/${session.id}`);
      done();
      return "The session has ended.";
    },
  });
}

export function moveSession(session, model, done) {
  const pool = model.pools.find(({ name }) => name === session.pool);
  const others = (pool?.backends ?? []).filter(({ id, state }) => id !== session.backend.id && state === "up");
  const options = [["", "whichever has most room"], ...others.map(({ id, name }) => [id, name])];
  const select = h("select", { name: "backend", id: "move-to" }, options.map(([value, words]) => h("option", { value }, words)));
  confirm({
    title: "Move this session?",
    says: ["Its journal is replayed on another backend, and its streams go on from there. Its client notices a pause at most; what its server kept in memory alone is lost."],
    word: "Move",
    fields: [h("label", { for: "move-to" }, "To"), select],
    act: async (form) => {
      const backend = form.get("backend");
      await post(`/sessions/${session.id}/move`, backend ? { backend } : {});
      done();
      return "The session is moved.";
    },
  });
}

export function lift(limit, subject, done) {
  confirm({
    title: `Lift the block of ${subject || "everybody"}?`,
    says: [`Limit ${limit} no longer keeps ${subject || "everybody"} out; what was spent stays spent. If calls go on as before, the block comes back.`],
    word: "Lift",
    act: async () => {
      await post(`/limits/${encodeURIComponent(limit)}/lift`, { subject });
      done();
      return "The block is lifted.";
    },
  });
}

/** `what` is the body of the order, `words` names it. */
export function purge(what, words, done) {
  confirm({
    title: `Forget ${words}?`,
    says: ["The results are forgotten on all instances that share the store. The next calls go to the backends, which may feel it for a while.", "This cannot be undone."],
    word: "Forget",
    tone: "warn",
    act: async () => {
      await post("/cache/purge", what);
      done();
      return `Forgotten: ${words}.`;
    },
  });
}

export function reload() {
  confirm({
    title: "Read the configuration again?",
    says: ["This instance reads its configuration file and takes over what has changed. Sessions, connections and what is known of backends stay. If the file has a fault, the old configuration stays, and you are told the fault."],
    word: "Reload",
    act: async () => {
      await post("/reload");
      return "The configuration is reloaded.";
    },
  });
}

export function logLevel(now) {
  const levels = ["error", "warn", "info", "debug", "trace"];
  const select = h("select", { name: "level", id: "log-level" }, levels.map((level) => h("option", { value: level, selected: level === now }, level)));
  confirm({
    title: "Write which lines of the log?",
    says: ["This instance writes lines of the level that you choose and of all graver ones, until it is told otherwise or ends. At debug and trace it writes several lines for each request."],
    word: "Set the level",
    fields: [h("label", { for: "log-level" }, "Level"), select],
    act: async (form) => {
      await put("/log", { level: form.get("level") });
      return `The log is written from ${form.get("level")} on.`;
    },
  });
}

export function rotateKey() {
  confirm({
    title: "Make a new sealing key?",
    says: ["New session ids are sealed with a new key on all instances that share the store. Ids under the old keys stay valid."],
    word: "Make a key",
    act: async () => {
      await post("/keys/rotate");
      return "A new sealing key is in use.";
    },
  });
}
