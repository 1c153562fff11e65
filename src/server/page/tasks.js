// The list of tasks, searched and in pages.

import { get } from "./api.js";
import { fault, h, say, table } from "./dom.js";
import { words } from "./format.js";
import { HEADS, taskRow } from "./row.js";

const STATES = ["accepted", "running", "success", "failed", "cancelled"];
const FIELDS = ["q", "status", "tenant", "owner", "sort"];
const LIMIT = 50;

export async function show(root, { query, signal }) {
  const list = h("div");
  const more = h("button", { type: "button", hidden: true }, "Show more");
  root.append(h("h1", {}, "Tasks"), filter(query), list, h("p", {}, more));
  const body = h("tbody");
  let cursor;
  const load = async () => {
    const asked = new URLSearchParams([...query].filter(([name, value]) => FIELDS.includes(name) && value));
    asked.set("limit", LIMIT);
    if (cursor) asked.set("cursor", cursor);
    const { tasks, next_cursor: next } = await get(`tasks?${asked}`, { signal });
    body.append(...tasks.map(taskRow));
    cursor = next;
    more.hidden = !next;
    say(`${body.children.length} tasks are shown.`);
  };
  more.addEventListener("click", () => load().catch((error) => list.append(fault(error))));
  await load();
  const empty = query.size ? "No task is like that." : "No tasks yet.";
  const shown = table("Tasks", HEADS, [], empty);
  if (body.children.length || cursor) shown.querySelector("tbody").replaceWith(body);
  list.append(shown);
}

function filter(query) {
  const value = (name) => query.get(name) ?? "";
  const input = (name, label, hint) =>
    h("label", {}, label, h("input", { name, type: "search", value: value(name), placeholder: hint }));
  const option = (name, text, chosen) => h("option", { value: name, selected: chosen === name }, text);
  return h(
    "form.filter",
    {
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const given = [...new FormData(event.target)].filter(([, text]) => text);
        location.hash = `#/tasks?${new URLSearchParams(given)}`;
      },
    },
    input("q", "Search", "a part of the id"),
    h(
      "label",
      {},
      "State",
      h(
        "select",
        { name: "status" },
        option("", "any", value("status")),
        STATES.map((state) => option(state, words(state), value("status"))),
      ),
    ),
    input("tenant", "Tenant"),
    input("owner", "Owner"),
    h(
      "label",
      {},
      "Order",
      h(
        "select",
        { name: "sort" },
        option("", "newest first", value("sort")),
        option("created_at", "oldest first", value("sort")),
      ),
    ),
    h("button.main", {}, "Filter"),
  );
}
