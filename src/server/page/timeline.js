// What happened to a task, and when: a bar and a list.

import { h, row, table } from "./dom.js";
import { duration, since, time, title } from "./format.js";

/** From the event on the task is in this part. */
const PARTS = {
  submitted: "waiting",
  resource_reserved: "starting",
  started: "running",
  kill_requested: "ending",
  timeout_triggered: "ending",
};

export function timeline(events, ended) {
  if (!events.length) return h("p.dim", {}, "Nothing has happened yet.");
  const first = events[0].timestamp;
  const last = ended ? events.at(-1).timestamp : new Date().toISOString();
  const parts = [];
  for (const { event_type: type, timestamp } of events) {
    const name = PARTS[type];
    if (name && parts.at(-1)?.name !== name) parts.push({ name, from: timestamp });
  }
  const bar = parts.map(({ name, from }, index) => {
    const ms = since(from, parts[index + 1]?.from ?? last);
    const part = h(`div.part.p-${name}`, { title: `${name} ${duration(ms)}` });
    part.style.flexGrow = Math.max(ms, 0);
    return [part, h("li", {}, h(`span.dot.p-${name}`), ` ${name} ${duration(ms)}`)];
  });
  const rows = events.map(({ event_type: type, timestamp, message, data }) =>
    row(
      h("time", { datetime: timestamp, title: time(timestamp) }, `+${duration(since(first, timestamp))}`),
      title(type),
      h("td.wrap", {}, message ?? (data ? h("code", {}, brief(data)) : "")),
    ),
  );
  return h(
    "div",
    {},
    h("div.timeline", { "aria-hidden": "true" }, bar.map(([part]) => part)),
    h("ul.legend", {}, bar.map(([, item]) => item)),
    table("Events", ["After", "Event", "What"], rows, ""),
  );
}

function brief(data) {
  return Object.entries(data)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");
}
