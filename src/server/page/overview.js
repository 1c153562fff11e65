// What runs and waits now, and what is reserved for it.

import { get } from "./api.js";
import { h, row, section, table } from "./dom.js";
import { bytes, count, duration, since } from "./format.js";
import { live } from "./live.js";
import { HEADS, link, mark, taskRow } from "./row.js";

const NAMES = { task_slots: "Task slots", memory_bytes: "Memory", pids: "Processes" };
const LATEST = 12;

export async function show(root, { signal }) {
  const [gauges, running, latest] = [h("div.gauges"), h("div"), h("div")];
  root.append(h("h1", {}, "Overview"), gauges, section("Running", running), section("Latest tasks", latest));
  await live(async () => {
    const [resources, list] = await Promise.all([
      get("runtime/resources", { signal }),
      get(`tasks?limit=${LATEST}`, { signal }),
    ]);
    gauges.replaceChildren(...meters(resources));
    running.replaceChildren(active(resources));
    latest.replaceChildren(
      table("Latest tasks", HEADS, list.tasks.map(taskRow), [
        "No tasks yet. ",
        h("a", { href: "#/submit" }, "Submit the first one"),
        ".",
      ]),
    );
  }, signal);
}

function meters({ capacity, reserved, accepted_waiting_tasks: waiting, tenants = [] }) {
  const all = Object.entries(capacity).map(([name, most]) => meter(name, reserved[name] ?? 0, most));
  for (const { tenant, quota, reserved: of } of tenants) {
    all.push(...Object.entries(quota).map(([name, most]) => meter(name, of[name] ?? 0, most, tenant)));
  }
  return [...all, h("div.card", {}, h("div.dim", {}, "Waiting tasks"), h("div.big", { id: "waiting" }, count(waiting)))];
}

function meter(name, used, most, tenant) {
  const shown = name === "memory_bytes" ? bytes : count;
  const label = `${NAMES[name] ?? name}${tenant ? ` of ${tenant}` : ""}`;
  return h(
    "div.card",
    {},
    h("div.dim", {}, label),
    h("div.big", {}, `${shown(used)} / ${shown(most)}`),
    h("meter", { "aria-label": label, min: 0, max: Math.max(most, 1), value: used }),
  );
}

function active({ active_reservations: active }) {
  const rows = active.map(({ task_id: id, status, reservation, reserved_at: at }) =>
    row(
      link(id),
      mark(status),
      at ? duration(since(at)) : "–",
      reservation.memory_bytes === undefined ? "–" : bytes(reservation.memory_bytes),
      count(reservation.pids),
    ),
  );
  return table("Running tasks", ["Task", "State", "For", "Memory", "Processes"], rows, "Nothing runs.");
}
