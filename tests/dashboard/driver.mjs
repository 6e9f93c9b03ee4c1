// Owns: one headless Chromium, steered by JSON lines: a command a line in, an answer a line out. It judges nothing but what it is
// asked to; what pages say in the console and what they ask of the network is written down from the first page on.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SERIOUS = ["serious", "critical"];
/** Whatever takes longer never comes. */
const DEADLINE_MS = 20_000;

const profile = mkdtempSync(join(tmpdir(), "moorline-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  viewport: { width: 1440, height: 900 },
});
context.setDefaultTimeout(DEADLINE_MS);

let page;
const heard = { errors: [], requests: [] };

function listen(to) {
  to.on("console", (message) => message.type() === "error" && heard.errors.push(message.text()));
  to.on("pageerror", (error) => heard.errors.push(String(error.stack ?? error)));
  to.on("request", (request) => heard.requests.push(request.url()));
}

/** What the command means by its target: a role with a name, a label, or a CSS selector; the first that is visible. */
function target({ role, name, label, css, within, exact = true }) {
  const root = within ? page.locator(within) : page;
  if (role) return root.getByRole(role, { name, exact }).first();
  if (label) return root.getByLabel(label, { exact }).first();
  return root.locator(css).first();
}

const commands = {
  /** A new page: the one before is closed. */
  async open({ url, width = 1440, height = 900, scheme = "light", motion = "no-preference", touch = false }) {
    await page?.close();
    page = await context.newPage();
    listen(page);
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: motion });
    if (touch) await page.addInitScript("window.ontouchstart = null");
    await page.goto(url);
  },
  /** Waits until the text (a regular expression) stands in what is visible of the target. */
  async see({ text, css = "body" }) {
    const wanted = new RegExp(text, "s");
    let seen = "";
    const end = Date.now() + DEADLINE_MS;
    while (Date.now() < end) {
      seen = await page.locator(css).first().innerText({ timeout: 1000 }).catch(() => "");
      if (wanted.test(seen)) return seen;
      await page.waitForTimeout(50);
    }
    throw new Error(`${text} does not come; there is: ${seen.slice(0, 3000)}`);
  },
  /** Waits until an expression is true in the page; its value. */
  async until({ script }) {
    // Not waitForFunction: between looks it would evaluate text in the page, which the page's own policy forbids.
    const end = Date.now() + DEADLINE_MS;
    while (Date.now() < end) {
      const value = await page.evaluate(script);
      if (value) return value;
      await page.waitForTimeout(50);
    }
    throw new Error(`${script} does not come true`);
  },
  text: async ({ css }) => page.locator(css).first().innerText(),
  click: async (what) => target(what).click(),
  fill: async (what) => target(what).fill(what.value),
  select: async (what) => target(what).selectOption(what.value),
  press: async ({ key }) => page.keyboard.press(key),
  hover: async (what) => target(what).hover(),
  eval: async ({ script }) => page.evaluate(script),
  go: async ({ hash }) => {
    await page.evaluate((to) => { location.hash = to; }, hash);
  },
  back: async () => { await page.goBack(); },
  resize: async ({ width, height }) => page.setViewportSize({ width, height }),
  look: async ({ scheme, motion }) => page.emulateMedia({ colorScheme: scheme, reducedMotion: motion }),
  shot: async ({ path, full = false }) => { await page.screenshot({ path, fullPage: full }); },
  /** What stands in people's way, by axe-core: what it calls serious or worse. */
  async axe() {
    const found = await page.evaluate(`(async () => {
      if (!window.axe) { const module = { exports: {} }; (function (module, exports, define) { ${axe} }).call(window, module, module.exports); window.axe ??= module.exports; }
      const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
      return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.slice(0, 5).map(({ html, failureSummary }) => html.slice(0, 300) + " " + failureSummary) }));
    })()`);
    return found.filter(({ impact }) => SERIOUS.includes(impact));
  },
  /** Time that the page's thread was busy meanwhile, in seconds, all of it: script, style, layout and paint. */
  async busy({ ms }) {
    const session = await context.newCDPSession(page);
    await session.send("Performance.enable");
    const read = async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
    const before = await read();
    await page.waitForTimeout(ms);
    const after = await read();
    await session.detach();
    const names = ["TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration"];
    return Object.fromEntries(names.map((name) => [name, after[name] - before[name]]));
  },
  /** What was heard since the last time, by all pages. */
  async heard() {
    const now = structuredClone(heard);
    heard.errors.length = heard.requests.length = 0;
    return now;
  },
};

process.stdout.write(`${JSON.stringify({ ok: true })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, result: (await commands[name](rest)) ?? null };
  } catch (error) {
    answer = { ok: false, error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await context.close();
rmSync(profile, { recursive: true, force: true });
