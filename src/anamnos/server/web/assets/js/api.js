// Talks to the REST face of the same server, and to nothing else.

const KEY = "anamnos-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** An answer that says what is wrong (problem+json), or that nothing came back. */
export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.hint = body.hint ?? "";
    this.body = body;
  }
}

/** Return a path with query parameters; empty ones are left out, lists are repeated. */
export function withQuery(path, query = {}) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") parts.append(name, one);
    }
  }
  const text = parts.toString();
  return text ? `${path}?${text}` : path;
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // not JSON: the status says enough
  }
  return new Problem(response.status, body);
}

/** Send a request and return the response, or throw a Problem. `body` is JSON data, `file` raw bytes. */
export async function send(method, path, { query, body, file, headers, signal } = {}) {
  const all = { ...headers };
  if (key.get()) all.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (file !== undefined) all["Content-Type"] = "application/octet-stream";
  let response;
  try {
    response = await fetch(withQuery(path, query), {
      method,
      headers: all,
      body: body === undefined ? file : JSON.stringify(body),
      signal,
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The server cannot be reached.", hint: "Is anamnos serve still running?" });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Send a request and return the JSON of its answer. */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** Yield the lines of a response as they come. */
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}

/** Yield {event, data} of /v1/events until the server ends the stream; `opened` is called once nothing is missed. */
export async function* events(scope, signal, opened) {
  const response = await send("GET", "/v1/events", { query: scope, signal });
  opened();
  let event = "message";
  for await (const raw of lines(response)) {
    const line = raw.replace(/\r$/, "");
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) yield { event, data: JSON.parse(line.slice(5)) };
    else if (!line) event = "message";
  }
}

/** Return whether an error is only that a request was given up for a newer one. */
export const isStale = (error) => error.name === "AbortError";
