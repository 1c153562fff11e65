// The published API, and nothing beside it.

const BASE = new URL("api/v1/", document.baseURI);
const TOKEN = "execgo-token";
const PAUSE_MS = 1000;

export class Fault extends Error {
  constructor(status, error, requestId) {
    super(error?.message ?? `the server answered ${status}`);
    Object.assign(this, { status, code: error?.code, details: error?.details, requestId });
  }
}

/** For this tab alone. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

const link = new EventTarget();
/** Told `true` when the server is reached, `false` when it is not. */
export const onLink = (listener) => link.addEventListener("change", (event) => listener(event.detail));
const tellLink = (up) => link.dispatchEvent(new CustomEvent("change", { detail: up }));

export function address(path) {
  return new URL(path, BASE);
}

export async function send(method, path, { body, signal, headers = {} } = {}) {
  const all = { ...headers };
  if (token.get()) all.authorization = `Bearer ${token.get()}`;
  if (body !== undefined) all["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path), { method, headers: all, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name !== "AbortError") tellLink(false);
    throw error;
  }
  tellLink(true);
  if (!answer.ok) {
    const text = await answer.json().catch(() => ({}));
    const fault = new Fault(answer.status, text.error, answer.headers.get("x-request-id"));
    if (fault.status === 401) document.dispatchEvent(new CustomEvent("token-needed", { detail: fault }));
    throw fault;
  }
  return answer;
}

export async function get(path, options) {
  return (await send("GET", path, options)).json();
}

export async function post(path, body, options) {
  return (await send("POST", path, { body, ...options })).json();
}

/** The server-sent events of a path; a broken connection is taken up again where it broke. `{id, event, data}`. */
export async function* events(path, { signal, from } = {}) {
  let id = from;
  while (!signal.aborted) {
    try {
      const headers = id === undefined ? {} : { "last-event-id": id };
      const { body } = await send("GET", path, { signal, headers });
      for await (const event of parsed(body)) {
        id = event.id ?? id;
        yield event;
        if (event.event === "end") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Fault && error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const event = {};
        for (const line of part.split("\n")) {
          const [, name, text] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
          if (name) event[name] = name === "data" && event.data !== undefined ? `${event.data}\n${text}` : text;
        }
        if (event.data !== undefined) yield { ...event, data: JSON.parse(event.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
