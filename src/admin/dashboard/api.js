// Owns: asking the admin API, the token, and how failures are told. Nothing is asked but this page's own origin.

const PLACE = "moorline admin token";
let token = sessionStorage.getItem(PLACE);

/** What every request carries. */
export function headers(more = {}) {
  return token ? { ...more, authorization: `Bearer ${token}` } : more;
}

/** Takes a token for as long as this tab is open; none forgets it. */
export function useToken(value) {
  token = value || null;
  if (token) sessionStorage.setItem(PLACE, token);
  else sessionStorage.removeItem(PLACE);
}

/** Whether there is one to forget. */
export const hasToken = () => token !== null;

/** A failure, told by the instance (RFC 9457) or by the way to it. */
export class Problem extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function problem(response) {
  const text = await response.text();
  try {
    const { title, detail } = JSON.parse(text);
    return new Problem(response.status, detail ?? title ?? text);
  } catch {
    return new Problem(response.status, text.trim() || `the instance answered ${response.status}`);
  }
}

async function ask(method, path, body) {
  let response;
  try {
    // Orders are signed: no page of another site can send this field.
    const signed = method === "GET" ? {} : { "moorline-admin": "1" };
    const said = headers(body === undefined ? signed : { ...signed, "content-type": "application/json" });
    response = await fetch(`/api/v1${path}`, { method, headers: said, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Problem(0, "the instance cannot be reached");
  }
  if (!response.ok) throw await problem(response);
  const text = await response.text();
  return text ? JSON.parse(text) : {};
}

/** Reads. `query` leaves out what is empty. */
export function get(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = pairs.length ? `?${new URLSearchParams(pairs)}` : "";
  return ask("GET", path + search);
}

/** Orders. */
export const put = (path, body = {}) => ask("PUT", path, body);
export const post = (path, body = {}) => ask("POST", path, body);
export const remove = (path) => ask("DELETE", path);
