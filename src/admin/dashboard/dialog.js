// Owns: dialogs: the confirmation before anything is done, the token, the keys; and the short word after something was done.
// A dialog of the browser: it holds the focus, and Esc closes it.

import { h, say } from "./dom.js";

let seconds = 0;

function open(content, onclose) {
  const title = `dialog-${(seconds += 1)}`;
  content.heading.id = title;
  const dialog = h("dialog", { "aria-labelledby": title }, content.node);
  dialog.addEventListener("close", () => {
    dialog.remove();
    onclose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A word at the edge of the page, told to screen readers too. */
export function toast(text, tone = "well") {
  const node = h("p", { class: "toast", "data-tone": tone }, text);
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), tone === "bad" ? 12_000 : 6000);
}

/**
 * Asks before something is done. `title` is the question, `says` are sentences that tell what will happen, `word` is on the button,
 * `fields` are elements to fill in, `act` does it and may answer with words for the toast. Failures stay in the dialog.
 */
export function confirm({ title, says, word, tone = "plain", fields = [], act }) {
  const heading = h("h2", {}, title);
  const failure = h("p", { class: "failure", role: "alert" });
  const go = h("button", { type: "submit", class: "go", "data-tone": tone }, word);
  const back = h("button", { type: "button" }, "Cancel");
  const form = h("form", { class: "sheet" }, heading, says.map((sentence) => h("p", {}, sentence)), fields, failure, h("div", { class: "row end" }, back, go));
  const dialog = open({ node: form, heading });
  back.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    say(failure, "");
    try {
      const words = await act(new FormData(form));
      dialog.close();
      toast(words || "Done.");
    } catch (error) {
      say(failure, `Not done: ${error.message}`);
      go.disabled = false;
    }
  });
  (fields.length ? form.querySelector("input, select") : back)?.focus();
}

/** Asks for the admin token; `use(token)` answers whether it is right. */
export function askToken(use) {
  const heading = h("h2", {}, "This instance asks for the admin token");
  const field = h("input", { type: "password", name: "token", autocomplete: "off", required: true, id: "token", "aria-describedby": "token-where token-wrong" });
  const failure = h("p", { class: "failure", role: "alert", id: "token-wrong" });
  const where = h("p", { class: "soft", id: "token-where" }, "It is what admin_token or admin_token_file says in the configuration. It stays in this tab and is forgotten with it.");
  const form = h("form", { class: "sheet" }, heading, where, h("label", { for: "token" }, "Admin token"), field, failure, h("div", { class: "row end" }, h("button", { type: "submit", class: "go" }, "Open")));
  const dialog = open({ node: form, heading });
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = await use(field.value);
    if (!wrong) return dialog.close();
    say(failure, wrong);
    field.select();
    return undefined;
  });
  field.focus();
  return dialog;
}

/** Tells the keys. `toggle` is the switch that turns them off. */
export function tellKeys(keys, toggle) {
  const heading = h("h2", {}, "Keys");
  const rows = keys.map(([key, means]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, means)));
  const close = h("button", { type: "button", class: "go" }, "Close");
  const dialog = open({ node: h("div", { class: "sheet" }, heading, h("dl", { class: "keys" }, rows), toggle, h("div", { class: "row end" }, close)), heading });
  close.addEventListener("click", () => dialog.close());
  close.focus();
}
